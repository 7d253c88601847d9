# SPDX-License-Identifier: Apache-2.0
"""The containers of a pod, including injected ones, as the kubelet reports them. No I/O here."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from finetune_operator.objects.names import CONTAINER
from finetune_operator.objects.raw import Body

_UNKNOWN = "ContainerStatusUnknown"
"""The kubelet's reason for a container that it could not find when the pod ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """One container of a pod, in the state that its status shows."""

    name: str
    is_init: bool = False
    is_native_sidecar: bool = False
    """An init container that is restarted for as long as the pod lives: the kubelet ends it."""
    waiting: Body | None = None
    running: Body | None = None
    terminated: Body | None = None
    last_terminated: Body | None = None
    """How it ended before its last restart."""
    container_id: str = ""
    is_started: bool = False
    """The state a native sidecar must reach before the next container may start."""

    @property
    def title(self) -> str:
        return f"{'init ' if self.is_init else ''}container {self.name}"

    @property
    def is_trainer(self) -> bool:
        return self.name == CONTAINER and not self.is_init

    @property
    def has_run(self) -> bool:
        """Whether one of its processes was ever started, as far as the kubelet reports."""
        if self.running is not None or self.last_terminated is not None:
            return True
        ended = self.terminated
        if ended is None:
            return False
        return ended.get("reason") != _UNKNOWN or bool(self.container_id or ended.get("startedAt"))

    @property
    def exit_code(self) -> int | None:
        return None if self.terminated is None else int(self.terminated.get("exitCode", 0))

    @property
    def last_words(self) -> str:
        """Its termination message, or the runtime's own message."""
        ended = self.terminated or self.last_terminated or {}
        return str(ended.get("message") or "").strip()


def read_containers(pod: Body) -> list[Container]:
    """Init containers first, each in the order of the pod."""
    status = pod.get("status", {})
    sidecars = {
        found.get("name")
        for found in pod.get("spec", {}).get("initContainers") or ()
        if found.get("restartPolicy") == "Always"
    }
    return [
        _read(found, is_init=is_init, is_native_sidecar=is_init and found.get("name") in sidecars)
        for is_init, field in ((True, "initContainerStatuses"), (False, "containerStatuses"))
        for found in status.get(field) or ()
    ]


def _read(found: Body, *, is_init: bool, is_native_sidecar: bool) -> Container:
    state = found.get("state") or {}
    return Container(
        name=str(found.get("name", "")),
        is_init=is_init,
        is_native_sidecar=is_native_sidecar,
        waiting=state.get("waiting"),
        running=state.get("running"),
        terminated=state.get("terminated"),
        last_terminated=(found.get("lastState") or {}).get("terminated"),
        container_id=str(found.get("containerID") or ""),
        is_started=bool(found.get("started")),
    )


def companions_of(containers: Iterable[Container]) -> list[Container]:
    """The containers other than the trainer that keep the pod; the kubelet ends native sidecars
    itself.
    """
    return [it for it in containers if not it.is_trainer and not it.is_init]


def has_trainer_started(pod: Body) -> bool:
    """Whether the trainer's container has started: a pod is Pending while any other image cannot be
    pulled. Uses the pod's phase if the kubelet has not reported the trainer.
    """
    trainers = [found for found in read_containers(pod) if found.is_trainer]
    if trainers:
        return any(trainer.has_run for trainer in trainers)
    return pod.get("status", {}).get("phase") in ("Running", "Succeeded", "Unknown")


def has_anything_run(pod: Body) -> bool:
    """Whether any container of the pod has run."""
    return any(found.has_run for found in read_containers(pod))


def tell_companions(pods: Sequence[Body]) -> str:
    """The other containers of ended trainers: which keep the pod, which failed."""
    return "; ".join(words for pod in pods for words in _tell_companions(pod))


def _tell_companions(pod: Body) -> list[str]:
    found, name = read_containers(pod), pod["metadata"]["name"]
    if not any(it.is_trainer and it.terminated is not None for it in found):
        return []
    others = companions_of(found)
    keeping = [it.title for it in others if it.terminated is None]
    failed = [f"{it.title} ended with exit code {it.exit_code}" for it in others if it.exit_code]
    kept = (
        f"{' and '.join(keeping)} kept running after the trainer exited: the operator is ending "
        f"pod {name}"
    )
    return [*([kept] if keeping else []), *(f"{words} in pod {name}" for words in failed)]
