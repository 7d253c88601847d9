# SPDX-License-Identifier: Apache-2.0
"""Documents of an attacker: read within bounds, or refused with their position."""

import json
from typing import Any

import pytest

from finetune_contract.documents import InvalidDocument
from finetune_contract.limits import MAX_COUNT
from finetune_contract.outcome import Outcome
from finetune_contract.progress import Progress


@pytest.mark.parametrize("number", [2**63, 10**18 * 5, 10**30, 10**400, -(10**30)])
@pytest.mark.parametrize(
    "ours", [{"step": 0}, {"etaSeconds": 0}, {"worldSize": 0}, {"memory": {"peakBytes": 0}}]
)
def test_a_count_beyond_the_limit_is_refused_with_its_path(
    ours: dict[str, Any], number: int
) -> None:
    body = json.dumps({"progress": ours}).replace("0", str(number)).encode()

    with pytest.raises(InvalidDocument, match=r"^progress\.(memory\.)?\w+ is -?\d+, expected at"):
        Progress.from_body(body)


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_figure_that_is_not_a_number_is_unknown(word: str) -> None:
    progress = Progress.from_body(
        f'{{"progress": {{"step": 3, "loss": {word}, "epoch": {word}}}}}'.encode()
    )

    assert (progress.step, progress.loss, progress.epoch) == (3, None, None)


@pytest.mark.parametrize(
    "status",
    [
        {"metrics": [{"name": "total_steps", "value": "1e308"}], "progressPercentage": MAX_COUNT},
        {"metrics": [{"name": "current_step", "value": "1e300"}]},
        {"metrics": [{"name": "global_step", "value": "Infinity"}]},
        {"metrics": [{"name": "total_steps", "value": "9" * 5000}], "progressPercentage": 50},
    ],
)
def test_a_stock_trainer_cannot_report_a_step_count_beyond_the_limit(
    status: dict[str, Any],
) -> None:
    progress = Progress.from_body(json.dumps({"trainerStatus": status}).encode())

    assert progress.step is None
    assert progress.total_steps is None


@pytest.mark.parametrize(
    "text",
    [
        "[" * 2000,
        '{"version":1,"step":NaN}',
        f'{{"version":1,"step":{10**400}}}',
        f'{{"version":1,"checkpointStep":{-(10**19)}}}',
        '{"version":1,"figures":' + '{"a":' * 800,
        f'{{"version":1,"artifact":{{"uri":"s3://a/b","digest":"x","sizeBytes":{2**63}}}}}',
        f'{{"version":1,"failure":{{"rank":{10**19}}}}}',
        '{"version":1e999}',
        "\x00",
        '{"version":1,"note":{}}',
    ],
)
def test_an_unreadable_termination_log_is_an_invalid_document(text: str) -> None:
    with pytest.raises(InvalidDocument):
        Outcome.from_json(text)


def test_the_figures_of_an_outcome_are_numbers() -> None:
    text = '{"version":1,"figures":{"loss":NaN,"eval_loss":1e999,"accuracy":0.5}}'

    assert Outcome.from_json(text).figures == {"accuracy": 0.5}
