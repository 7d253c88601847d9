# SPDX-License-Identifier: Apache-2.0
"""Trackers without a network: the message about a missing one, the files of the others."""

import json
import sqlite3
import struct
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from finetune_contract.outcome import Category
from finetune_spec.config import read_config
from finetune_trainer.failures.errors import AttemptFailed
from finetune_trainer.plan import trackers
from trainer.in_process import Trained, train
from trainer.runs import a_run


def has_few(package: str) -> bool:
    return package in ("wandb", "tensorboardX")


@pytest.mark.parametrize(
    "config",
    [
        pytest.param({"report_to": "neptune"}, id="alone"),
        pytest.param({"report_to": ["wandb", "neptune"]}, id="with an installed one"),
    ],
)
def test_a_tracker_missing_in_the_image_is_refused_with_the_available_ones(
    config: dict[str, object],
) -> None:
    with pytest.raises(AttemptFailed) as caught:
        trackers.require_installed(read_config(config), has_few)

    failure = caught.value.failure
    assert (failure.category, failure.reason) == (Category.USER, "TrackerNotInstalled")
    assert failure.message == (
        'report_to: found "neptune", but this trainer image lacks the package neptune; it has '
        "the packages of tensorboard, wandb"
    )


def test_without_any_tracker_the_message_names_the_extra_that_provides_them() -> None:
    with pytest.raises(AttemptFailed) as caught:
        trackers.require_installed(read_config({"report_to": "wandb"}), lambda _: False)

    failure = caught.value.failure
    assert failure.message == (
        'report_to: found "wandb", but this trainer image lacks the package wandb; no tracker is '
        "installed"
    )
    assert "the extra trackers of finetune-cli" in failure.remedy
    assert "or set report_to to none" in failure.remedy


@pytest.mark.parametrize("value", ["none", "all", [], None, "wandb", ["tensorboard"], "kubeflow"])
def test_an_installed_tracker_is_accepted(value: object) -> None:
    trackers.require_installed(read_config({"report_to": value}), has_few)


def test_this_image_has_the_most_popular_trackers() -> None:
    assert {"tensorboard", "wandb", "mlflow", "trackio"} <= set(trackers.installed())


def test_a_missing_tracker_is_reported_before_anything_is_downloaded(tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"

    trained = train(tmp_path, nowhere, nowhere, report_to="codecarbon")

    assert trained.words().startswith("TrackerNotInstalled")


def test_attempts_of_one_job_share_a_wandb_run_and_other_jobs_do_not() -> None:
    run = a_run()
    again = replace(run, attempt=2)
    other = replace(run, job=replace(run.job, uid="uid-2"))

    first, second, third = (
        trackers.environment(each, Path("/work/trackers"))["WANDB_RUN_ID"]
        for each in (run, again, other)
    )

    assert first == second != third


@pytest.mark.slow
def test_a_rank_imports_only_requested_trackers() -> None:
    code = """
import sys
from finetune_spec.config import read_config
from finetune_trainer.plan.exclusions import excluded_packages
for package in excluded_packages(read_config({"report_to": "tensorboard"}), {}):
    sys.modules[package] = None
import trl
trl.SFTTrainer
print(sorted(name for name in ("wandb", "mlflow", "trackio") if sys.modules.get(name)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def scalars(folder: Path) -> Iterator[tuple[str, int, float]]:
    """TensorBoard's data: tag, step and value."""
    from tensorboardX.proto.event_pb2 import Event

    for file in sorted(folder.glob("events.out.tfevents.*")):
        content = file.read_bytes()
        while content:
            (length,) = struct.unpack("<Q", content[:8])
            event = Event.FromString(content[12 : 12 + length])
            content = content[16 + length :]
            for value in event.summary.value:
                if value.HasField("simple_value"):
                    yield value.tag, event.step, value.simple_value


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, dialogues: Path) -> Trained:
    """A run with all four trackers of the image, without a network."""
    place = tmp_path_factory.mktemp("tracked")
    for name in [name for name in sys.modules if name.partition(".")[0] == "trackio"]:
        # It reads its directory at import, which happens once in a rank.
        del sys.modules[name]
    return train(
        place,
        tiny_model,
        dialogues,
        report_to=["tensorboard", "wandb", "mlflow", "trackio"],
        max_steps=3,
        env={"WANDB_MODE": "offline"},
    )


@pytest.mark.slow
def test_tensorboards_files_contain_the_curve_and_are_published(tracked: Trained) -> None:
    told = [
        (step, value)
        for tag, step, value in scalars(tracked.report / "tensorboard")
        if tag == "train/loss"
    ]

    assert [step for step, _ in told] == [1, 2, 3]
    assert [value for _, value in told] == pytest.approx(tracked.losses())


@pytest.mark.slow
def test_wandbs_offline_run_is_finished_and_published(tracked: Trained) -> None:
    runs = list((tracked.report / "wandb").glob("offline-run-*/run-*.wandb"))

    assert [run.name for run in runs] == ["run-0123456789-uid-1.wandb"]
    assert b"train/loss" in runs[0].read_bytes()


@pytest.mark.slow
def test_mlflows_directory_contains_the_losses_and_is_published(tracked: Trained) -> None:
    files = list((tracked.report / "mlflow").rglob("metrics/loss"))

    assert len(files) == 1
    told = [float(line.split()[1]) for line in files[0].read_text().splitlines()]
    assert told == pytest.approx(tracked.losses())


@pytest.mark.slow
def test_trackios_database_contains_the_losses_and_is_published(tracked: Trained) -> None:
    files = list((tracked.report / "trackio").glob("*.db"))

    assert len(files) == 1
    with sqlite3.connect(files[0]) as database:
        rows = database.execute("select metrics from metrics order by step").fetchall()
    told = [
        record["train/loss"] for (text,) in rows if "train/loss" in (record := json.loads(text))
    ]
    assert told == pytest.approx(tracked.losses())


@pytest.mark.slow
def test_the_manifest_lists_the_files_of_trackers(tracked: Trained) -> None:
    manifest = json.loads((tracked.published / "manifest.json").read_text())
    folders = {file["path"].split("/")[1] for file in manifest["files"] if "/" in file["path"]}

    assert {"tensorboard", "wandb", "mlflow", "trackio"} <= folders


@pytest.mark.slow
def test_after_a_resume_tensorboards_curve_is_complete(
    tmp_path: Path, tiny_model: Path, dialogues: Path
) -> None:
    from transformers import TrainerControl, TrainerState, TrainingArguments
    from transformers.integrations import TensorBoardCallback

    from finetune_trainer.ranks.callbacks.tracking import CurveReplay

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "board"))
        board = TensorBoardCallback()
    arguments = TrainingArguments(output_dir=str(tmp_path), use_cpu=True)
    state = TrainerState(global_step=2, is_world_process_zero=True)
    state.log_history = [{"step": 1, "loss": 4.0}, {"step": 2, "loss": 3.0, "eval_loss": 2.5}]

    for callback in (board, CurveReplay([board])):
        callback.on_train_begin(arguments, state, TrainerControl())
    state.global_step = 3
    board.on_log(arguments, state, TrainerControl(), logs={"loss": 2.0})
    board.on_train_end(arguments, state, TrainerControl())

    found = [each for each in scalars(tmp_path / "board") if each[0].endswith("/loss")]
    assert found == [
        ("train/loss", 1, 4.0),
        ("train/loss", 2, 3.0),
        ("eval/loss", 2, 2.5),
        ("train/loss", 3, 2.0),
    ]
