# SPDX-License-Identifier: Apache-2.0
"""For any content of a config, a data file or a model's directory: an error message, or a training
that used all of it, and nothing else.

Never a traceback, never a success with misread rows, never a hang. The attempts are real, of one
step with a tiny model, in the test's own process.
"""

import logging
import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from finetune_contract.outcome import Outcome
from finetune_spec.config.parse.schema import load_schema
from trainer.mutations.configs import SpoiledConfig, configs
from trainer.mutations.data_file import DataFile
from trainer.mutations.data_files import data_files
from trainer.mutations.models import SpoiledModel, models

SEED = 2026
Spoiled = TypeVar("Spoiled")

IN_SOAK = 1000
"""The number of each kind."""
SOME = pytest.mark.parametrize("count", [10, pytest.param(30, marks=pytest.mark.long)])
SOME_FILES = pytest.mark.parametrize("count", [13, pytest.param(310, marks=pytest.mark.long)])
"""One of each way to spoil a file, or several."""
SOME_MODELS = pytest.mark.parametrize("count", [9, pytest.param(90, marks=pytest.mark.long)])


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Logs little, and restores the process-wide effects of configs."""
    import torch

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    handler, threads = signal.getsignal(signal.SIGTERM), torch.get_num_threads()
    torch.set_num_threads(1)
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)
    signal.signal(signal.SIGTERM, handler)


def compute_on_and_on() -> None:
    while True:
        pass


@pytest.mark.slow
def test_what_computes_on_and_on_is_given_up_and_what_waits_is_not() -> None:
    from trainer.mutations.attempts import TookTooLong, bounded

    with bounded(busy=0.1):
        time.sleep(0.5)
    with pytest.raises(TookTooLong), bounded(busy=0.1):
        compute_on_and_on()


@pytest.mark.slow
def test_what_waits_for_good_is_given_up() -> None:
    from trainer.mutations.attempts import TookTooLong, bounded

    with pytest.raises(TookTooLong), bounded(idle=0.1):
        threading.Event().wait()


@pytest.mark.slow
@SOME
def test_no_corrupted_config_causes_a_traceback_or_a_silent_success(
    tiny_model: Path, dialogues: Path, count: int
) -> None:
    _spoil_configs(tiny_model, dialogues, count)


@pytest.mark.slow
@SOME_FILES
def test_no_corrupted_data_file_is_trained_on_silently(tiny_model: Path, count: int) -> None:
    _spoil_files(tiny_model, count)


@pytest.mark.slow
@SOME_MODELS
def test_no_corrupted_model_is_trained(
    tiny_model: Path, dialogues: Path, tmp_path: Path, count: int
) -> None:
    _spoil_models(tiny_model, dialogues, tmp_path, count)


@pytest.mark.soak
def test_none_of_1000_corrupted_configs_causes_a_traceback_or_a_silent_success(
    tiny_model: Path, dialogues: Path
) -> None:
    _spoil_configs(tiny_model, dialogues, IN_SOAK)


@pytest.mark.soak
def test_none_of_1000_corrupted_data_files_is_trained_on_silently(tiny_model: Path) -> None:
    _spoil_files(tiny_model, IN_SOAK)


def _spoil_configs(model: Path, data: Path, count: int) -> None:
    from trainer.mutations.attempts import attempt, complaint_about_config

    def carry_out(config: SpoiledConfig) -> tuple[Outcome | None, str]:
        outcome = attempt(model, data, config.added)
        return outcome, complaint_about_config(outcome, config)

    _report(configs(load_schema(), SEED, count), carry_out, lambda config: str(config.added))


def _spoil_files(model: Path, count: int) -> None:
    from trainer.cases.watching import watched
    from trainer.mutations.attempts import attempt, complaint_about_rows, complaint_about_texts

    def carry_out(file: DataFile) -> tuple[Outcome | None, str]:
        with watched() as rows:
            outcome = attempt(model, file, {"max_steps": 1, "per_device_train_batch_size": 8})
        said = complaint_about_texts(outcome, file, rows)
        return outcome, complaint_about_rows(outcome, file) or said

    _report(data_files(SEED, count), carry_out, lambda file: f"{file.name}: {file.how}")


def _spoil_models(sound: Path, data: Path, place: Path, count: int) -> None:
    from trainer.mutations.attempts import attempt, complaint_about_model

    def carry_out(model: SpoiledModel) -> tuple[Outcome | None, str]:
        folder = place / "model"
        shutil.copytree(sound, folder)
        model.spoil(folder)
        outcome = attempt(folder, data, {"max_steps": 1})
        shutil.rmtree(folder)
        return outcome, complaint_about_model(outcome)

    _report(models(SEED, count), carry_out, lambda model: model.how)


def _report(
    spoiled: Iterable[Spoiled],
    carry_out: Callable[[Spoiled], tuple[Outcome | None, str]],
    shown: Callable[[Spoiled], str],
) -> None:
    """Carries out all of them; reports each problem immediately, and again at the end."""
    counts: Counter[str] = Counter()
    complaints = []
    for one in spoiled:
        outcome, complaint = carry_out(one)
        failure = outcome.failure if outcome else None
        counts["hung" if outcome is None else failure.reason if failure else "trained"] += 1
        if complaint:
            complaints.append(f"{shown(one)} | {complaint}")
            print(complaints[-1], flush=True)
        if not sum(counts.values()) % 100:
            print(dict(counts), flush=True)
    print(f"\n{sum(counts.values())} attempts: {dict(counts)}")
    assert not complaints, "\n".join(complaints)
