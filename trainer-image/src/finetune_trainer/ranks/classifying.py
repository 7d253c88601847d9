# SPDX-License-Identifier: Apache-2.0
"""Whose fault it is that something raised, by what was being done."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from finetune_trainer.failures.classification import classify
from finetune_trainer.failures.errors import AttemptFailed, Stage


@contextmanager
def classifying(stage: Stage | Callable[[], Stage]) -> Iterator[None]:
    """Give what is raised inside the category that this stage, or the stage by then, implies."""
    try:
        yield
    except (Exception, SystemExit) as error:
        by_then = stage if isinstance(stage, Stage) else stage()
        raise AttemptFailed(classify(error, by_then)) from error
