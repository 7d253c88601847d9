# SPDX-License-Identifier: Apache-2.0
"""The tree of errors, by what happens next. No I/O here.

InvalidSpec   the user must edit the schedule: becomes a condition, no retry until then
NotYet        something must go first: asked again after a while, told in the status
Conflict      the job has changed since it was remembered: computed again
Gone          the job is no more: forgotten
NotLeading    another replica may have taken over: its turn, nothing is written
anything else retried with backoff, logged and counted
"""

from collections.abc import Sequence
from datetime import timedelta

from finetune_operator.objects.conditions import tell_all
from finetune_spec.config import Problem


class InvalidSpec(Exception):
    """What the user must change, every problem at once."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(tell_all([str(problem) for problem in problems]))
        self.problems = tuple(problems)


class NotYet(Exception):
    """A name is still taken, a quota is used up: too early, or somebody else must do something."""

    def __init__(self, message: str, *, after: timedelta, reason: str = "") -> None:
        super().__init__(message)
        self.after = after
        self.reason = reason
        """For the conditions; empty where it is only a matter of time."""


class Conflict(Exception):
    """The API server holds a newer version of the object than the one that was written from."""


class NotLeading(Exception):
    """The lease was not renewed in time: a write might meet those of a successor."""


class Gone(Exception):
    """The object that was to be written does not exist (any more)."""
