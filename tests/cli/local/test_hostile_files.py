# SPDX-License-Identifier: Apache-2.0
"""`finetune` with untrusted input: a job file from the web, a bucket."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from finetune_cli.local import command_line
from finetune_contract.layout import MANIFEST
from support.terminal_orders import ALL_ORDERS, orders_in

FORGED = "1 document checked: 0 mistakes, 0 warnings"
WORDS = (
    f"x\x9b2J\u202e\x1b[2J\n{FORGED}\njob.yaml:1:1: forged"
    + ALL_ORDERS.encode(
        # YAML has no unpaired surrogates.
        errors="ignore"
    ).decode()
)

MISTAKES: dict[str, dict[str, Any]] = {
    "a value": {"learning_rate": WORDS},
    "a key": {WORDS: 1},
    "a place": {"model_name_or_path": WORDS},
    "a name of a tracker": {"report_to": WORDS},
    "a value in a list": {"report_to": ["wandb", WORDS]},
    "a key below a key": {"model_init_kwargs": {WORDS: WORDS}},
    "a type": {"dtype": WORDS},
    "a template": {"chat_template_path": WORDS},
}


def a_file(folder: Path, config: dict[str, Any], name: str = "job") -> str:
    """With an escape for each character that is not allowed in a YAML file."""
    job = {
        "apiVersion": "finetune.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": name},
        "spec": {
            "config": {
                "model_name_or_path": "s3://models/tiny",
                "dataset_name": "s3://datasets/tiny",
                **config,
            },
            "output": {"uri": "s3://models/mine", "credentialsSecretRef": {"name": "s"}},
        },
    }
    path = folder / "job.yaml"
    path.write_text(yaml.safe_dump(job, width=1_000_000))
    return str(path)


def told_by(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    command_line.main([*words])
    told = capsys.readouterr()
    return told.out + told.err


COMMANDS = (("validate",), ("validate", "--output", "github"), ("plan",), ("run",))
FETCHED = ("a place", "a template", "a key below a key")
"""The keys whose values `run` would fetch."""

CASES = [
    pytest.param(words, kind, id=f"{' '.join(words)}: {kind}")
    for words in COMMANDS
    for kind in MISTAKES
    if words != ("run",) or kind not in FETCHED
]


@pytest.mark.parametrize(("words", "kind"), CASES)
def test_no_text_of_a_file_emits_control_codes_or_starts_a_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, words: tuple[str, ...], kind: str
) -> None:
    told = told_by(capsys, *words, a_file(tmp_path, MISTAKES[kind]))

    assert told.strip()
    assert "not YAML" not in told
    assert orders_in(told) == []
    forged = ("job.yaml:1:1: forged", FORGED)
    # The last line is validate's own count, which may report success.
    assert not [line for line in told.splitlines()[:-1] if line.startswith(forged)]


def test_json_output_quotes_hostile_keys_without_control_codes(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    command_line.main(["validate", "--output", "json", a_file(tmp_path, {WORDS: 1})])
    told = capsys.readouterr().out

    assert orders_in(told) == []
    assert [problem["path"] for problem in json.loads(told)] == [f"spec.config.{WORDS}"]


def test_a_hostile_manifest_in_a_download_emits_no_control_codes(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    place = tmp_path / "out"
    place.mkdir()
    (place / MANIFEST).write_text(json.dumps({"version": WORDS, "files": [{"path": WORDS}]}))

    told = told_by(capsys, "download", str(place), str(tmp_path / "here"))

    assert told.strip()
    assert orders_in(told) == []
