# SPDX-License-Identifier: Apache-2.0
"""The outside world as the reconciliation of schedules sees it."""

from collections.abc import Sequence
from typing import Protocol

from finetune_operator.objects.raw import Body, Manifest
from finetune_operator.objects.reconciled import Writing


class ScheduleCluster(Writing, Protocol):
    """`KubeSchedules` has the real verbs."""

    async def jobs_of(self, body: Body) -> Sequence[Body]:
        """The FineTuneJobs that this schedule owns, as remembered; those that its status calls
        active are there unless they are gone."""

    async def list_jobs_of(self, body: Body) -> Sequence[Body]:
        """The same, as the API server has them now."""

    async def create_job(self, manifest: Manifest) -> Body:
        """The job, made now or before by the same owner.

        Raises:
            NotYet: it was refused, or something else has that name.
        """

    async def delete_job(self, body: Body, name: str, uid: str) -> bool:
        """Exactly this one, and only while the schedule owns it; that it is gone already is no
        error. Its pods may still save. Whether it was the schedule's."""
