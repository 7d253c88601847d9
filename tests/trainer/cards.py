# SPDX-License-Identifier: Apache-2.0
"""Runs the code of published cards, like a user who has downloaded them."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from finetune_cli.local.command_line import main as finetune

COMMIT = "0123456789abcdef0123456789abcdef01234567"

_BLOCKS = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)

_FAKE_AWS = """\
#!/bin/sh
# A fake of the AWS client, which has one bucket: a folder here.
[ "$1 $2 $3" = "s3 cp --recursive" ] && exec cp -r "$BUCKETS/${4#s3://}" "$5"
exit 64
"""

_DRIVER = """\
import json, pathlib, sys
import torch

found = {}
for card in sys.argv[1:]:
    snippet = pathlib.Path(card).read_text()
    given = {}
    exec(compile(snippet, card, "exec"), given)
    with torch.no_grad():
        logits = given["model"].eval()(input_ids=torch.arange(1, 9).unsqueeze(0)).logits
    reader = given.get("tokenizer") or given["processor"].tokenizer
    found[card] = {"logits": logits[0].flatten().tolist(), "tokens": len(reader)}
pathlib.Path("found.json").write_text(json.dumps(found))
"""


def blocks(card: str, language: str) -> list[str]:
    """The code blocks of a card in this language."""
    return [text for kind, text in _BLOCKS.findall(card) if kind == language]


def loading(card: str) -> str:
    """Its Python."""
    (python,) = blocks(card, "python")
    return python


class Copy:
    """A directory with the published files, a hub's cache and a store, and nothing else."""

    def __init__(self, place: Path) -> None:
        self.folder = place / "copy"
        self.cache = place / "hub"
        self.buckets = place / "buckets"
        tools = place / "bin"
        tools.mkdir(parents=True)
        (tools / "aws").write_text(_FAKE_AWS)
        (tools / "aws").chmod(0o755)
        self.environment = {
            **os.environ,
            "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
            "BUCKETS": str(self.buckets),
            "HF_HUB_CACHE": str(self.cache),
            "HF_HUB_OFFLINE": "1",
            "CUDA_VISIBLE_DEVICES": "",
        }

    def download(self, published: Path) -> "Copy":
        """With our own command, like its user."""
        assert finetune(["download", published.as_uri(), str(self.folder)]) == 0
        return self

    def keep_on_hub(self, repository: str, folder: Path, revision: str = "main") -> None:
        """In the cache, as the hub's client does it after downloading a repository."""
        place = self.cache / f"models--{repository.replace('/', '--')}"
        shutil.copytree(folder, place / "snapshots" / COMMIT)
        (place / "refs").mkdir()
        (place / "refs" / revision).write_text(COMMIT)
        if not (folder / "config.json").exists():
            # The client also records missing files.
            absent = place / ".no_exist" / COMMIT / "config.json"
            absent.parent.mkdir(parents=True)
            absent.touch()

    def run(self, cards: Mapping[str, str]) -> dict[str, list[float]]:
        """The logits of each model that its card's own code loads, in a new interpreter. For a
        tokenizer only its existence is reported.
        """
        self.folder.mkdir(exist_ok=True)
        for name, card in cards.items():
            for commands in blocks(card, "sh"):
                subprocess.run(commands, shell=True, check=True, **self._there)  # noqa: S602
            (self.folder / f"{name}.py").write_text(loading(card))
        command = [sys.executable, "-c", _DRIVER, *(f"{name}.py" for name in cards)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, **self._there)
        assert done.returncode == 0, done.stderr[-3000:]
        found = json.loads((self.folder / "found.json").read_text())
        assert all(it["tokens"] > 0 for it in found.values())
        return {name: found[f"{name}.py"]["logits"] for name in cards}

    def cards(self) -> dict[str, str]:
        """The cards of everything that was published, by directory."""
        return {card.parent.name: card.read_text() for card in self.folder.glob("*/README.md")}

    @property
    def _there(self) -> dict[str, object]:
        return {"cwd": self.folder, "env": self.environment}


def apart(left: list[float], right: list[float]) -> float:
    """The maximum distance of two models' logits; one may have more tokens."""
    return max(abs(a - b) for a, b in zip(left, right, strict=False))
