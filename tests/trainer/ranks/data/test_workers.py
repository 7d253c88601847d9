# SPDX-License-Identifier: Apache-2.0
"""Rows prepared in parallel are the same as with one process, in the same order."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from finetune_contract.progress import Progress
from finetune_trainer.exchange.rank_settings import RankSettings
from finetune_trainer.exchange.workspace import Workspace
from finetune_trainer.supervision.preparing import LEAST_BYTES, is_worth_it
from support.long_form import keeping
from trainer.prepared_data import Prepared, data_of, prepare, said

pytestmark = pytest.mark.slow

ROWS = 90
CPUS = 3


def words(number: int) -> str:
    return " ".join(f"word{number * 7 % (place + 3)}" for place in range(number % 17 + 1))


def a_conversation(number: int) -> dict[str, Any]:
    return said(f"Question {number}?", words(number))


def a_text(number: int) -> dict[str, Any]:
    return {"text": words(number)}


def an_answer(number: int) -> dict[str, Any]:
    return {"prompt": f"Question {number}: ", "completion": words(number)}


def a_broken_row(number: int) -> dict[str, Any]:
    """Some are left out, at any position."""
    return {"instruction": f"Do {number}.", "output": words(number) if number % 7 else ""}


@pytest.fixture(autouse=True)
def few_are_worth_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    from finetune_trainer.ranks.data import workers

    monkeypatch.setattr(workers, "ROWS_PER_WORKER", 20)


def rows_of(prepared: Prepared) -> list[dict[str, Any]]:
    return list(prepared.trainer.train_dataset)


@pytest.mark.parametrize(
    ("row", "config"),
    keeping(
        ("packed", "shuffled", "completions", "some left out"),
        [
            pytest.param(a_conversation, {}, id="conversations"),
            pytest.param(a_conversation, {"max_length": 24}, id="cut"),
            pytest.param(
                a_conversation, {"max_length": 24, "truncation_mode": "keep_end"}, id="end"
            ),
            pytest.param(a_conversation, {"max_length": 64, "packing": True}, id="packed"),
            pytest.param(
                a_text,
                {"max_length": 64, "packing": True, "packing_strategy": "wrapped"},
                id="wrapped",
            ),
            pytest.param(
                a_text,
                {"max_length": 64, "packing": True, "packing_strategy": "bfd_split"},
                id="split while packed",
            ),
            pytest.param(a_text, {"shuffle_dataset": True}, id="shuffled"),
            pytest.param(an_answer, {"completion_only_loss": True}, id="completions"),
            pytest.param(a_conversation, {"system_message": "Be brief."}, id="system message"),
            pytest.param(a_broken_row, {"dataset_format": "alpaca"}, id="some left out"),
        ],
    ),
)
def test_several_workers_give_the_same_rows_in_the_same_order_as_one_process(
    tmp_path: Path,
    tiny_model: Path,
    row: Callable[[int], dict[str, Any]],
    config: dict[str, Any],
) -> None:
    rows = [row(number) for number in range(ROWS)]
    places = tmp_path / "one", tmp_path / "many"
    for place in places:
        place.mkdir()

    one, many = (
        prepare(place, tiny_model, rows, cpus=cpus, **config)
        for place, cpus in zip(places, (1, CPUS), strict=True)
    )

    assert rows_of(many) == rows_of(one)
    assert many.trainer.accounts == one.trainer.accounts


@pytest.mark.parametrize(
    ("rows", "given", "cpus", "expected"),
    [
        (1_000_000, None, 16, 16),
        (1_000_000, None, 1, None),
        (30, None, 16, None),  # It ends before another process could begin.
        (60, None, 16, 3),
        (1_000_000, 4, 16, 4),  # The user's value.
        (10, 4, 16, 4),
    ],
)
def test_the_number_of_workers_follows_the_cpus_and_rows(
    rows: int, given: int | None, cpus: int, expected: int | None
) -> None:
    from finetune_trainer.ranks.data import workers

    assert workers.workers(given, cpus)(rows) == expected


def test_a_rank_finds_the_data_prepared_before_its_start(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process prepares, as in a job of several GPUs; the rank itself prepares nothing."""
    import datasets

    from finetune_trainer.ranks.data import workers

    place = tmp_path / "rank"
    place.mkdir()
    monkeypatch.setattr(workers, "ROWS_PER_WORKER", 1000)  # As in the other process.
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    rows = [a_conversation(number) for number in range(2000)]
    config = {"max_length": 64, "packing": True, "fsdp": "full_shard", "system_message": "Brief."}
    workspace = Workspace(root=tmp_path / "work")
    workspace.root.mkdir()
    settings = {
        "model_name_or_path": str(tiny_model),
        "dataset_name": str(data_of(place, rows)),
        "output_dir": str(place / "training"),
        "use_cpu": True,
        "bf16": False,
        "report_to": "none",
        "use_peft": True,
    }
    workspace.config.write_text(yaml.safe_dump({**settings, **config}))
    workspace.rank_settings.write_text(RankSettings(world_size=2, cpus=CPUS).to_json())

    of_a_rank = {"RANK": "0", "WORLD_SIZE": "2", "TQDM_DISABLE": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "finetune_trainer.ranks.prepare", str(workspace.root), "0"],
        env={**os.environ, **of_a_rank, "HF_DATASETS_CACHE": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    before = cached()
    assert before
    prepared = prepare_again(place, {**settings, **config, "fsdp": ""})
    after = cached()
    prepare_again(place, {**settings, **config, "fsdp": "", "system_message": "At length."})

    assert "the data is prepared" in done.stderr
    assert after == before
    assert cached() > after  # Rows that were not prepared before are prepared here.
    assert len(rows_of(prepared)) > 0
    told = Progress.from_body(workspace.progress.read_bytes())
    assert told.doing
    assert re.search(r": [\d,]+ of [\d,]+$", told.doing)


def cached() -> set[Path]:
    """The files that `datasets` has prepared so far."""
    import datasets

    return {*Path(datasets.config.HF_DATASETS_CACHE).rglob("*.arrow")}


def prepare_again(place: Path, settings: dict[str, Any]) -> Prepared:
    """Like `prepare`, with existing files."""
    from finetune_trainer.ranks.arguments import read_arguments
    from finetune_trainer.ranks.building import build_trainer, load_processor
    from finetune_trainer.ranks.data import prepare_data
    from finetune_trainer.ranks.data.fitting import fit_to_template

    (place / "config.yaml").write_text(yaml.safe_dump(settings))
    arguments = read_arguments(place / "config.yaml", CPUS)
    loaded = fit_to_template(prepare_data(arguments), arguments, load_processor(arguments))
    return Prepared(trainer=build_trainer(arguments, loaded.dataset), loaded=loaded)


@pytest.mark.parametrize(
    ("config", "is_worth"),
    [
        ({"dataset_name": "large.jsonl"}, True),
        ({"dataset_name": "small.jsonl"}, False),
        ({"dataset_name": "."}, True),
        ({"dataset_name": "org/data-of-the-hub"}, True),
        ({"dataset_name": "large.jsonl", "dataset_streaming": True}, False),
        ({"datasets": [{"path": "small.jsonl"}, {"path": "large.jsonl"}]}, True),
        ({"datasets": [{"path": "small.jsonl"}]}, False),
    ],
)
def test_small_datasets_are_prepared_by_the_ranks(
    config: dict[str, Any], is_worth: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "large.jsonl").write_bytes(b"x" * LEAST_BYTES)
    (tmp_path / "small.jsonl").write_text(json.dumps(a_text(1)))

    assert is_worth_it(config) is is_worth
