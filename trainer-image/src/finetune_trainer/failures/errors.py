# SPDX-License-Identifier: Apache-2.0
"""What can go wrong, who is to blame for it, and what to do about it. No I/O, no torch here.

    AttemptFailed   the attempt cannot succeed; carries the failure that the outcome will tell
    Interrupted     somebody stopped the attempt (SIGTERM)

Anything else that is raised is unforeseen: `classification` gives it a category by what it is and
by the stage in which it was raised.
"""

from enum import StrEnum

from finetune_contract.outcome import Category, Failure
from finetune_contract.reasons import Reason


class AttemptFailed(Exception):
    """The attempt cannot succeed, for a reason that is known."""

    def __init__(self, failure: Failure) -> None:
        # The failure itself: what is pickled on its way out of another process is the arguments.
        super().__init__(failure)
        self.failure = failure

    def __str__(self) -> str:
        return self.failure.message


class Interrupted(Exception):
    """Somebody asked the attempt to stop."""


class Stage(StrEnum):
    """What an attempt is doing; it decides whose mistake an exception is."""

    FETCHING = "fetching model and data"
    CHECKING = "checking the job"
    CONFIG = "reading the config"
    DATA = "loading the data set"
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
    """To be raised where an attempt cannot succeed; the reason knows the responsible party, or
    `category` says which one of several it is."""
    return AttemptFailed(reason.failure(message, remedy, category=category))


def interruption(step: int, checkpoint_step: int) -> Failure:
    """The attempt was stopped; what it had learned is in the checkpoint, if there is one."""
    saved = (
        f"the checkpoint of step {checkpoint_step} is complete"
        if checkpoint_step
        else "no checkpoint had been saved yet"
    )
    return Reason.INTERRUPTED.failure(
        f"stopped at step {step}; {saved}",
        "no action: the next attempt resumes from there" if checkpoint_step else "",
    )
