# SPDX-License-Identifier: Apache-2.0
"""The outside world as `reconcile` sees it."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from finetune_operator.job.observe.observation import Children
from finetune_operator.job.observe.strays import Strays
from finetune_operator.objects.names import JobKey
from finetune_operator.objects.raw import Body, Manifest
from finetune_operator.objects.reconciled import Writing
from finetune_spec.job import KnownModel

FindModel = Callable[[Body], Awaitable[KnownModel | None]]
"""Returns the facts of a job's model, quickly, or None."""


async def knows_no_model(body: Body) -> None:
    """A `FindModel` for use without a source of model configs."""


class JobCluster(Writing, Protocol):
    """`KubeCluster` implements it; tests have a fake of a few lines."""

    async def children_of(self, body: Body) -> Children:
        """The Jobs and pods under this job's name."""

    async def confirm_none_runs(self, body: Body) -> None:
        """
        Raises:
            Conflict: the API server has a pod of this job that may still run.
        """

    async def create(self, manifest: Manifest) -> None:
        """Creates the object, or accepts an existing one with the same owner and content.

        An object with different content is replaced if no Job of the attempt can use it yet.

        Raises:
            NotYet: another object has that name.
            Conflict: the Job exists, but was made for a different spec.
        """

    async def delete_training_job(self, namespace: str, name: str) -> None:
        """Starts to end an attempt: its Job is deleted after its pods, which may save. No error if
        the Job is already deleted or belongs to another job.
        """

    async def end_strays(self, strays: Strays) -> None:
        """Starts to end them, so that their trainers may save; deleted ones are no error."""

    async def end_bare_pods(self, key: JobKey) -> None:
        """The same for pods without a Job or FineTuneJob: a backup restores pods before their
        owners.
        """

    async def delete_children(self, body: Body, names: Sequence[str]) -> None:
        """Removes this job's objects of these attempts."""
