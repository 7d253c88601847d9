# SPDX-License-Identifier: Apache-2.0
"""Adjustments are config keys that no guard rail has seen. From an edited status or Job, only keys
that a retry itself changes are read.
"""

import json
from typing import Any

import pytest

from finetune_operator.job.attempts import Result, parse_attempts, render_attempts
from finetune_operator.job.decide.decision import decide
from finetune_operator.job.known_adjustments import read_adjustments
from finetune_operator.job.manifests import build_attempt
from finetune_operator.job.observe.observation import Children, observe
from finetune_operator.job.spec import parse_job
from finetune_operator.objects.names import ANNOTATION_ADJUSTMENTS
from support.factories import (
    NOW,
    SETTINGS,
    a_job_body,
    a_training_job,
    an_attempt,
    seconds,
)

HOSTILE: dict[str, Any] = {
    "code of a model": {"trust_remote_code": True},
    "code in another spelling": {"--trust-remote-code": True},
    "kernels of anybody": {"model_init_kwargs": {"attn_implementation": "someone/kernel"}},
    "another model": {"model_name_or_path": "someone/model"},
    "another destination": {"push_to_hub": True, "hub_model_id": "someone/model"},
    "variables": {"env": {"AWS_ENDPOINT_URL": "http://other"}},
    "a text as a batch": {"per_device_train_batch_size": "1" * 1000},
    "rows that are a list": {"per_device_train_batch_size": [1]},
    "no rows": {"per_device_train_batch_size": 0},
    "fewer than no rows": {"gradient_accumulation_steps": -(2**62)},
    "too many rows": {"per_gpu_eval_batch_size": 2**63},
    "a fraction of a row": {"per_device_eval_batch_size": 0.5},
    "rows that are true": {"per_device_train_batch_size": True},
    "recomputation that is off": {"gradient_checkpointing": False},
    "recomputation that is one": {"activation_checkpointing": 1},
}


def next_config(body: dict[str, Any], children: Children) -> dict[str, Any]:
    """The adjustments in the run document of the attempt that starts next."""
    job = parse_job(body, SETTINGS)
    decision = decide(job, observe(job, body, children, NOW + seconds(3600)), NOW + seconds(3600))
    assert decision.attempt_to_start is not None
    config_map = build_attempt(job, decision.attempt_to_start, SETTINGS, decision.adjustments)[0]
    (document,) = config_map["data"].values()
    adjustments: dict[str, Any] = json.loads(document)["adjustments"]
    return adjustments


@pytest.mark.parametrize("kind", HOSTILE)
def test_an_edited_status_does_not_change_the_config_of_the_next_attempt(kind: str) -> None:
    (failed,) = render_attempts([an_attempt(1, Result.INTERRUPTED)])
    status = {"runId": "1", "attempts": [{**failed, "adjustments": HOSTILE[kind]}]}

    assert next_config(a_job_body(status=status), Children()) == {}


@pytest.mark.parametrize("kind", HOSTILE)
def test_an_edited_job_of_an_unrecorded_attempt_does_not_either(kind: str) -> None:
    edited = a_training_job(ended="Failed")
    edited["metadata"]["annotations"] = {ANNOTATION_ADJUSTMENTS: json.dumps(HOSTILE[kind])}
    body = a_job_body()
    job = parse_job(body, SETTINGS)

    observed = observe(job, body, Children(training_jobs=[edited]), NOW + seconds(3600))

    assert [dict(it.adjustments) for it in observed.attempts] == [{}]


@pytest.mark.parametrize(
    "written",
    [
        {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 24},
        {"per_gpu_train_batch_size": 1, "per_gpu_eval_batch_size": 2},
        {"activation_checkpointing": True},
        {"gradient_checkpointing": True, "per_device_eval_batch_size": 2**62},
        {},
    ],
)
def test_what_a_retry_changes_is_read_again(written: dict[str, Any]) -> None:
    records = render_attempts([an_attempt(1, Result.FAILED, adjustments=written)])

    (attempt,) = parse_attempts({"attempts": records})

    assert attempt.adjustments == written


@pytest.mark.parametrize("recorded", [None, [], "a", 7, {"": 1}, {"a": 1}])
def test_adjustments_of_another_shape_are_none(recorded: Any) -> None:
    assert read_adjustments(recorded) == {}
