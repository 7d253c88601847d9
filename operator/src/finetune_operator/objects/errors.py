# SPDX-License-Identifier: Apache-2.0
"""The tree of errors, by what happens next. No I/O here.

InvalidSpec   the user must edit the schedule: becomes a condition, no retry until then
NotYet        something must be deleted first: retried after a while, shown in the status
Conflict      the job has changed since it was cached: computed again
Gone          the job was deleted: removed
NotLeading    another replica may have taken over: nothing is written
anything else retried with backoff, logged and counted
"""

from collections.abc import Sequence
from datetime import timedelta

from finetune_operator.objects.conditions import tell_all
from finetune_spec.config import Problem


class InvalidSpec(Exception):
    """Everything the user must change, all problems at once."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(tell_all([str(problem) for problem in problems]))
        self.problems = tuple(problems)


class NotYet(Exception):
    """A name is still taken, or a quota is used up: it is too early, or a user must act."""

    def __init__(self, message: str, *, after: timedelta, reason: str = "") -> None:
        super().__init__(message)
        self.after = after
        self.reason = reason
        """For the conditions; empty if it is only a matter of time."""


class Conflict(Exception):
    """The API server has a newer version of the object than the one that was read."""


class NotLeading(Exception):
    """The lease was not renewed in time: a write might conflict with those of a successor."""


class Gone(Exception):
    """The object to write does not exist (any more)."""
