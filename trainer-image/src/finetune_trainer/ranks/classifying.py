# SPDX-License-Identifier: Apache-2.0
"""Whose fault it is that something raised, by what was being done."""

from collections.abc import Iterator
from contextlib import contextmanager

from finetune_trainer.failures.classification import classify
from finetune_trainer.failures.errors import AttemptFailed, Stage


@contextmanager
def classifying(stage: Stage) -> Iterator[None]:
    """Give what is raised inside the category that this stage implies."""
    try:
        yield
    except (Exception, SystemExit) as error:
        raise AttemptFailed(classify(error, stage)) from error
