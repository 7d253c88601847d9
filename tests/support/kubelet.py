# SPDX-License-Identifier: Apache-2.0
"""A fake kubelet: the status of a pod from the states of its containers, like the real one.

The phase is computed as kubelet 1.35 computes it (`getPhase`, restart policy Never): a pod is
Pending while any container waits, Running while any runs, and only then Succeeded or Failed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from finetune_operator.objects.times import render_time
from support.factories import NOW, a_pod

State = Mapping[str, Any]

RUNS: State = {"running": {"startedAt": render_time(NOW)}}


def waits(reason: str = "PodInitializing", message: str = "") -> State:
    return {"waiting": {"reason": reason, **({"message": message} if message else {})}}


def ended(exit_code: int = 0, message: str = "", *, reason: str = "", at: datetime = NOW) -> State:
    why = reason or ("Error" if exit_code else "Completed")
    terminated = {"exitCode": exit_code, "reason": why, "message": message}
    times = {"startedAt": render_time(NOW), "finishedAt": render_time(at)}
    return {"terminated": {**terminated, **times}}


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One container as the kubelet sees it."""

    name: str
    state: State
    is_init: bool = False
    is_native_sidecar: bool = False
    """Whether an init container has `restartPolicy: Always`."""
    is_started: bool = False
    last: State = field(default_factory=dict)

    @property
    def is_in_the_way(self) -> bool:
        """Whether the containers after it cannot start yet."""
        if self.is_native_sidecar:
            return not self.is_started
        return bool(self.state.get("terminated", {}).get("exitCode") != 0)

    @property
    def has_failed(self) -> bool:
        is_bad = self.state.get("terminated", {}).get("exitCode", 0) != 0
        return bool(is_bad and not self.is_native_sidecar)

    def render(self) -> dict[str, Any]:
        has_run = "waiting" not in self.state
        shown = {"name": self.name, "state": dict(self.state), "lastState": dict(self.last)}
        shown["containerID"] = f"containerd://{self.name}" if has_run else ""
        return {**shown, "started": self.is_started}


def phase_of(seen: Sequence[Seen]) -> str:
    inits = [it for it in seen if it.is_init]
    if any(it.has_failed for it in inits):
        return "Failed"
    states = [it.state for it in seen if not it.is_init]
    if any(it.is_in_the_way for it in inits) or any("waiting" in state for state in states):
        return "Pending"
    if any("running" in state for state in states):
        return "Running"
    is_well = all(state["terminated"]["exitCode"] == 0 for state in states)
    return "Succeeded" if is_well else "Failed"


def a_seen_pod(*seen: Seen, node: str | None = "gpu-1", **given: Any) -> dict[str, Any]:
    """A pod with these containers; the trainer is one of them."""
    status = {
        "startTime": render_time(NOW),
        "initContainerStatuses": [it.render() for it in seen if it.is_init],
        "containerStatuses": [it.render() for it in seen if not it.is_init],
        **given.pop("status", {}),
    }
    pod = a_pod(phase=given.pop("phase", phase_of(seen)), status=status, **given)
    inits = [
        {"name": it.name, **({"restartPolicy": "Always"} if it.is_native_sidecar else {})}
        for it in seen
        if it.is_init
    ]
    pod["spec"] = {"initContainers": inits, **({"nodeName": node} if node else {})}
    return pod


def a_trainer(state: State) -> Seen:
    return Seen(name="trainer", state=state)


def a_sidecar(state: State = RUNS, name: str = "istio-proxy") -> Seen:
    return Seen(name=name, state=state)


def an_init(state: State, name: str = "istio-init", **given: Any) -> Seen:
    return Seen(name=name, state=state, is_init=True, **given)


def a_refused_pod(reason: str, message: str, node: str = "gpu-1", **given: Any) -> dict[str, Any]:
    """The kubelet's result for a pod that it does not admit: without any container."""
    told = {"reason": reason, "message": f"Pod was rejected: {message}"}
    status = {"startTime": render_time(NOW), **told}
    pod = a_pod(phase="Failed", status=status, **given)
    pod["spec"] = {"nodeName": node}
    return pod
