# SPDX-License-Identifier: Apache-2.0
"""Checks the labels and annotations that are passed on to the pods' Job: Kueue's. No I/O here.

Most are up to the user. Those that contradict a job are refused: its number of nodes, retries from
the last checkpoint, and its own deadline.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from finetune_spec.config.problem import Problem, quoted

PREFIX = "kueue.x-k8s.io/"
"""The prefix of entries that are passed on."""

_PLACES = tuple(f"metadata.{section}.{PREFIX}" for section in ("labels", "annotations"))

Contradiction = Callable[[str, int], str]
"""From the value and the number of nodes to the sentence; empty without a contradiction."""


def check_passed_on(
    metadata: Any, spec: Mapping[str, Any], path: str = "metadata"
) -> Iterator[Problem]:
    """The entries of a job's metadata, which may be of any shape, that contradict the job."""
    resources = spec.get("resources")
    nodes = resources.get("nodes", 1) if isinstance(resources, Mapping) else 1
    for section, names in _CONTRADICTIONS.items():
        entries = metadata.get(section) if isinstance(metadata, Mapping) else None
        if not isinstance(entries, Mapping):
            continue
        for name, contradiction in names.items():
            value = entries.get(f"{PREFIX}{name}")
            if isinstance(value, str) and (sentence := contradiction(value, nodes)):
                message = f"found {quoted(value)}: {sentence}"
                yield Problem(path=f"{path}.{section}.{PREFIX}{name}", message=message)


def is_of_passed_on(problem: Problem) -> bool:
    """Whether it is about a label or annotation that is passed on."""
    return problem.path.startswith(_PLACES)


def _fewer_nodes(value: str, nodes: object) -> str:
    if nodes == 1:
        return "Kueue supports it only for Jobs of several pods, and this one has one; remove it"
    return (
        f"Kueue would start fewer than the {nodes} nodes, which would wait for the others "
        "forever; remove it, or lower spec.resources.nodes"
    )


def _if_true(sentence: str) -> Contradiction:
    return lambda value, nodes: sentence if value.lower() in ("1", "t", "true") else ""


def _always(sentence: str) -> Contradiction:
    return lambda value, nodes: sentence


_CONTRADICTIONS: Mapping[str, Mapping[str, Contradiction]] = {
    "annotations": {
        "job-min-parallelism": _fewer_nodes,
        "job-completions-equal-parallelism": _if_true(
            "the number of nodes is spec.resources.nodes and never changes; remove it"
        ),
        "elastic-job": _if_true(
            "a run cannot change its number of nodes, and its pods would wait for the queue after "
            "they were counted as started; remove it"
        ),
    },
    "labels": {
        "prebuilt-workload-name": _always(
            "each attempt is a separate Job, and one Workload cannot admit them all; remove it"
        ),
        "max-exec-time-seconds": _always(
            "Kueue would deactivate the job, which would then wait forever; write "
            "spec.activeDeadlineSeconds"
        ),
        "multikueue-origin": _always(
            "it marks the copy of a Job in another cluster; write kueue.x-k8s.io/queue-name"
        ),
    },
}
"""Section -> name without Kueue's prefix -> the contradiction, as of Kueue 0.15."""
