# SPDX-License-Identifier: Apache-2.0
"""The outcome: it survives the termination message, and its exit code gives the category."""

import json

import pytest

from finetune_contract.documents import InvalidDocument
from finetune_contract.limits import MAX_OUTCOME_BYTES
from finetune_contract.outcome import (
    Artifact,
    Category,
    ExitCode,
    Failure,
    Outcome,
    category_of_exit_code,
)

SUCCESS = Outcome(
    artifact=Artifact(uri="s3://m/b/adapter", digest="sha256:00", size_bytes=12),
    adapter_verified=True,
    step=30,
    total_steps=30,
    checkpoint_step=30,
    world_size=2,
    figures={"loss": 0.5, "eval_loss": 1.0},
    note="stopped early at step 20",
    hardware="2 x NVIDIA L4, driver 580.65.06 (CUDA 13.0)",
)


def a_failure(category: Category = Category.USER, message: str = "no such dataset") -> Outcome:
    return Outcome(
        failure=Failure(
            category=category,
            reason="DatasetNotFound",
            message=message,
            remedy="upload it",
            phase="Fetching",
            rank=1,
        )
    )


@pytest.mark.parametrize("outcome", [SUCCESS, a_failure()], ids=["success", "failure"])
def test_the_operator_reads_the_outcome_the_trainer_wrote(outcome: Outcome) -> None:
    read = Outcome.from_json(outcome.to_json())

    assert read.failure == outcome.failure
    assert read.artifact == outcome.artifact
    assert dict(read.figures or {}) == dict(outcome.figures or {})
    assert read.note == outcome.note
    assert read.hardware == outcome.hardware


@pytest.mark.parametrize("character", ["x", "\n", "é", "\u2028", "\U0001f388"])
def test_an_outcome_always_fits_the_termination_log(character: str) -> None:
    text = a_failure(message="start " + character * 9000 + " end").to_json()

    assert len(text.encode()) <= MAX_OUTCOME_BYTES
    failure = Outcome.from_json(text).failure
    assert failure is not None
    assert failure.message.startswith("start")


@pytest.mark.parametrize("category", list(Category))
def test_the_exit_code_shows_the_failure_category(category: Category) -> None:
    assert category_of_exit_code(a_failure(category).exit_code) == category


def test_only_success_exits_with_zero() -> None:
    assert SUCCESS.exit_code == ExitCode.SUCCEEDED == 0
    assert all(a_failure(category).exit_code != 0 for category in Category)


@pytest.mark.parametrize(
    ("exit_code", "category"),
    [
        pytest.param(137, Category.INFRASTRUCTURE, id="SIGKILL"),
        pytest.param(139, Category.INFRASTRUCTURE, id="SIGSEGV"),
        pytest.param(1, Category.INTERNAL, id="an uncaught exception"),
        pytest.param(0, None, id="success"),
    ],
)
def test_a_foreign_exit_code_is_never_a_user_error(
    exit_code: int, category: Category | None
) -> None:
    assert category_of_exit_code(exit_code) == category


def test_a_log_that_is_not_an_outcome_is_refused() -> None:
    with pytest.raises(InvalidDocument, match="outcome is not JSON"):
        Outcome.from_json("Traceback (most recent call last):")


def test_an_unknown_category_is_named_in_the_error() -> None:
    document = json.loads(a_failure().to_json())
    document["failure"]["category"] = "Nobody"

    with pytest.raises(InvalidDocument, match="category is 'Nobody'"):
        Outcome.from_json(json.dumps(document))
