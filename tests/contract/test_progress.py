# SPDX-License-Identifier: Apache-2.0
"""Progress: ours and the stock Kubeflow callback's, through the same body."""

import json
import math

import pytest

from finetune_contract.answers import Answer
from finetune_contract.documents import InvalidDocument
from finetune_contract.limits import MAX_METRICS
from finetune_contract.progress import GpuMemory, Progress, TrainerPhase

PROGRESS = Progress(
    phase=TrainerPhase.TRAINING,
    attempt=1,
    step=29,
    total_steps=30,
    epoch=4.8,
    loss=0.25,
    eval_loss=1.5,
    base_eval_loss=2.5,
    metrics={"eval_bleu": 0.5},
    learning_rate=1e-4,
    tokens_per_second=150.5,
    eta_seconds=3,
    resumed_from_step=10,
    checkpoint_step=20,
    world_size=2,
    memory=GpuMemory(estimated_bytes=15_000_000_000, peak_bytes=14_000_000_000),
    answers=(Answer(prompt="Name a colour.", before=None, after="Blue."),),
)


def test_the_operator_reads_the_progress_the_trainer_posted() -> None:
    assert Progress.from_body(PROGRESS.to_body()) == PROGRESS


def test_a_kubeflow_server_accepts_our_body_too() -> None:
    stock = json.loads(PROGRESS.to_body())["trainerStatus"]

    assert stock["progressPercentage"] == 96
    assert stock["estimatedRemainingSeconds"] == 3
    assert {"name": "loss", "value": "0.25"} in stock["metrics"]


def test_the_body_of_the_stock_kubeflow_callback_is_accepted() -> None:
    body = {
        "trainerStatus": {
            "progressPercentage": 50,
            "estimatedRemainingSeconds": 60,
            "metrics": [
                {"name": "total_steps", "value": "200"},
                {"name": "loss", "value": "1.5"},
                {"name": "grad_norm", "value": "nan"},
            ],
            "lastUpdatedTime": "2026-01-01T00:00:00Z",
        }
    }

    progress = Progress.from_body(json.dumps(body).encode())

    assert (progress.step, progress.total_steps, progress.loss) == (100, 200, 1.5)
    assert progress.eta_seconds == 60


def test_a_loss_that_is_not_a_number_is_omitted() -> None:
    body = Progress(step=1, loss=math.nan, learning_rate=math.inf).to_body()

    assert Progress.from_body(body) == Progress(step=1)


def test_progress_is_100_percent_only_at_the_end() -> None:
    assert Progress(step=999, total_steps=1000).percent == 99
    assert Progress(step=1000, total_steps=1000).percent == 100
    assert Progress(step=5).percent is None


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        pytest.param(b"not json", "progress is not JSON", id="not JSON"),
        pytest.param(b"{}", "trainerStatus is missing", id="neither body"),
        pytest.param(b'{"progress": {"phase": "Dancing"}}', "phase is 'Dancing'", id="phase"),
        pytest.param(
            b'{"progress": {"phase": "Training", "step": "one"}}', "step is str", id="type"
        ),
    ],
)
def test_an_invalid_body_is_refused_in_one_sentence(body: bytes, sentence: str) -> None:
    with pytest.raises(InvalidDocument, match=sentence):
        Progress.from_body(body)


def test_only_a_few_named_numbers_of_the_posted_metrics_are_kept() -> None:
    posted = {
        **dict.fromkeys(("", "x" * 65), 1),
        "text": "1",
        "truth": True,
        "nothing": None,
        "endless": float("inf"),
        "huge": 10**400,
        **{f"eval_{number}": number for number in range(100)},
    }
    body = json.dumps({"progress": {"phase": "Training", "metrics": posted}})

    metrics = Progress.from_body(body.encode()).metrics

    assert metrics == {f"eval_{number}": float(number) for number in range(MAX_METRICS)}
