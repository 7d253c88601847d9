# SPDX-License-Identifier: Apache-2.0
from typing import Any

import pytest

from finetune_contract.answers import Answer
from finetune_contract.outcome import Outcome
from finetune_contract.progress import Progress, TrainerPhase
from finetune_contract.reasons import Reason
from finetune_operator.job.status.progress import (
    is_news,
    render_progress,
    report_patch,
    with_known_steps,
    with_outcome,
)
from support.factories import NOW, a_bad_outcome, seconds


def test_a_report_is_rendered_in_readable_units() -> None:
    progress = Progress(
        phase=TrainerPhase.TRAINING,
        step=42,
        total_steps=100,
        epoch=0.4200001,
        loss=1.23456789,
        base_eval_loss=4.0,
        metrics={"eval_bleu": 0.5},
        learning_rate=2e-4,
        tokens_per_second=1234.5678,
        eta_seconds=150,
        world_size=2,
    )

    assert render_progress(progress, 1, NOW) == {
        "attempt": 1,
        "phase": "Training",
        "doing": None,
        "percent": 42,
        "step": 42,
        "totalSteps": 100,
        "epoch": 0.42,
        "loss": 1.2346,
        "evalLoss": None,
        "baseEvalLoss": 4.0,
        "metrics": {"eval_bleu": 0.5},
        "learningRate": 0.0002,
        "tokensPerSecond": 1234.6,
        "eta": "2m30s",
        "worldSize": 2,
        "microBatch": None,
        "checkpointStep": None,
        "unsaved": None,
        "resumedFromStep": None,
        "updated": "2026-05-04T12:00:00Z",
    }


@pytest.mark.parametrize(
    ("status", "step", "expected"),
    [
        pytest.param({}, 1, True, id="before the attempt is recorded"),
        pytest.param({"attempts": [{"number": 1}]}, 1, True, id="attempt 0 was recorded only"),
        pytest.param({"attempts": [{"number": 2}]}, 1, True, id="while it runs"),
        pytest.param({"attempts": [{"number": 3}]}, 9, False, id="of an earlier attempt"),
        pytest.param(
            {"attempts": [{"number": 2, "endTime": "x", "lastStep": 8}]},
            9,
            True,
            id="of one that was killed, with a later step",
        ),
        pytest.param(
            {"attempts": [{"number": 2, "endTime": "x", "lastStep": 9}]},
            9,
            False,
            id="of one that has ended, with nothing new",
        ),
        pytest.param(
            {"attempts": [{"number": 2, "endTime": "x"}]}, None, False, id="ended, without a step"
        ),
    ],
)
def test_a_report_counts_as_news_only_if_it_changes_something(
    status: dict[str, Any], step: int | None, expected: bool
) -> None:
    assert is_news(status, 2, Progress(step=step), NOW) is expected


def test_answers_are_written_once_even_after_the_attempt_has_ended() -> None:
    status = {"attempts": [{"number": 2, "endTime": "2026-05-04T12:00:00Z", "lastStep": 9}]}
    told = Progress(step=9, answers=(Answer(prompt="Name a colour.", before=None, after="Blue."),))
    patch = report_patch(status, 2, told, NOW)

    assert is_news(status, 2, told, NOW)
    # Only these: the outcome contains the final figures.
    assert patch == {"answers": [{"prompt": "Name a colour.", "after": "Blue."}]}
    assert not is_news(status | {"answers": patch["answers"]}, 2, told, NOW)


WRITTEN = {
    "attempt": 1,
    "phase": "Training",
    "step": 12,
    "resumedFromStep": 10,
    "updated": "2026-05-04T12:00:00Z",
}


@pytest.mark.parametrize(
    ("progress", "later", "expected"),
    [
        pytest.param(Progress(step=13, resumed_from_step=10), 0, True, id="a later step"),
        pytest.param(Progress(step=12, resumed_from_step=10), 5, True, id="the same step"),
        pytest.param(Progress(step=11, resumed_from_step=10), 5, False, id="held up on its way"),
        pytest.param(
            Progress(phase=TrainerPhase.FETCHING), 5, False, id="an earlier phase, held up"
        ),
        pytest.param(
            Progress(step=6, resumed_from_step=5), 5, True, id="of a pod that resumed lower"
        ),
        pytest.param(
            Progress(step=6, resumed_from_step=5), -5, False, id="reported before and resumed lower"
        ),
        pytest.param(Progress(step=1), 40, True, id="of a stock trainer that restarted"),
        pytest.param(
            Progress(phase=TrainerPhase.PUBLISHING, step=12), 0, True, id="the next phase"
        ),
    ],
)
def test_reports_out_of_order_are_dropped(progress: Progress, later: int, expected: bool) -> None:
    status = {"attempts": [{"number": 1}], "progress": WRITTEN}

    assert is_news(status, 1, progress, NOW + seconds(later)) is expected


def test_a_report_of_an_unrecorded_attempt_is_written_completely() -> None:
    status = {"attempts": [{"number": 1, "endTime": "2026-05-04T12:00:00Z", "lastStep": 9}]}
    told = Progress(step=4, loss=1.5, eta_seconds=60)

    patch = report_patch(status, 2, told, NOW)

    assert (patch["progress"]["step"], patch["progress"]["eta"]) == (4, "1m")


def test_an_unknown_phase_of_another_version_does_not_block_a_report() -> None:
    status = {"attempts": [{"number": 1}], "progress": WRITTEN | {"phase": "Distilling"}}

    assert is_news(status, 1, Progress(step=12, resumed_from_step=10), NOW)


def test_the_loss_history_survives_attempts_and_drops_steps_trained_again() -> None:
    curve = [{"step": 5, "loss": 2.0}, {"step": 10, "loss": 1.0}, {"step": 12, "loss": 0.9}]
    status = {"progress": WRITTEN, "lossHistory": curve}

    resumed = report_patch(status, 2, Progress(resumed_from_step=10), NOW)
    went_on = report_patch(status, 2, Progress(step=11, loss=1.5, resumed_from_step=10), NOW)

    assert resumed["lossHistory"] == curve[:2]
    assert went_on["lossHistory"] == [*curve[:2], {"step": 11, "loss": 1.5}]


def test_a_report_without_a_new_loss_does_not_write_the_curve_again() -> None:
    status = {"progress": WRITTEN, "lossHistory": [{"step": 12, "loss": 0.9}]}
    same = Progress(step=12, loss=0.9, resumed_from_step=10)

    assert "lossHistory" not in report_patch(status, 1, same, NOW)


def test_figures_of_an_earlier_attempt_are_not_mixed_with_the_last_ones() -> None:
    earlier = {"attempt": 1, "loss": 0.5, "step": 9}

    final = with_outcome(earlier, a_bad_outcome(), 2)

    assert (final["attempt"], final["step"]) == (2, 7)
    assert "loss" not in final


@pytest.mark.parametrize(
    ("written", "step", "total"),
    [
        pytest.param(
            {"attempt": 1, "step": 3, "totalSteps": 8}, 8, 8, id="all of the reported ones"
        ),
        pytest.param(
            {"attempt": 2, "step": 3, "totalSteps": 8}, None, None, id="another attempt's"
        ),
        pytest.param({}, None, None, id="none reported"),
    ],
)
def test_the_last_report_of_a_stock_trainer_keeps_the_steps_it_reported_before(
    written: dict[str, Any], step: int | None, total: int | None
) -> None:
    body = b'{"trainerStatus": {"progressPercentage": 100, "metrics": []}}'

    progress = with_known_steps({"progress": written}, 1, Progress.from_body(body))

    assert (progress.step, progress.total_steps) == (step, total)


def test_a_last_report_after_the_end_leaves_no_time_remaining() -> None:
    ended = {"attempts": [{"number": 1, "endTime": "2026-05-04T12:00:00Z"}]}
    report = Progress(step=100, total_steps=100, eta_seconds=0)

    assert "eta" not in report_patch(ended, 1, report, NOW)["progress"]
    assert report_patch({}, 1, report, NOW)["progress"]["eta"] == "0s"


def test_a_download_is_shown_while_it_lasts_and_not_after_the_attempts_end() -> None:
    doing = "downloading Qwen/Qwen2.5-72B-Instruct: 34.1Gi of 135.4Gi"
    shown = render_progress(Progress(phase=TrainerPhase.FETCHING, doing=doing), 1, NOW)
    outcome = Outcome(failure=Reason.HUB_UNREACHABLE.failure("the hub is away", ""))

    assert shown["doing"] == doing
    assert "doing" not in with_outcome(shown, outcome, 1)
