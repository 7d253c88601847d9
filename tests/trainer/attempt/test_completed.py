# SPDX-License-Identifier: Apache-2.0
"""A complete run is reported as one, with any content in place of its report."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from finetune_contract.notes import NoteReason
from finetune_trainer.attempt import completed
from finetune_trainer.storage.store import open_store

NOW = {"data": [{"name": "rows.jsonl", "files": {"rows.jsonl": "b" * 64}}]}


def notes_of(folder: Path, versions: bytes, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The notes if the data equals that in `NOW`."""
    place = folder / completed.VERSIONS
    place.parent.mkdir(parents=True)
    place.write_bytes(versions)
    monkeypatch.setattr(completed, "_digests_now", lambda run, context: NOW)
    context: Any = SimpleNamespace(stop=None)
    run: Any = None
    return list(completed.notes_of_completed(run, context, open_store(f"file://{folder}", {})))


@pytest.mark.parametrize(
    "versions",
    [
        b"",
        b"\xff\xfe",
        b"[" * 9000,
        b'{"data": ' + b"[" * 9000 + b"]" * 9000 + b"}",
        b"[]",
        b'{"data": 7, "model": "x"}',
        b'{"data": [7, null, {}, {"name": ["a"]}, {"name": "rows.jsonl", "files": [1]}]}',
        b'{"data": [{"name": "rows.jsonl", "files": {"rows.jsonl": {"a": 1}}}], "model": [1]}',
        b'{"model": {"files": 1e999}}',
    ],
)
def test_an_invalid_report_does_not_hide_a_success(
    versions: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (note,) = notes_of(tmp_path, versions, monkeypatch)

    assert note.reason == NoteReason.NOTHING_TRAINED


def test_a_file_that_has_changed_since_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    then = {"data": [{"name": "rows.jsonl", "files": {"rows.jsonl": "a" * 64}}]}

    (note,) = notes_of(tmp_path, json.dumps(then).encode(), monkeypatch)

    assert note.reason == NoteReason.INPUTS_CHANGED
    assert "rows.jsonl was sha256:aaaaaaaaaaaa, and is bbbbbbbbbbbb now" in note.message
