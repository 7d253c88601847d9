# SPDX-License-Identifier: Apache-2.0
"""The outside world as the reconciliation of schedules sees it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from finetune_operator.objects.raw import Body, Manifest
from finetune_operator.schedule.events import Told


class ScheduleCluster(Protocol):
    """Seven verbs; `KubeSchedules` has the real ones."""

    async def jobs_of(self, body: Body) -> Sequence[Body]:
        """The FineTuneJobs that this schedule owns, as remembered; those that its status calls
        active are there unless they are gone."""

    async def list_jobs_of(self, body: Body) -> Sequence[Body]:
        """The same, as the API server has them now."""

    async def confirm_newest(self, body: Body) -> None:
        """
        Raises:
            Conflict: the API server holds a newer version of the schedule than this one.
            Gone: it holds none.
        """

    async def create_job(self, manifest: Manifest) -> Body:
        """The job, made now or before by the same owner.

        Raises:
            NotYet: it was refused, or something else has that name.
        """

    async def delete_job(self, body: Body, name: str, uid: str) -> bool:
        """Exactly this one, and only while the schedule owns it; that it is gone already is no
        error. Its pods may still save. Whether it was the schedule's."""

    async def write_status(self, body: Body, status: Mapping[str, Any]) -> None:
        """Makes this the status of exactly this version of the schedule.

        Raises:
            Conflict: there is a newer version.
            Gone: the schedule is no more.
        """

    async def tell(self, body: Body, told: Told, now: datetime) -> None:
        """Records an Event, once; that it could not be recorded stops nothing."""
