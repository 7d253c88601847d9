# SPDX-License-Identifier: Apache-2.0
"""The category of an exception, by the stage in which it was raised."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from finetune_trainer.failures.classification import classify
from finetune_trainer.failures.errors import AttemptFailed, Stage


@contextmanager
def classifying(stage: Stage | Callable[[], Stage]) -> Iterator[None]:
    """Gives exceptions inside the category of this stage, or of the stage at that time."""
    try:
        yield
    except (Exception, SystemExit) as error:
        by_then = stage if isinstance(stage, Stage) else stage()
        raise AttemptFailed(classify(error, by_then)) from error
