# SPDX-License-Identifier: Apache-2.0
"""The config check: an error gets one sentence with the nearest correct value."""

from typing import Any

import pytest

from support.config_verdicts import problems_of

GOOD: dict[str, Any] = {"model_name_or_path": "some/model", "dataset_name": "s3://data/set"}


def messages(**changes: Any) -> list[str]:
    return [str(problem) for problem in problems_of(GOOD | changes)]


def test_a_valid_config_has_no_problem() -> None:
    assert messages(learning_rate=2e-5, packing=True, env={"A": "1"}, report_to="none") == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        pytest.param(
            {"learning_rte": 1e-4},
            "learning_rte: not a key of TRL's SFT config, did you mean learning_rate?",
            id="typo",
        ),
        pytest.param({"xyzzy": 1}, "xyzzy: not a key of TRL's SFT config", id="nothing comes near"),
        pytest.param(
            {"output_dir": "/out"},
            "output_dir: is set by the operator: set spec.output.uri instead",
            id="key of the operator",
        ),
        pytest.param(
            {"learning_rate": "fast"},
            'learning_rate: found "fast", expected a number',
            id="wrong type",
        ),
        pytest.param(
            {"per_device_train_batch_size": 2.5},
            "per_device_train_batch_size: found 2.5, expected a whole number or auto",
            id="half an integer",
        ),
    ],
)
def test_an_error_is_reported_in_one_sentence(change: dict[str, Any], sentence: str) -> None:
    assert messages(**change) == [sentence]


def test_errors_are_reported_in_the_order_of_the_file() -> None:
    found = [problem.key for problem in problems_of({"lora_rr": 8, "dataset_name": 7})]

    assert found == ["lora_rr", "dataset_name", "model_name_or_path"]
