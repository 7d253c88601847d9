# SPDX-License-Identifier: Apache-2.0
"""A user who can write to the output location cannot run code in the pod: a checkpoint is loaded as
data.

Each attack would create a directory. The manifest and checksums of its checkpoint are correct,
because the attacker can write them too.
"""

import hashlib
import io
import os
import pickle
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from finetune_contract.outcome import Category
from finetune_contract.reasons import Reason
from finetune_trainer.failures.classification import classify
from finetune_trainer.failures.errors import Stage
from finetune_trainer.storage.manifest import ArtifactManifest
from support.long_form import keeping
from trainer.lab import ADAPTER, STOP, WHOLE, Lab

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SHARDED = {"fsdp": True, "fsdp_config": {"state_dict_type": "SHARDED_STATE_DICT"}}
SAVED = {"save_strategy": "steps", "save_steps": STOP}


class Touching:
    """When unpickled, it creates a directory."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.mkdir, (str(self._folder),)


@pytest.fixture
def trap(tmp_path: Path) -> Path:
    return tmp_path / "was-here"


@pytest.fixture
def guarded(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A process that loads only data; its settings are restored."""
    from torch.distributed.checkpoint import filesystem

    from finetune_trainer.ranks import unpickling

    monkeypatch.setenv(unpickling.FORCED, "0")
    monkeypatch.setattr(filesystem, "pickle", pickle)
    monkeypatch.setenv(unpickling.OPPOSITE, "1")
    unpickling.load_only_data()
    yield
    os.environ.pop(unpickling.FORCED)


def pickled(attack: Any) -> bytes:
    return pickle.dumps(attack)


def saved(attack: Any, *, zipped: bool = True) -> bytes:
    import torch

    file = io.BytesIO()
    torch.save({"step": attack}, file, _use_new_zipfile_serialization=zipped)
    return file.getvalue()


def test_the_test_trap_detects_executed_code(trap: Path) -> None:
    pickle.loads(pickled(Touching(trap)))  # noqa: S301 - the test's own

    assert trap.exists()


@pytest.mark.parametrize("zipped", [True, False], ids=["archive", "older format"])
@pytest.mark.usefixtures("guarded")
def test_torch_load_refuses_code_even_with_weights_only_false(trap: Path, zipped: bool) -> None:
    import torch

    with pytest.raises(pickle.UnpicklingError) as raised:
        torch.load(io.BytesIO(saved(Touching(trap), zipped=zipped)), weights_only=False)

    assert not trap.exists()
    failure = classify(raised.value, Stage.TRAINING)
    assert failure.reason == Reason.CHECKPOINT_UNSAFE
    assert "posix.mkdir" in failure.message


def test_a_pickled_name_that_reaches_beyond_the_index_is_refused() -> None:
    from finetune_trainer.ranks.unpickling import load_index

    for module, name in (
        ("torch", "serialization.os.system"),
        ("torch.serialization", "os.system"),
        ("torch.distributed.checkpoint.filesystem", "os.system"),
        ("torch", "load"),
        ("builtins", "eval"),
        ("collections", "namedtuple"),
    ):
        body = f"\x80\x04\x8c{chr(len(module))}{module}\x8c{chr(len(name))}{name}\x93."
        with pytest.raises(pickle.UnpicklingError, match="Unsupported global"):
            load_index(io.BytesIO(body.encode("latin-1")))


def state() -> dict[str, Any]:
    import torch

    return {"weight": torch.arange(6.0).reshape(2, 3), "steps": {"step": 3, "lr": 0.5}}


@pytest.mark.usefixtures("guarded")
def test_a_distributed_checkpoint_of_torch_is_read(tmp_path: Path) -> None:
    import torch
    from torch.distributed import checkpoint

    checkpoint.save(state(), checkpoint_id=tmp_path / "saved", no_dist=True)
    found: dict[str, Any] = {"weight": torch.zeros(2, 3), "steps": {"step": 0, "lr": 0.0}}
    checkpoint.load(found, checkpoint_id=tmp_path / "saved", no_dist=True)

    assert torch.equal(found["weight"], state()["weight"])
    assert found["steps"] == state()["steps"]


@pytest.mark.parametrize("part", ["its index", "a value in it"])
@pytest.mark.usefixtures("guarded")
def test_an_attack_in_a_distributed_checkpoint_is_refused(
    tmp_path: Path, trap: Path, part: str
) -> None:
    from torch.distributed import checkpoint
    from torch.distributed.checkpoint.api import CheckpointException

    place = tmp_path / "saved"
    hostile = {"steps": Touching(trap)} if part == "a value in it" else state()
    checkpoint.save(hostile, checkpoint_id=place, no_dist=True)
    if part == "its index":
        (place / ".metadata").write_bytes(pickled(Touching(trap)))

    with pytest.raises((CheckpointException, pickle.UnpicklingError)) as raised:
        checkpoint.load({"steps": 1}, checkpoint_id=place, no_dist=True)

    assert not trap.exists()
    assert classify(raised.value, Stage.TRAINING).reason == Reason.CHECKPOINT_UNSAFE


@pytest.mark.parametrize(
    ("config", "processes", "pattern"),
    keeping(
        ("one process", "FSDP in shards"),
        [
            pytest.param(ADAPTER, 1, "scheduler.pt", id="one process"),
            pytest.param(ADAPTER, 1, "rng_state.pth", id="one process, random states"),
            pytest.param({**ADAPTER, **SHARDED}, 2, ".metadata", id="FSDP in shards"),
            pytest.param(
                {**WHOLE, "accelerate_config": "zero2"},
                2,
                "*_optim_states.pt",
                id="ZeRO, optimizer",
            ),
            pytest.param(
                {**WHOLE, "accelerate_config": "zero3"}, 2, "*_model_states.pt", id="ZeRO, model"
            ),
        ],
    ),
)
def test_a_run_does_not_resume_from_a_checkpoint_that_would_execute_code(
    lab: Lab, trap: Path, config: dict[str, Any], processes: int, pattern: str
) -> None:
    begun = lab.train(processes=processes, **config, **SAVED)
    lab.forget_the_end(begun)
    (manifest,) = begun.published.glob("checkpoints/*/manifest.json")
    attack = pickled(Touching(trap)) if pattern == ".metadata" else saved(Touching(trap))
    replace_in(manifest, pattern, attack)

    resumed = lab.train(processes=processes, attempt=2, **config, **SAVED)

    assert not trap.exists()
    failure = resumed.outcome.failure
    assert failure is not None
    assert failure.reason == Reason.CHECKPOINT_UNSAFE, failure
    assert failure.category is Category.USER, "a user error is not retried"
    assert "posix.mkdir" in failure.message


def replace_in(manifest: Path, pattern: str, body: bytes) -> None:
    """Replaces the files of that name, and their entries in the manifest."""
    known = ArtifactManifest.from_json(manifest.read_bytes())
    files = []
    for file in known.files:
        path = manifest.parent / file.path
        if path.match(pattern):
            path.write_bytes(body)
            file = replace(file, size=len(body), sha256=hashlib.sha256(body).hexdigest())
        files.append(file)
    assert tuple(files) != known.files, "no file of that name"
    manifest.write_text(ArtifactManifest(files=tuple(files), facts=known.facts).to_json())
