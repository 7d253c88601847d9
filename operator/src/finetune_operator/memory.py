# SPDX-License-Identifier: Apache-2.0
"""The objects this replica has seen last: every replica watches, so every replica's is warm.

Everything users see about children is computed from here. No I/O here.
"""

from collections.abc import Iterable
from enum import Enum
from typing import Any

from finetune_operator.manifest import Body, Manifest
from finetune_operator.naming import FINETUNE_JOBS, LABEL_JOB, PODS, TRAINING_JOBS, JobKey, Resource
from finetune_operator.observation import Children, controller_uid
from finetune_operator.spec import key_of
from finetune_operator.verdict import has_ended


class Kind(Enum):
    """What is watched, listed and remembered."""

    JOB = FINETUNE_JOBS
    TRAINING_JOB = TRAINING_JOBS
    POD = PODS

    @property
    def resource(self) -> Resource:
        return self.value

    @property
    def selector(self) -> str:
        """What the API server is to leave out: children of others."""
        return "" if self is Kind.JOB else LABEL_JOB

    def key_of(self, body: Body) -> JobKey:
        """The job that this object is, or belongs to."""
        if self is Kind.JOB:
            return key_of(body)
        metadata = body["metadata"]
        return JobKey(namespace=metadata["namespace"], label=metadata["labels"][LABEL_JOB])


class Memory:
    """Objects by kind, job and uid."""

    def __init__(self) -> None:
        self._bodies: dict[Kind, dict[JobKey, dict[str, Body]]] = {kind: {} for kind in Kind}
        self._departed: set[str] = set()

    def remember(self, kind: Kind, body: Body) -> JobKey:
        """Keeps this version, unless a newer one is known already."""
        key, uid = kind.key_of(body), body["metadata"]["uid"]
        known = self._bodies[kind].setdefault(key, {})
        if uid not in known or _version(body) >= _version(known[uid]):
            known[uid] = _without_managed_fields(body)
        return key

    def forget(self, kind: Kind, body: Body) -> JobKey:
        """The object is gone; but the last words of a pod are kept as long as its Job is there."""
        key, uid = kind.key_of(body), body["metadata"]["uid"]
        if kind is Kind.POD and has_ended(body) and self._has_training_job(key, body):
            self.remember(kind, body)
            self._departed.add(uid)
            return key
        self._drop(kind, key, uid)
        if kind is Kind.TRAINING_JOB:
            for pod in list(self._find(Kind.POD, key)):
                if controller_uid(pod) == uid and pod["metadata"]["uid"] in self._departed:
                    self._drop(Kind.POD, key, pod["metadata"]["uid"])
        return key

    def find_job(self, key: JobKey) -> Body | None:
        """The job of this key; where one was deleted and made again, the newer."""
        bodies = list(self._find(Kind.JOB, key))
        return max(bodies, key=_version) if bodies else None

    def children_of(self, key: JobKey) -> Children:
        return Children(
            training_jobs=tuple(self._find(Kind.TRAINING_JOB, key)),
            pods=tuple(self._find(Kind.POD, key)),
        )

    def known_keys(self) -> tuple[JobKey, ...]:
        """Of all jobs."""
        return tuple(self._bodies[Kind.JOB])

    def present(self, kind: Kind) -> tuple[Body, ...]:
        """All objects that are not known to be gone."""
        return tuple(
            body
            for bodies in self._bodies[kind].values()
            for uid, body in bodies.items()
            if uid not in self._departed
        )

    def _find(self, kind: Kind, key: JobKey) -> Iterable[Body]:
        return self._bodies[kind].get(key, {}).values()

    def _has_training_job(self, key: JobKey, pod: Body) -> bool:
        return controller_uid(pod) in self._bodies[Kind.TRAINING_JOB].get(key, {})

    def _drop(self, kind: Kind, key: JobKey, uid: str) -> None:
        bodies = self._bodies[kind].get(key, {})
        bodies.pop(uid, None)
        self._departed.discard(uid)
        if not bodies:
            self._bodies[kind].pop(key, None)


def _version(body: Body) -> int:
    """Resource versions grow and compare as numbers (KEP-5504; etcd's have always done)."""
    return int(body["metadata"]["resourceVersion"])


def _without_managed_fields(body: Body) -> Manifest:
    """Half of an object's size, and nobody here reads it."""
    metadata: dict[str, Any] = {
        name: value for name, value in body["metadata"].items() if name != "managedFields"
    }
    return {**body, "metadata": metadata}
