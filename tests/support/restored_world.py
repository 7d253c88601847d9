# SPDX-License-Identifier: Apache-2.0
"""A simulated cluster whose objects a backup tool restores: without uid, owner or status."""

import copy
from typing import Any

from finetune_operator.job.observe.endings import has_ended, is_over
from finetune_operator.job.observe.pods import controller_uid
from finetune_operator.objects.names import FINETUNE_JOBS, PODS, TRAINING_JOBS, Resource
from finetune_operator.objects.raw import Body
from support.simulated_cluster import NAME
from support.simulated_world import World

ORDER = ("configmaps", "pods", "services", "finetunejobs", "jobs", "networkpolicies")
"""Velero's order: the requirements of pods, pods, then everything else by its name. Events are not
restored.
"""


class RestoredWorld(World):
    def back_up(self) -> list[tuple[Resource, Any]]:
        kept = [
            (resource, copy.deepcopy(found))
            for (resource, _), found in self.etcd.objects.items()
            if resource.plural in ORDER
        ]
        return sorted(kept, key=lambda it: ORDER.index(it[0].plural))

    def lose_everything(self) -> None:
        for resource, name in list(self.etcd.objects):
            self.etcd.remove(resource, name)
        self.over = None

    def restore(self, backup: list[tuple[Resource, Any]], *, skips_ended: bool) -> None:
        """`skips_ended`: like Velero; other tools restore every Job and pod."""
        for resource, body in backup:
            if not (skips_ended and _is_ended(resource, body)):
                self.etcd.create(resource, _stripped(resource, body), self.stamp())

    def orphan(self) -> None:
        """`kubectl delete --cascade=orphan` of the job: only objects that it owned directly are
        orphaned.
        """
        uid = self.job["metadata"]["uid"]
        self.etcd.remove(FINETUNE_JOBS, NAME)
        for (resource, _), found in list(self.etcd.objects.items()):
            if controller_uid(found) == uid:
                found["metadata"]["ownerReferences"] = []
                self.etcd.touch(resource, found)

    def hear_everything(self) -> None:
        while sum(self.hear(kind) for kind in self.heard):
            pass

    def check(self) -> None:
        """No attempt of the job has a pod while another pod may run."""
        uids = {it["metadata"]["uid"]: controller_uid(it) for it in self.training_jobs()}
        live = [controller_uid(pod) for pod in self.pods() if not has_ended(pod)]
        ours = {it for it in live if it is not None and uids.get(it) is not None}
        assert not ours or set(live) == ours, "an attempt has begun beside a pod without an owner"
        assert len(ours) <= 1


def _is_ended(resource: Resource, body: Body) -> bool:
    return (resource is PODS and has_ended(body)) or (resource is TRAINING_JOBS and is_over(body))


def _stripped(resource: Resource, body: Body) -> Any:
    metadata = body["metadata"]
    kept = {name: metadata[name] for name in _KEPT if name in metadata}
    rest = {name: value for name, value in body.items() if name != "status"}
    state = {"status": {"phase": "Pending"}} if resource is PODS else {}
    return {**copy.deepcopy(rest), **state, "metadata": copy.deepcopy(kept)}


_KEPT = ("namespace", "name", "labels", "annotations")
