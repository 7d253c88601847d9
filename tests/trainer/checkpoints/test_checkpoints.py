# SPDX-License-Identifier: Apache-2.0
"""The checkpoint from which a run resumes, and the ones that are deleted."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from finetune_trainer.checkpoints import checkpoints
from finetune_trainer.checkpoints.checkpoints import Writer
from finetune_trainer.failures.stopping import StopRequest
from finetune_trainer.storage.folder import FolderStore
from trainer.runs import a_folder

FIRST = Writer(attempt=1, node=0, nodes=1)
FILES = {"adapter.safetensors": b"weights", "optimizer.pt": b"moments"}


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "store")


def write(store: FolderStore, tmp_path: Path, step: int, writer: Writer = FIRST) -> None:
    folder = a_folder(tmp_path / f"saved-{step}", FILES)
    assert checkpoints.write(store, folder, step, writer)


def fetch(store: FolderStore, tmp_path: Path) -> checkpoints.Checkpoint | None:
    return checkpoints.fetch_newest(store, tmp_path / "resume", StopRequest())


def test_a_new_run_has_no_checkpoint(store: FolderStore, tmp_path: Path) -> None:
    assert fetch(store, tmp_path) is None


def test_the_newest_checkpoint_is_fetched_completely(store: FolderStore, tmp_path: Path) -> None:
    write(store, tmp_path, 9)
    write(store, tmp_path, 10)

    checkpoint = fetch(store, tmp_path)

    assert checkpoint is not None
    assert checkpoint.step == 10
    assert {path.name: path.read_bytes() for path in checkpoint.folder.iterdir()} == FILES


def test_a_checkpoint_without_a_manifest_is_never_chosen(
    store: FolderStore, tmp_path: Path
) -> None:
    write(store, tmp_path, 2)
    for name, body in FILES.items():
        store.write(f"checkpoints/step-00000004/attempt-1/{name}", body)

    checkpoint = fetch(store, tmp_path)

    assert checkpoint is not None
    assert checkpoint.step == 2


@pytest.mark.parametrize(
    "body", [pytest.param(b"WEIGHTS", id="other bytes"), pytest.param(b"weigh", id="cut short")]
)
def test_an_older_checkpoint_replaces_a_damaged_one(
    store: FolderStore, tmp_path: Path, body: bytes
) -> None:
    write(store, tmp_path, 2)
    write(store, tmp_path, 4)
    store.write("checkpoints/step-00000004/attempt-1/adapter.safetensors", body)

    checkpoint = fetch(store, tmp_path)

    assert checkpoint is not None
    assert checkpoint.step == 2


def test_a_run_starts_from_the_beginning_if_a_file_of_its_checkpoint_is_missing(
    store: FolderStore, tmp_path: Path
) -> None:
    write(store, tmp_path, 4)
    store.delete(["checkpoints/step-00000004/attempt-1/optimizer.pt"])

    assert fetch(store, tmp_path) is None


def test_a_checkpoint_with_an_unreadable_manifest_is_ignored(
    store: FolderStore, tmp_path: Path
) -> None:
    write(store, tmp_path, 4)
    store.write("checkpoints/step-00000004/manifest.json", b"{")

    assert fetch(store, tmp_path) is None


@pytest.mark.parametrize("name", ["trainer_state.json", "unlogged.json", "unlogged_3.json"])
@pytest.mark.parametrize(
    "body",
    [b"[" * 100_000, b'{"a":' * 9000 + b"1" + b"}" * 9000, b"[]", b"{", b"\xff\xfe", b"null"],
    ids=["100,000 lists", "9,000 mappings", "a list", "cut short", "no text", "nothing"],
)
def test_an_older_checkpoint_replaces_one_with_a_manipulated_state(
    store: FolderStore, tmp_path: Path, name: str, body: bytes
) -> None:
    write(store, tmp_path, 2)
    made_up = a_folder(tmp_path / "made-up", {**FILES, name: body})
    checkpoints.write(store, made_up, 4, FIRST)

    checkpoint = fetch(store, tmp_path)

    assert checkpoint is not None
    assert checkpoint.step == 2


@pytest.mark.parametrize("best", ["../../etc", [2], {"a": 2}, 2.5, True, -2, 0, None])
def test_an_invalid_best_step_is_ignored(store: FolderStore, tmp_path: Path, best: object) -> None:
    state = json.dumps({"best_global_step": best}).encode()
    folder = a_folder(tmp_path / "made-up", {**FILES, "trainer_state.json": state})
    checkpoints.write(store, folder, 4, FIRST)

    checkpoint = checkpoints.fetch_newest(store, tmp_path / "resume", StopRequest(), with_best=True)

    assert checkpoint is not None
    assert checkpoints.best_step(checkpoint.folder) is None
    assert [it.name for it in (tmp_path / "resume").iterdir()] == ["checkpoint-4"]


def test_several_nodes_write_one_checkpoint_with_all_their_files(
    store: FolderStore, tmp_path: Path
) -> None:
    ours = a_folder(tmp_path / "node-0", {"rng_state_0.pth": b"0", "trainer_state.json": b"{}"})
    theirs = a_folder(tmp_path / "node-1", {"rng_state_1.pth": b"1"})
    with ThreadPoolExecutor() as nodes:
        first = nodes.submit(checkpoints.write, store, ours, 6, Writer(attempt=2, node=0, nodes=2))
        other = nodes.submit(
            checkpoints.write, store, theirs, 6, Writer(attempt=2, node=1, nodes=2)
        )
    assert first.result()
    assert other.result()

    checkpoint = fetch(store, tmp_path)
    assert checkpoint is not None
    assert sorted(path.name for path in checkpoint.folder.iterdir()) == [
        "rng_state_0.pth",
        "rng_state_1.pth",
        "trainer_state.json",
    ]


def test_no_manifest_is_written_without_every_nodes_part(
    store: FolderStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "PART_TIMEOUT_SECONDS", 0)
    ours = a_folder(tmp_path / "node-0", FILES)

    assert not checkpoints.write(store, ours, 6, Writer(attempt=1, node=0, nodes=2))
    assert fetch(store, tmp_path) is None


def manifest(step: int) -> str:
    return f"checkpoints/step-{step:08d}/manifest.json"


def half_written(step: int) -> str:
    return f"checkpoints/step-{step:08d}/attempt-1/optimizer.pt"


@pytest.mark.parametrize(
    ("keep", "best", "expected"),
    [
        pytest.param(1, 2, [4, 6], id="beside the newest"),
        pytest.param(2, 2, [4, 6], id="in the place of the second newest"),
        pytest.param(2, 6, [2, 4], id="among the newest"),
        pytest.param(3, 2, [4], id="with room for one more"),
        pytest.param(2, 5, [2, 4], id="never uploaded"),
        pytest.param(0, None, [], id="no limit is no deletion"),
    ],
)
def test_the_best_checkpoint_is_kept(keep: int, best: int | None, expected: list[int]) -> None:
    paths = [manifest(step) for step in (2, 4, 6, 8)]

    assert checkpoints.steps_to_delete(paths, keep, best) == expected


@pytest.mark.parametrize("with_best", [True, False])
def test_the_best_checkpoint_is_fetched_where_it_is_needed(
    store: FolderStore, tmp_path: Path, with_best: bool
) -> None:
    write(store, tmp_path, 2)
    state = {"best_global_step": 2, "best_model_checkpoint": "/elsewhere/checkpoint-2"}
    newest = a_folder(tmp_path / "saved-6", {"trainer_state.json": json.dumps(state).encode()})
    checkpoints.write(store, newest, 6, FIRST)

    checkpoint = checkpoints.fetch_newest(
        store, tmp_path / "resume", StopRequest(), with_best=with_best
    )

    assert checkpoint is not None
    best = tmp_path / "resume" / "checkpoint-2"
    told = json.loads((checkpoint.folder / "trainer_state.json").read_text())
    assert told["best_model_checkpoint"] == (str(best) if with_best else None)
    assert best.is_dir() == with_best


@pytest.mark.parametrize(
    ("paths", "keep", "expected"),
    [
        pytest.param([manifest(2), manifest(4), manifest(6)], 2, [2], id="beyond the limit"),
        pytest.param([manifest(2), manifest(4)], None, [], id="without a limit all are kept"),
        pytest.param([half_written(2), manifest(4)], None, [2], id="half-written and older"),
        pytest.param([manifest(4), half_written(6)], 1, [], id="a newer one may be under way"),
        pytest.param([half_written(2)], 1, [], id="nothing before one is complete"),
    ],
)
def test_the_oldest_surplus_checkpoints_are_deleted(
    paths: list[str], keep: int | None, expected: list[int]
) -> None:
    assert checkpoints.steps_to_delete(paths, keep) == expected


def test_pruning_keeps_the_remaining_checkpoint_complete(
    store: FolderStore, tmp_path: Path
) -> None:
    for step in (2, 4, 6):
        write(store, tmp_path, step)

    checkpoints.prune(store, 1)

    assert {path.split("/")[1] for path in store.sizes("checkpoints")} == {"step-00000006"}
    checkpoint = fetch(store, tmp_path)
    assert checkpoint is not None
    assert checkpoint.step == 6
