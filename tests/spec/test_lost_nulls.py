# SPDX-License-Identifier: Apache-2.0
"""A null that kubectl has dropped is reported."""

import json
from typing import Any

import pytest

from finetune_spec.job import check_job
from finetune_spec.lost_nulls import LAST_APPLIED

GOOD = {"model_name_or_path": "some/model", "dataset_name": "some/data"}


def warnings(applied: str, **sent: Any) -> list[str]:
    spec = {"config": {**GOOD, **sent}, "output": {"uri": "s3://models/x"}}
    return [
        str(problem) for problem in check_job(spec, annotations={LAST_APPLIED: applied}).problems
    ]


def applied(**config: Any) -> str:
    return json.dumps({"spec": {"config": {**GOOD, **config}}})


@pytest.mark.parametrize("key", ["max_length", "max_seq_length"])
def test_a_null_that_kubectl_dropped_is_reported_with_the_value_in_effect(key: str) -> None:
    sentence = (
        "kubectl apply removed this null, so the default 1024 applies: use kubectl apply "
        "--server-side"
    )

    assert warnings(applied(**{key: None})) == [f"spec.config.{key}: {sentence}"]


def test_a_dropped_null_that_changes_nothing_is_not_reported() -> None:
    assert warnings(applied(run_name=None, no_such_key=None)) == []


def test_a_null_that_was_kept_is_not_reported() -> None:
    assert warnings(applied(max_length=None), max_length=None) == []


@pytest.mark.parametrize("text", ["", "{", "[]", '{"spec": null}', '{"spec": {"config": [1]}}'])
def test_an_annotation_without_information_is_ignored(text: str) -> None:
    assert warnings(text) == []
