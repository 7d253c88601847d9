# SPDX-License-Identifier: Apache-2.0
"""Complete attempts as in a pod: train, verify, publish. They also compare the memory estimate with
torch's allocation.
"""

import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpu.one_attempt import attempt, estimate_of
from gpu.proof import models
from gpu.proof.rows import LONGEST, Rows

USUAL: Mapping[str, Any] = {
    "use_peft": True,
    "max_steps": 6,
    "per_device_train_batch_size": 4,
    "learning_rate": 1e-3,
    "max_length": 512,
    "logging_steps": 1,
    "lora_dropout": 0.0,
    "save_strategy": "no",
}

CONFIGS: Mapping[str, Mapping[str, Any]] = {
    "LoRA, TRL's defaults": {},
    "the full model, packed": {"use_peft": False, "packing": True},
    "QLoRA": {"load_in_4bit": True, "dtype": "bfloat16"},
    "FSDP2 over NCCL, one process": {"accelerate_config": "fsdp2", "use_peft": False},
    "checkpoints and evaluation": {
        "eval_strategy": "steps",
        "eval_steps": 3,
        "save_strategy": "steps",
        "save_steps": 3,
    },
}
"""The most important ones first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Folders:
    """The directories of an attempt, and its input."""

    place: Path
    model: Path
    data: Path


_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")


def prepare(place: Path, size: str, tokenizer: Path) -> tuple[Path, Path]:
    """A model and conversations, as directories that a config can name."""
    import torch

    model, data = place / "model", place / "data"
    models.build(size, "cpu", "sdpa", torch.float32).save_pretrained(model)
    for name in _TOKENIZER_FILES:
        shutil.copy(tokenizer / name, model / name)
    data.mkdir()
    lines = [_conversation(number) for number in range(64)]
    (data / "train.jsonl").write_text("".join(lines))
    (data / "test.jsonl").write_text("".join(lines[:4]))
    return model, data


def carry_out(
    rows: Rows, what: str, config: Mapping[str, Any], folders: Folders, device: str
) -> None:
    """One attempt, and a row with its result."""
    sources = {"model_name_or_path": str(folders.model), "dataset_name": str(folders.data)}
    settings = {**sources, **USUAL, **config}
    began = time.monotonic()
    done = attempt(folders.place, settings, device)
    peak = (done.outcome.figures or {}).get("peak_memory_bytes") or 0
    failure = done.outcome.failure
    rows.add(
        "attempt",
        what=what,
        seconds=round(time.monotonic() - began, 1),
        verified=done.outcome.adapter_verified,
        losses=[round(loss, 3) for loss in _losses(done.workspace.metrics)],
        peak_gib=round(peak / 2**30, 2),
        estimated_to_peak=round(estimate_of(done.run).allocated / peak, 2) if peak else None,
    )
    if failure is not None:
        raise AssertionError(f"{failure.reason}: {failure.message}"[:LONGEST])


def _losses(metrics: Path) -> list[float]:
    if not metrics.is_file():
        return []
    records = (json.loads(line) for line in metrics.read_text().splitlines())
    return [record["loss"] for record in records if "loss" in record]


def _conversation(number: int) -> str:
    answer = f"{number} is a number. " * (1 + number % 9)
    messages = [
        {"role": "user", "content": f"What is {number}?"},
        {"role": "assistant", "content": answer},
    ]
    return json.dumps({"messages": messages}) + "\n"
