# SPDX-License-Identifier: Apache-2.0
"""The API server's message about a pod leads to the field of the job: messages of Kubernetes
1.35.
"""

import pytest

from finetune_operator.job.observe.policy_hints import hint_for
from finetune_operator.job.observe.waiting import find_wait

FORBIDDEN = 'Error creating: pods "balloon-1-x" is forbidden: '


@pytest.mark.parametrize(
    ("words", "fields"),
    [
        ("failed quota: team: must specify limits.cpu for: trainer", ["limits.cpu"]),
        (
            (
                "failed quota: team: must specify limits.cpu for: trainer; limits.memory for: "
                "trainer; requests.cpu for: trainer"
            ),
            ["limits.cpu", "limits.memory", "cpu"],
        ),
        (
            (
                "failed quota: team: must specify limits.ephemeral-storage for: trainer; "
                "requests.ephemeral-storage for: trainer"
            ),
            ["limits.ephemeralStorage", "ephemeralStorage"],
        ),
        (
            "maximum cpu usage per Container is 1, but limit is 2",
            ["cpu", "limits.cpu"],
        ),
        (
            (
                "[maximum memory usage per Container is 1Gi.  No limit is specified, cpu max limit "
                "to request ratio per Container is 2, but provided ratio is 4.000000]"
            ),
            ["memory", "limits.memory", "cpu", "limits.cpu"],
        ),
        (
            (
                'Pod "x" is invalid: spec.containers[0].resources.requests: Invalid value: "2": '
                "must be less than or equal to cpu limit of 1"
            ),
            ["cpu", "limits.cpu"],
        ),
    ],
)
def test_a_policys_requirement_names_the_field_of_the_job(words: str, fields: list[str]) -> None:
    told = find_wait([], 1, FORBIDDEN + words, {}).complaint

    named = " and ".join(f"spec.resources.{field}" for field in fields)
    assert told == f"a pod could not be created: {FORBIDDEN}{words} (set {named} in the job)"


@pytest.mark.parametrize(
    "words",
    [
        "exceeded quota: team, requested: limits.cpu=8, used: limits.cpu=4, limited: limits.cpu=8",
        'violates PodSecurity "restricted:latest": hostPath volumes (volume "data")',
        'admission webhook "validate.kyverno.svc" denied the request: label team is required',
        "",
    ],
)
def test_a_requirement_without_a_matching_field_gets_no_hint(words: str) -> None:
    assert hint_for(words) == ""
