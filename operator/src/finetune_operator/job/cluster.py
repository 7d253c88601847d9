# SPDX-License-Identifier: Apache-2.0
"""The outside world as `reconcile` sees it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

from finetune_operator.job.observe.observation import Children
from finetune_operator.job.observe.strays import Strays
from finetune_operator.objects.names import JobKey
from finetune_operator.objects.raw import Body, Manifest
from finetune_operator.objects.reconciled import Writing

FindModel = Callable[[Body], Awaitable[Mapping[str, Any] | None]]
"""Gives the `config.json` of a job's model, soon, or None."""


async def knows_no_model(body: Body) -> None:
    """A `FindModel` for where nobody has said where models are described."""


class JobCluster(Writing, Protocol):
    """`KubeCluster` has the real verbs, tests have a fake of a few lines."""

    async def children_of(self, body: Body) -> Children:
        """The Jobs and pods under this job's name."""

    async def confirm_none_runs(self, body: Body) -> None:
        """
        Raises:
            Conflict: the API server knows of a pod of this job that may run, or is still going.
        """

    async def create(self, manifest: Manifest) -> None:
        """Creates the object, or finds that it is there already, of the same owner and content.

        One of another content is replaced, where no Job of the attempt can use it yet.

        Raises:
            NotYet: something else has that name.
            Conflict: the Job is there already, but was made for something else.
        """

    async def delete_training_job(self, namespace: str, name: str) -> None:
        """Begins to end an attempt: its Job goes after its pods, which may save; that it is gone
        already, or another's, is no error."""

    async def end_strays(self, strays: Strays) -> None:
        """Begins to end them, so that their trainers may save; that they are gone is no error."""

    async def end_bare_pods(self, key: JobKey) -> None:
        """The same with pods that no Job has, where there is no FineTuneJob: a backup brings pods
        before what they belong to."""

    async def delete_children(self, body: Body, names: Sequence[str]) -> None:
        """Removes the objects of these attempts that are this job's."""
