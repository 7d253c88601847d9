# SPDX-License-Identifier: Apache-2.0
"""What can go wrong, who is to blame for it, and what to do about it. No I/O, no torch here.

    AttemptFailed   the attempt cannot succeed; carries the failure that the outcome will tell
    Interrupted     somebody stopped the attempt (SIGTERM)

Anything else that is raised is unforeseen: `classification` gives it a blame by what it is and by
the stage in which it was raised.
"""

from enum import StrEnum

from finetune_contract.outcome import Blame, Failure

INTERRUPTED = "Interrupted"


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
    TRAINING = "training"
    SAVING = "saving"
    VERIFYING = "verifying"
    PUBLISHING = "publishing"


def user_error(reason: str, message: str, remedy: str) -> AttemptFailed:
    """The job, its data or its credentials must be changed."""
    return AttemptFailed(Failure(blame=Blame.USER, reason=reason, message=message, remedy=remedy))


def infrastructure_error(reason: str, message: str, remedy: str) -> AttemptFailed:
    """Store, network or node: another attempt may well succeed."""
    return AttemptFailed(
        Failure(blame=Blame.INFRASTRUCTURE, reason=reason, message=message, remedy=remedy)
    )


def platform_error(reason: str, message: str, remedy: str) -> AttemptFailed:
    """The node or the cluster must be changed before another attempt can succeed."""
    return AttemptFailed(
        Failure(blame=Blame.PLATFORM, reason=reason, message=message, remedy=remedy)
    )


def internal_error(reason: str, message: str, remedy: str) -> AttemptFailed:
    """Something that should not have happened; most likely a mistake of ours."""
    return AttemptFailed(
        Failure(blame=Blame.INTERNAL, reason=reason, message=message, remedy=remedy)
    )


def interruption(step: int, checkpoint_step: int) -> Failure:
    """The attempt was stopped; what it had learned is in the checkpoint, if there is one."""
    saved = (
        f"the checkpoint of step {checkpoint_step} is complete"
        if checkpoint_step
        else "no checkpoint had been taken yet"
    )
    return Failure(
        blame=Blame.INTERRUPTION,
        reason=INTERRUPTED,
        message=f"stopped at step {step}; {saved}",
        remedy="nothing to do: the next attempt goes on from there" if checkpoint_step else "",
    )
