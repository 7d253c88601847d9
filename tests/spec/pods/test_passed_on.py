# SPDX-License-Identifier: Apache-2.0
"""Kueue's labels and annotations are passed on, unless they contradict the job."""

from typing import Any

import pytest

from finetune_spec.pods import check_passed_on

KUEUE = "kueue.x-k8s.io/"


def told(nodes: int = 1, *, labels: Any = None, annotations: Any = None) -> list[str]:
    metadata = {
        section: {f"{KUEUE}{name}": value for name, value in entries.items()}
        for section, entries in (("labels", labels), ("annotations", annotations))
        if entries is not None
    }
    spec = {"resources": {"nodes": nodes}}
    return [str(problem) for problem in check_passed_on(metadata, spec)]


def test_partial_admission_of_several_nodes_is_refused() -> None:
    assert told(2, annotations={"job-min-parallelism": "1"}) == [
        (
            'metadata.annotations.kueue.x-k8s.io/job-min-parallelism: found "1": Kueue would '
            "start fewer than the 2 nodes, which would wait for the others forever; remove it, "
            "or lower spec.resources.nodes"
        )
    ]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"annotations": {"job-min-parallelism": "1"}}, "this one has one"),
        ({"annotations": {"job-completions-equal-parallelism": "true"}}, "never changes"),
        ({"annotations": {"elastic-job": "true"}}, "cannot change its number of nodes"),
        ({"labels": {"prebuilt-workload-name": "mine"}}, "a separate Job"),
        ({"labels": {"max-exec-time-seconds": "60"}}, "write spec.activeDeadlineSeconds"),
        ({"labels": {"multikueue-origin": "manager"}}, "write kueue.x-k8s.io/queue-name"),
    ],
)
def test_metadata_that_contradicts_the_job_is_refused_with_what_to_do(
    given: Any, words: str
) -> None:
    (sentence,) = told(**given)

    assert words in sentence


@pytest.mark.parametrize(
    "given",
    [
        {"labels": {"queue-name": "team-a", "priority-class": "nightly"}},
        {"annotations": {"podset-required-topology": "cloud.provider.com/rack"}},
        {"annotations": {"elastic-job": "false", "job-completions-equal-parallelism": "false"}},
        # Kueue ignores it in the wrong section.
        {"labels": {"job-min-parallelism": "1"}},
    ],
)
def test_other_metadata_are_accepted(given: Any) -> None:
    assert told(2, **given) == []


@pytest.mark.parametrize("metadata", [None, [], "x", {"labels": []}, {"annotations": {KUEUE: 1}}])
def test_malformed_metadata_are_reported_by_the_shape_check(metadata: Any) -> None:
    assert list(check_passed_on(metadata, {"resources": "x"})) == []
