# SPDX-License-Identifier: Apache-2.0
"""Random pods and Jobs as a kubelet and a Job controller can leave them: input for property tests
of verdicts.

Built on the fake kubelet: the order in which containers start, phases and the Job's conditions are
like the real ones; exit codes and termination messages are arbitrary.
"""

from dataclasses import dataclass, field
from functools import cache
from typing import Any

from hypothesis import strategies as st

from finetune_contract.outcome import Category, ExitCode
from finetune_operator.job.observe.endings import find_ending, has_ended, is_to_be_replaced
from finetune_operator.objects.raw import Body
from finetune_operator.objects.times import render_time
from support.factories import (
    NOW,
    a_bad_outcome,
    a_good_outcome,
    a_pod,
    a_training_job,
    seconds,
)
from support.kubelet import (
    RUNS,
    Seen,
    State,
    a_refused_pod,
    a_seen_pod,
    ended,
    waits,
)

GOING = {"deletionTimestamp": render_time(NOW)}
CODES = (0, 1, 2, *(int(code) for code in ExitCode), 128, 134, 137, 139, 255)
MESSAGES = (
    "",
    "Traceback (most recent call last)",
    '{"version": 1, "failure": {"categ',
    '{"version": 99}',
    a_good_outcome().to_json(),
    a_good_outcome(artifact=None).to_json(),
    *(a_bad_outcome(category, reason=f"Reason{category}").to_json() for category in Category),
)
WAITS = (
    waits("ContainerCreating"),
    waits("ErrImagePull", "no such image"),
    waits("ImagePullBackOff", 'Back-off pulling image "x"'),
    waits("CreateContainerConfigError", 'secret "x" not found'),
    waits("CreateContainerError", "context deadline exceeded"),
    waits("RunContainerError", "device not found"),
)


@dataclass(frozen=True, kw_only=True)
class Scene:
    """An attempt's Job and its pods at one moment."""

    nodes: int
    training_job: dict[str, Any]
    pods: tuple[Body, ...] = field(default=())


@cache
def endings() -> st.SearchStrategy[State]:
    later = st.integers(0, 50).map(lambda number: NOW + seconds(number))
    reasons = st.sampled_from(["", "OOMKilled", "StartError"])

    def build(code: int, message: str, reason: str, at: Any) -> State:
        return ended(code, message, reason=reason if code else "", at=at)

    return st.builds(build, st.sampled_from(CODES), st.sampled_from(MESSAGES), reasons, later)


@cache
def states() -> st.SearchStrategy[State]:
    return st.one_of(st.sampled_from(WAITS), st.just(RUNS), endings())


@st.composite
def containers(draw: st.DrawFn) -> list[Seen]:
    """In the order in which they may start: a blocking one delays all after it."""
    seen: list[Seen] = []
    is_blocked = False
    for number in range(draw(st.integers(0, 2))):
        is_sidecar = draw(st.booleans())
        state = waits() if is_blocked else draw(states())
        init = Seen(
            name=f"init-{number}",
            state=state,
            is_init=True,
            is_native_sidecar=is_sidecar,
            is_started="running" in state and draw(st.booleans()),
            last=draw(st.sampled_from([{}, ended(1, "no certificate")])) if is_sidecar else {},
        )
        is_blocked = is_blocked or init.is_in_the_way
        seen.append(init)
    names = ("trainer", *(f"proxy-{n}" for n in range(draw(st.integers(0, 2)))))
    found = [Seen(name=it, state=waits() if is_blocked else draw(states())) for it in names]
    return [*seen, *found]


@st.composite
def pods(draw: st.DrawFn, name: str, index: int = 0, age: int = 0) -> Body:
    created = render_time(NOW + seconds(age))
    where = {"batch.kubernetes.io/job-completion-index": str(index)}
    metadata: dict[str, Any] = {"creationTimestamp": created, "annotations": where}
    kind = draw(st.sampled_from(["seen"] * 5 + ["going", "refused", "evicted", "lost", "new"]))
    if kind == "refused":
        reason = draw(st.sampled_from(["UnexpectedAdmissionError", "OutOfcpu", "NodeAffinity"]))
        return a_refused_pod(reason, "no healthy devices", name=name, metadata=metadata)
    if kind == "new":
        return _new_pod(draw, name, metadata)
    seen = draw(containers())
    if kind == "going":
        metadata |= GOING
    if kind in ("evicted", "lost"):
        return a_seen_pod(*_ended_by(kind, seen), name=name, metadata=metadata, **_end(draw, kind))
    return a_seen_pod(*seen, name=name, metadata=metadata)


def _new_pod(draw: st.DrawFn, name: str, metadata: dict[str, Any]) -> Body:
    unscheduled = {"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available"}
    found = draw(st.sampled_from([[], [unscheduled]]))
    return a_pod(phase="Pending", name=name, metadata=metadata, status={"conditions": found})


def _ended_by(kind: str, seen: list[Seen]) -> list[Seen]:
    """A kubelet that evicts ends running containers; a lost one keeps its last status."""
    if kind == "lost":
        return seen
    killed = ended(137, at=NOW + seconds(50))
    return [
        Seen(**{**_fields(it), "state": killed}) if "running" in it.state else it for it in seen
    ]


def _fields(seen: Seen) -> dict[str, Any]:
    return {name: getattr(seen, name) for name in Seen.__dataclass_fields__}


def _end(draw: st.DrawFn, kind: str) -> dict[str, Any]:
    reason = "TerminationByKubelet" if kind == "evicted" else "DeletionByPodGC"
    target = {"type": "DisruptionTarget", "status": "True", "reason": reason, "message": kind}
    if kind == "lost":
        return {"phase": "Failed", "status": {"conditions": [target]}}
    told = {"reason": "Evicted", "message": "the node was low on resource: ephemeral-storage"}
    marked = draw(st.sampled_from([[], [target]]))
    return {"phase": "Failed", "status": {**told, "conditions": marked}}


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    nodes = draw(st.sampled_from([1, 1, 2]))
    if nodes == 1:
        found = [*_replaced(draw), draw(pods("balloon-1-new", age=100))]
        found = draw(st.sampled_from([found, found, found, []]))
    else:
        made = draw(st.integers(0, nodes))
        found = [draw(pods(f"balloon-1-{index}", index)) for index in range(made)]
    job = _job(draw, nodes, found)
    if job["status"]["conditions"]:
        # It ends the remaining pods first.
        found = [pod if has_ended(pod) else _going(pod) for pod in found]
    return Scene(nodes=nodes, training_job=job, pods=tuple(found))


def _going(pod: Body) -> Body:
    return {**pod, "metadata": {**pod["metadata"], **GOING}}


def _replaced(draw: st.DrawFn) -> list[Body]:
    """Pods that the Job controller has already replaced: it replaces only such ones."""
    older = [draw(pods(f"balloon-1-old-{n}", age=n)) for n in range(draw(st.integers(0, 2)))]
    return [pod for pod in older if is_to_be_replaced(pod)]


def _job(draw: st.DrawFn, nodes: int, found: list[Body]) -> dict[str, Any]:
    """With one of the conditions that the Job controller may have set."""
    choices: list[dict[str, Any]] = [{}, {"going": True}]
    failed = [pod for pod in found if pod["status"]["phase"] == "Failed"]
    fatal = [pod for pod in failed if nodes > 1 or not is_to_be_replaced(pod)]
    if fatal:
        choices += [{"ended": "Failed", "message": _words_of(fatal[0])}] * 3
    succeeded = [pod for pod in found if pod["status"]["phase"] == "Succeeded"]
    if not found or len(succeeded) == nodes:
        choices += [{"ended": "Complete"}]
    if all(map(has_ended, found)):
        late = {"ended": "Failed", "message": "Job was active longer than specified deadline"}
        choices += [late, {"suspended": True}]
    chosen = dict(draw(st.sampled_from(choices)))
    is_going = chosen.pop("going", False)
    job = a_training_job(nodes=nodes, at=NOW + seconds(60), **chosen)
    job["spec"]["parallelism"] = nodes
    job["status"]["startTime"] = render_time(NOW)
    if is_going:
        job["metadata"] |= GOING
    return job


def _words_of(pod: Body) -> str:
    ending, name = find_ending(pod), pod["metadata"]["name"]
    if ending is None or ending.exit_code == 0:
        return "Job has reached the specified backoff limit"
    return (
        f"Container trainer for pod team/{name} failed with exit code {ending.exit_code} matching "
        "FailJob rule at index 2"
    )
