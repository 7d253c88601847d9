# SPDX-License-Identifier: Apache-2.0
"""A backup tool simulated with kubectl: objects are saved, lost, and restored as Velero does it.

Velero itself is not used. The simulation copies its changes to restored objects: no status, uid,
owner or node, Jobs without their selector, no ended objects, and pods before all their owners.
"""

import json
from collections.abc import Iterable
from typing import Any

from cluster.jobs import Kubectl, Resource

ORDER = (
    "configmaps",
    "pods",
    "services",
    "networkpolicies.networking.k8s.io",
    "jobs.batch",
    "finetunejobs.finetune.dev",
)
_KEPT = ("namespace", "name", "labels", "annotations")
_OF_THE_JOB_CONTROLLER = ("controller-uid", "batch.kubernetes.io/controller-uid")


class BackupTool:
    """For some jobs of one namespace, and all of their objects."""

    def __init__(self, kubectl: Kubectl, namespace: str, *names: str) -> None:
        self._kubectl = kubectl
        self._namespace = namespace
        self._names = names

    def back_up(self) -> list[Resource]:
        """In the order in which they are restored."""
        return [body for kind in ORDER for body in self._find(kind)]

    def lose_everything(self) -> None:
        """As in the loss of a cluster: nothing gets time to save."""
        force = ("--grace-period=0", "--force", "--ignore-not-found")
        self._run("delete", ORDER[-1], *self._names, "--wait=true", "--ignore-not-found")
        for selector in self._selectors():
            self._run("delete", "pods", "--selector", selector, *force)
            self._run("wait", "--for=delete", "jobs,pods", "--selector", selector, "--timeout=60s")
            self._run("delete", ",".join(ORDER[:-1]), "--selector", selector, "--ignore-not-found")

    def restore(self, backup: Iterable[Resource]) -> None:
        for body in backup:
            if not _has_ended(body):
                self._run("create", "-f", "-", input=json.dumps(stripped(body)))

    def _find(self, kind: str) -> list[Resource]:
        if kind == ORDER[-1]:
            return [json.loads(self._run("get", kind, it, "-o", "json")) for it in self._names]
        found: list[Resource] = []
        for selector in self._selectors():
            listed = json.loads(self._run("get", kind, "--selector", selector, "-o", "json"))
            found += listed["items"]
        return found

    def _selectors(self) -> list[str]:
        return [f"finetune.dev/job={name}" for name in self._names]

    def _run(self, *arguments: str, input: str | None = None) -> str:
        return self._kubectl("--namespace", self._namespace, *arguments, input=input)


def stripped(body: Resource) -> Resource:
    """The restored form of an object."""
    kept = {name: it for name, it in body["metadata"].items() if name in _KEPT}
    back: dict[str, Any] = {**body, "metadata": kept}
    back.pop("status", None)
    if body["kind"] == "Pod":
        back["spec"] = {name: it for name, it in body["spec"].items() if name != "nodeName"}
    if body["kind"] == "Job":
        template = json.loads(json.dumps(body["spec"]["template"]))
        for label in _OF_THE_JOB_CONTROLLER:
            template["metadata"]["labels"].pop(label, None)
        spec = {name: it for name, it in body["spec"].items() if name != "selector"}
        back["spec"] = {**spec, "template": template}
    return back


def _has_ended(body: Resource) -> bool:
    status = body.get("status", {})
    return body["kind"] in ("Pod", "Job") and (
        status.get("phase") in ("Succeeded", "Failed") or "completionTime" in status
    )
