# SPDX-License-Identifier: Apache-2.0
"""The outside world as the reconciliation of schedules sees it."""

from collections.abc import Sequence
from typing import Protocol

from finetune_operator.objects.raw import Body, Manifest
from finetune_operator.objects.reconciled import Writing


class ScheduleCluster(Writing, Protocol):
    """`KubeSchedules` implements it."""

    async def jobs_of(self, body: Body) -> Sequence[Body]:
        """The FineTuneJobs that this schedule owns, from the cache; includes those that its status
        lists as active unless they are deleted.
        """

    async def list_jobs_of(self, body: Body) -> Sequence[Body]:
        """The same, from the API server."""

    async def create_job(self, manifest: Manifest) -> Body:
        """Creates the job, or returns the existing one of the same owner.

        Raises:
            NotYet: it was refused, or another object has that name.
        """

    async def delete_job(self, body: Body, name: str, uid: str) -> bool:
        """Deletes exactly this one, and only while the schedule owns it; an already deleted one is
        no error. Its pods may still save. Returns whether it was the schedule's.
        """
