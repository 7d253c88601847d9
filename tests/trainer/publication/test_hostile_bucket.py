# SPDX-License-Identifier: Apache-2.0
"""A user who can write to an output location can write any document there: it decides what is read,
never where it is written, and never how an attempt ends.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from finetune_cli.local.download import download
from finetune_cli.terminal.exits import Refused
from finetune_contract import layout
from finetune_contract.documents import InvalidDocument
from finetune_contract.outcome import Outcome
from finetune_trainer.checkpoints import checkpoints
from finetune_trainer.failures.stopping import StopRequest
from finetune_trainer.publication import artifact
from finetune_trainer.storage.folder import FolderStore
from finetune_trainer.storage.manifest import ArtifactManifest, File, Pointer

RESULT: dict[str, Any] = {
    "step": 4,
    "totalSteps": 4,
    "worldSize": 1,
    "verified": True,
    "figures": {"loss": 0.5},
    "note": "",
    "notes": [],
}
GOOD = {"artifact": "adapter", "result": RESULT}

FACTS: dict[str, Any] = {
    "no facts": {},
    "no result": {"artifact": "adapter"},
    "a result that is a list": {**GOOD, "result": []},
    "another directory": {**GOOD, "artifact": "../../others/adapter"},
    "another store": {**GOOD, "artifact": "s3://someone/adapter"},
    "the report": {**GOOD, "artifact": "report"},
    "an artifact that is a mapping": {**GOOD, "artifact": {"a": 1}},
    "10^30 steps": {**GOOD, "result": {**RESULT, "step": 10**30}},
    "steps in words": {**GOOD, "result": {**RESULT, "totalSteps": "4"}},
    "a world of 2^63": {**GOOD, "result": {**RESULT, "worldSize": 2**63}},
    "verified by a word": {**GOOD, "result": {**RESULT, "verified": "yes"}},
    "figures in words": {**GOOD, "result": {**RESULT, "figures": {"loss": "0.5"}}},
    "a figure of 10^400": {**GOOD, "result": {**RESULT, "figures": {"loss": 10**400}}},
    "a note that is a number": {**GOOD, "result": {**RESULT, "note": 7}},
    "notes that are texts": {**GOOD, "result": {**RESULT, "notes": ["a"]}},
    "notes that are a number": {**GOOD, "result": {**RESULT, "notes": 10**9}},
}


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    found = FolderStore(tmp_path / "out" / "0123456789")
    found.write("adapter/adapter_config.json", b"{}")
    return found


def claim(store: FolderStore, facts: dict[str, Any]) -> None:
    files = (File(path="adapter/adapter_config.json", size=2, sha256="aa"),)
    manifest = ArtifactManifest(files=files, facts=facts)
    store.write(layout.MANIFEST, manifest.to_json().encode())


@pytest.mark.parametrize("kind", FACTS)
def test_a_run_with_invented_facts_is_trained_again(store: FolderStore, kind: str) -> None:
    claim(store, FACTS[kind])

    assert artifact.published_outcome(store, StopRequest()) is None


@pytest.mark.parametrize(
    "changed",
    [{}, {"figures": {"loss": float("nan"), "a": 1e308}}, {"notes": [], "note": "x" * 100_000}],
)
def test_an_outcome_read_from_a_bucket_can_be_reported(
    store: FolderStore, changed: dict[str, Any]
) -> None:
    claim(store, {**GOOD, "result": {**RESULT, **changed}, "more": [1]})

    outcome = artifact.published_outcome(store, StopRequest())

    assert outcome is not None
    assert Outcome.from_json(outcome.to_json()).artifact == outcome.artifact


@pytest.mark.parametrize(
    "path",
    [
        *("adapter//etc/passwd", "attempt-1//work/.local/x.py", "attempt-1/node-2//x", "a//b"),
        *("a/./b", ".", "", "a/", "adapter\\..\\..\\x", "C:\\x", "c:x", "a\0b", "\\\\host\\x"),
    ],
)
def test_a_manifest_cannot_contain_a_path_that_any_reader_takes_elsewhere(path: str) -> None:
    """Readers remove leading directories: what follows must not begin at the root."""
    text = ArtifactManifest(files=(File(path=path, size=1, sha256="aa"),)).to_json()

    with pytest.raises(InvalidDocument, match="expected one below it"):
        ArtifactManifest.from_json(text)


@pytest.mark.parametrize("run", ["..", "../other", "/etc", "a/b", "", "a\\b", "\0", 7, None, []])
def test_a_pointer_leads_to_a_directory_of_its_own_location_only(run: Any, tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "out" / "mine")
    claim(FolderStore(tmp_path / "out"), GOOD)
    claim(FolderStore(tmp_path / "out" / "other"), GOOD)
    store.write(layout.LATEST, json.dumps({"runId": run}).encode())

    with pytest.raises(InvalidDocument):
        Pointer.from_json(store.read(layout.LATEST), layout.LATEST)
    with pytest.raises(Refused, match="runId"):
        download(argparse.Namespace(uri=store.uri, folder=str(tmp_path / "new")))


STEPS = ("9" * 19, "9" * 200, "1", "-0000001", "\u0661" * 8, "0x000010", "00000004 ")


@pytest.mark.parametrize("digits", STEPS)
def test_no_checkpoint_has_a_step_that_no_trainer_writes(digits: str, tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "store")
    invented = f"checkpoints/step-{digits}/manifest.json"
    store.write(invented, ArtifactManifest(files=()).to_json().encode())

    assert checkpoints.fetch_newest(store, tmp_path / "resume", StopRequest()) is None
    assert (
        checkpoints.steps_to_delete([invented, "checkpoints/step-00000004/manifest.json"], 1) == []
    )


@pytest.mark.parametrize("best", [10**18, 10**300, -1, True, 0.5, "4", [4]])
def test_a_best_step_that_no_trainer_writes_counts_as_none(best: Any, tmp_path: Path) -> None:
    (tmp_path / "trainer_state.json").write_text(json.dumps({"best_global_step": best}))

    assert checkpoints.best_step(tmp_path) is None
