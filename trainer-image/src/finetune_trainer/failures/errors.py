# SPDX-License-Identifier: Apache-2.0
"""Errors, their categories and remedies. No I/O, no torch here.

    AttemptFailed   the attempt cannot succeed; carries the failure for the outcome
    Interrupted     the attempt was stopped (SIGTERM)

Any other exception is unexpected: `classification` gives it a category by its type and by the stage
in which it was raised.
"""

from enum import StrEnum

from finetune_contract.outcome import Category, Failure
from finetune_contract.reasons import Reason


class AttemptFailed(Exception):
    """The attempt cannot succeed, for a known reason."""

    def __init__(self, failure: Failure) -> None:
        # The failure itself: an exception from another process is pickled by its arguments.
        super().__init__(failure)
        self.failure = failure

    def __str__(self) -> str:
        return self.failure.message


class Interrupted(Exception):
    """The attempt received a stop request."""


class Stage(StrEnum):
    """The current stage of an attempt; it affects the category of an exception."""

    FETCHING = "fetching model and data"
    CHECKING = "checking the job"
    CONFIG = "reading the config"
    DATA = "loading the dataset"
    MODEL = "preparing model and data"
    FIRST_STEP = "taking the first step"
    TRAINING = "training"
    SAVING = "saving"
    MERGING = "merging"
    VERIFYING = "verifying"
    PUBLISHING = "publishing"


def attempt_failed(
    reason: Reason, message: str, remedy: str, category: Category | None = None
) -> AttemptFailed:
    """The error to raise if an attempt cannot succeed; the reason has a category, or `category`
    selects one of several.
    """
    return AttemptFailed(reason.failure(message, remedy, category=category))


def interruption(step: int, checkpoint_step: int) -> Failure:
    """The attempt was stopped; its progress is in the checkpoint, if there is one."""
    saved = (
        f"the checkpoint of step {checkpoint_step} is complete"
        if checkpoint_step
        else "no checkpoint had been saved yet"
    )
    return Reason.INTERRUPTED.failure(
        f"stopped at step {step}; {saved}",
        "no action: the next attempt resumes from there" if checkpoint_step else "",
    )
