# SPDX-License-Identifier: Apache-2.0
"""The objects that this replica has seen last: every replica watches, so every cache is warm.

Everything that users see about children is computed from here. No I/O here.
"""

from collections.abc import Iterable
from enum import Enum

from finetune_operator.job.observe.endings import has_ended
from finetune_operator.job.observe.observation import Children
from finetune_operator.job.observe.pods import controller_uid
from finetune_operator.job.spec import key_of
from finetune_operator.objects.large import as_kept
from finetune_operator.objects.names import (
    FINETUNE_JOBS,
    FINETUNE_SCHEDULES,
    KIND,
    LABEL_JOB,
    LABEL_JOB_KEY,
    PODS,
    SCHEDULE_KIND,
    TRAINING_JOBS,
    JobKey,
    Key,
    Resource,
    ScheduleKey,
    job_key,
    job_label,
)
from finetune_operator.objects.raw import Body


class Kind(Enum):
    """A kind that is watched, listed and cached."""

    JOB = FINETUNE_JOBS
    SCHEDULE = FINETUNE_SCHEDULES
    TRAINING_JOB = TRAINING_JOBS
    POD = PODS

    @property
    def resource(self) -> Resource:
        return self.value

    @property
    def selector(self) -> str:
        """The label selector that leaves out children of other owners."""
        return "" if self in (Kind.JOB, Kind.SCHEDULE) else LABEL_JOB

    def key_of(self, body: Body) -> Key:
        """The job or schedule that this object is, or the job that it belongs to."""
        metadata = body["metadata"]
        if self is Kind.SCHEDULE:
            return ScheduleKey(namespace=metadata["namespace"], name=metadata["name"])
        if self is Kind.JOB:
            return key_of(body)
        labels = metadata["labels"]
        label = labels.get(LABEL_JOB_KEY) or _key_by_owner(metadata) or labels[LABEL_JOB]
        return JobKey(namespace=metadata["namespace"], label=label)


def _key_by_owner(metadata: Body) -> str | None:
    """The key from the owner reference of an older operator's Job, which has the full name."""
    for owner in metadata.get("ownerReferences", ()):
        name = owner.get("name", "")
        if owner.get("kind") == KIND and metadata["labels"][LABEL_JOB] == job_label(name):
            return job_key(name)
    return None


_CHILDREN = (Kind.TRAINING_JOB, Kind.POD)

MOST_GONE = 20_000
"""Number of deletions to remember, the newest: outdated responses arrive soon after."""


class ObjectCache:
    """Objects by kind, job and uid."""

    def __init__(self) -> None:
        self._bodies: dict[Kind, dict[Key, dict[str, Body]]] = {kind: {} for kind in Kind}
        self._keys: dict[str, Key] = {}
        """The location of each object by its uid: an edited label moves it."""
        self._owned: dict[str, set[str]] = {}
        """Uids of schedules, and of the jobs that they own."""
        self._departed: set[str] = set()
        self._gone: dict[str, int] = {}
        """Uids of deleted objects with their last versions: an older version is outdated."""

        self._renamed: dict[Key, Key] = {}
        """Label -> key of its Job: for long names that an older operator started."""
        self._labelled: dict[Key, Key] = {}
        """The reverse map; both are kept as long as a Job or pods exist."""

    def remember(self, kind: Kind, body: Body) -> Key:
        """Keeps this version, unless a newer one or its deletion is known."""
        key, uid = self._key_of(kind, body), body["metadata"]["uid"]
        if _version(body) <= self._gone.get(uid, -1):
            return key
        known = self.find_known(kind, uid)
        if known is None or _version(body) >= _version(known):
            self._put(kind, key, uid, body)
        return key

    def forget(self, kind: Kind, body: Body) -> Key:
        """Removes a deleted object; the last version of a pod is kept as long as its Job exists."""
        key, uid = self._key_of(kind, body), body["metadata"]["uid"]
        known = self.find_known(kind, uid)
        if known is not None and _version(body, known) < _version(known):
            # It exists again: only a changed label had hidden it.
            return key
        if kind is Kind.POD and has_ended(body) and self._has_training_job(key, body):
            self.remember(kind, body)
            self._departed.add(uid)
            return key
        self._note_gone(uid, _version(body, known))
        self._drop(kind, uid)
        if kind is Kind.TRAINING_JOB:
            for pod in list(self._find(Kind.POD, key)):
                if controller_uid(pod) == uid and pod["metadata"]["uid"] in self._departed:
                    self._drop(Kind.POD, pod["metadata"]["uid"])
        self._forget_label(key)
        return key

    def _forget_label(self, key: Key) -> None:
        """Removes the label when no object has it any more."""
        if key in self._labelled and not any(key in self._bodies[kind] for kind in _CHILDREN):
            label = self._labelled.pop(key)
            # Another job's, if two share a label.
            if self._renamed.get(label) == key:
                del self._renamed[label]

    def key_of(self, uid: str) -> Key | None:
        """The job or schedule that this object belonged to when it was last seen."""
        return self._keys.get(uid)

    def find_known(self, kind: Kind, uid: str) -> Body | None:
        """The newest version of the object with this uid."""
        key = self._keys.get(uid)
        return None if key is None else self._bodies[kind].get(key, {}).get(uid)

    def _key_of(self, kind: Kind, body: Body) -> Key:
        """An older operator cut the pods' label shorter: their key comes from the Job."""
        key = kind.key_of(body)
        if kind is Kind.TRAINING_JOB:
            labelled = JobKey(namespace=key.namespace, label=body["metadata"]["labels"][LABEL_JOB])
            if labelled != key:
                self._move_pods(labelled, key)
        return self._renamed.get(key, key) if kind is Kind.POD else key

    def _move_pods(self, before: JobKey, key: Key) -> None:
        self._renamed[before] = key
        self._labelled[key] = before
        moved = self._bodies[Kind.POD].pop(before, {})
        if moved:
            self._bodies[Kind.POD].setdefault(key, {}).update(moved)
            self._keys |= dict.fromkeys(moved, key)

    def find_job(self, key: JobKey) -> Body | None:
        """The job of this key; the newer one if it was deleted and created again."""
        bodies = list(self._find(Kind.JOB, key))
        return max(bodies, key=_version) if bodies else None

    def find_schedule(self, key: ScheduleKey) -> Body | None:
        bodies = list(self._find(Kind.SCHEDULE, key))
        return max(bodies, key=_version) if bodies else None

    def jobs_owned_by(self, uid: str) -> tuple[Body, ...]:
        """The jobs that a schedule owns now, without those whose owner was changed."""
        owned = (self.find_known(Kind.JOB, job) for job in self._owned.get(uid, ()))
        return tuple(body for body in owned if body is not None)

    def children_of(self, key: JobKey) -> Children:
        return Children(
            training_jobs=tuple(self._find(Kind.TRAINING_JOB, key)),
            pods=tuple(self._find(Kind.POD, key)),
        )

    def known_keys(self) -> tuple[Key, ...]:
        """The keys of all jobs and schedules."""
        return (*self._bodies[Kind.JOB], *self._bodies[Kind.SCHEDULE])

    def keys_without_job(self) -> tuple[Key, ...]:
        """The keys of pods without a known job."""
        return tuple(it for it in self._bodies[Kind.POD] if it not in self._bodies[Kind.JOB])

    def present(self, kind: Kind) -> tuple[Body, ...]:
        """All objects that are not known to be deleted."""
        return tuple(
            body
            for bodies in self._bodies[kind].values()
            for uid, body in bodies.items()
            if uid not in self._departed
        )

    def _find(self, kind: Kind, key: Key) -> Iterable[Body]:
        return self._bodies[kind].get(key, {}).values()

    def _has_training_job(self, key: Key, pod: Body) -> bool:
        return controller_uid(pod) in self._bodies[Kind.TRAINING_JOB].get(key, {})

    def _put(self, kind: Kind, key: Key, uid: str, body: Body) -> None:
        is_departed = uid in self._departed
        self._drop(kind, uid)
        self._bodies[kind].setdefault(key, {})[uid] = as_kept(body)
        self._keys[uid] = key
        if is_departed:
            self._departed.add(uid)
        if kind is Kind.JOB and (owner := controller_uid(body)) is not None:
            self._owned.setdefault(owner, set()).add(uid)

    def _drop(self, kind: Kind, uid: str) -> None:
        key = self._keys.pop(uid, None)
        if key is None:
            return
        bodies = self._bodies[kind].get(key, {})
        dropped = bodies.pop(uid, None)
        if kind is Kind.JOB and dropped is not None:
            self._disown(uid, controller_uid(dropped) or "")
        self._departed.discard(uid)
        if not bodies:
            self._bodies[kind].pop(key, None)

    def _disown(self, uid: str, owner: str) -> None:
        owned = self._owned.get(owner, set())
        owned.discard(uid)
        if not owned:
            self._owned.pop(owner, None)

    def _note_gone(self, uid: str, version: int) -> None:
        self._gone[uid] = max(version, self._gone.pop(uid, -1))
        while len(self._gone) > MOST_GONE:
            del self._gone[next(iter(self._gone))]


def schedule_of(body: Body) -> ScheduleKey | None:
    """The schedule that created this job, if any."""
    metadata = body["metadata"]
    for owner in metadata.get("ownerReferences", ()):
        if owner.get("controller") and owner.get("kind") == SCHEDULE_KIND:
            return ScheduleKey(namespace=metadata["namespace"], name=owner["name"])
    return None


def _version(body: Body, known: Body | None = None) -> int:
    """Resource versions grow and compare as numbers (KEP-5504; etcd's always have); taken from the
    `known` body if only a name and a uid remain of this one.
    """
    version = body["metadata"].get("resourceVersion")
    if version is None:
        return -1 if known is None else _version(known)
    return int(version)
