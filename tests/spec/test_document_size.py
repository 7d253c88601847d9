# SPDX-License-Identifier: Apache-2.0
"""A config that no ConfigMap holds is refused at apply, in a sentence that says what to do."""

from typing import Any

import pytest

from finetune_operator.webhook.review import review
from finetune_spec.document_size import LARGEST_BYTES
from finetune_spec.job import check_job
from support.factories import CONFIG, SETTINGS, a_job_body
from support.simulated_schedule import a_schedule_body

LARGE: dict[str, Any] = {
    "one text": "x" * LARGEST_BYTES,
    "text that ASCII spells longer": "\N{SNOWMAN}" * (LARGEST_BYTES // 6 + 1),
    "list": [1] * (LARGEST_BYTES // 3),
    "mapping": {f"key-{number}": number for number in range(60_000)},
}


@pytest.mark.parametrize("value", LARGE.values(), ids=LARGE)
def test_a_config_over_a_config_map_is_one_problem(value: Any) -> None:
    spec = a_job_body(config={**CONFIG, "model_init_kwargs": {"large": value}})["spec"]

    (problem,) = check_job(spec)

    assert problem.path == "spec.config"
    assert "expected at most 1,032,192, what a ConfigMap holds" in str(problem)
    assert len(str(problem)) < 300


def test_webhook_refuses_it_for_jobs_and_schedules() -> None:
    config = {**CONFIG, "model_init_kwargs": {"large": LARGE["one text"]}}
    job = a_job_body(config=config)
    schedule = a_schedule_body(jobTemplate={"spec": job["spec"]})
    for body in (job, schedule):
        request = {
            "kind": {"kind": body["kind"]},
            "operation": "CREATE",
            "namespace": "team",
            "object": body,
        }
        response = review(request, SETTINGS)

        assert not response["allowed"]
        assert "what a ConfigMap holds" in response["status"]["message"]


def test_what_fits_is_not_refused_for_its_size() -> None:
    spec = a_job_body(config={**CONFIG, "run_name": "x" * (LARGEST_BYTES - 10_000)})["spec"]
    assert not [it for it in check_job(spec) if "ConfigMap" in str(it)]
