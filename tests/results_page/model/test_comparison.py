# SPDX-License-Identifier: Apache-2.0
"""The differences between jobs: keys of their specs, and figures by their names in words."""

from typing import Any

import pytest

from finetune_results_page.model.comparison import differences, metrics_of, results


def differing(*configs: Any) -> dict[str, tuple[str | None, ...]]:
    found = differences([{"config": config} for config in configs])
    return {difference.key: difference.values for difference in found}


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ({"lora_r": 8}, {"lora_r": 8}, {}),
        ({"lora_r": 8}, {"lora_r": 16}, {"lora_r": ("8", "16")}),
        ({"lora_r": 8}, {}, {"lora_r": ("8", None)}),
        ({"packing": None}, {}, {"packing": ("null", None)}),
        ({"epochs": 1}, {"epochs": 1.0}, {}),
        ({"packing": 1}, {"packing": True}, {"packing": ("1", "true")}),
        ({"rate": "1e-4"}, {"rate": 1e-4}, {"rate": ("1e-4", "0.0001")}),
        (
            {"modules": ["q", "v"]},
            {"modules": ["v", "q"]},
            {"modules": ('["q", "v"]', '["v", "q"]')},
        ),
        ({"env": {"A": "1", "B": "2"}}, {"env": {"A": "1", "B": "3"}}, {"env.B": ("2", "3")}),
        ({"env": {}}, {}, {"env": ("{}", None)}),
        ({"env": {"A": "1"}}, {"env": "A=1"}, {"env.A": ("1", None), "env": (None, "A=1")}),
        ({"text": ""}, {"text": "a"}, {"text": ('""', "a")}),
        ({"a.b": 1}, {"a": {"b": 1}}, {'"a.b"': ("1", None), "a.b": (None, "1")}),
    ],
    ids=str,
)
def test_only_keys_whose_value_differs_are_shown(one: Any, other: Any, expected: Any) -> None:
    assert differing(one, other) == expected


def test_several_jobs_are_compared_key_by_key() -> None:
    assert differing({"r": 8, "a": 1}, {"r": 16, "a": 1}, {"a": 1}) == {"r": ("8", "16", None)}


def test_the_keys_of_the_config_are_first() -> None:
    one = {"output": {"uri": "a"}, "config": {"lora_r": 8}, "resources": {"nodes": 1}}
    other = {"output": {"uri": "b"}, "config": {"lora_r": 4}, "resources": {"nodes": 2}}

    keys = [difference.key for difference in differences([one, other])]

    assert keys == ["lora_r", "output.uri", "resources.nodes"]


@pytest.mark.parametrize("spec", [None, [], "spec", 1, {"config": None}])
def test_a_spec_with_an_unexpected_shape_is_compared_too(spec: Any) -> None:
    found = differences([spec, {"config": {"lora_r": 8}}])

    assert "lora_r" in {difference.key for difference in found}


def test_figures_have_readable_names_and_those_of_no_job_are_hidden() -> None:
    one = {"progress": {"step": 200, "totalSteps": 400, "evalLoss": 0.53}}
    other = {"progress": {"evalLoss": 0.61, "metrics": {"eval_mean_token_accuracy": 0.8123}}}

    found = {figure.key: figure.values for figure in results([one, other])}

    assert found == {
        "Step": ("200 of 400", None),
        "Evaluation: loss": ("0.53", "0.61"),
        "Evaluation: mean token accuracy": (None, "0.8123"),
    }


def test_metrics_that_are_not_numbers_are_omitted() -> None:
    metrics = {"nan": float("nan"), "inf": float("inf"), "huge": 10**400, "large": 1e200}
    metrics |= {"text": "0.5", "flag": True, "none": None, "list": [1], "fine": 0.25}

    assert list(metrics_of({"progress": {"metrics": metrics}})) == [("Fine", "0.25")]


def test_the_number_of_metrics_is_limited_to_what_a_status_can_contain() -> None:
    metrics = {f"metric_{number}": number for number in range(1000)}

    assert len(list(metrics_of({"progress": {"metrics": metrics}}))) == 16
