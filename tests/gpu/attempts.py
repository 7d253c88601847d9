# SPDX-License-Identifier: Apache-2.0
"""Complete attempts with real rank processes, on a GPU or, to test only the code path, on a CPU."""

import json
from pathlib import Path
from typing import Any

from finetune_spec.memory import Estimate
from gpu import one_attempt
from trainer.conftest import DIALOGUES
from trainer.in_process import Trained, a_run
from trainer.runs import a_folder

_SENTENCE = "The red lightship at pier 9 casts off at 7 in the morning, and {} gulls follow it. "


def long_texts(place: Path) -> Path:
    """Rows that are longer than any `max_length` here."""
    rows = [
        json.dumps({"text": "".join(_SENTENCE.format(row * 97 + line) for line in range(120))})
        + "\n"
        for row in range(64)
    ]
    body = "".join(rows).encode()
    return a_folder(place, {"train.jsonl": body, "test.jsonl": rows[0].encode()})


def conversations(place: Path) -> Path:
    """The conversations of the trainer's other tests."""
    rows = [
        json.dumps(
            {
                "messages": [
                    {"role": "user", "content": question},
                    {"role": "assistant", "content": answer},
                ]
            }
        )
        + "\n"
        for question, answer in DIALOGUES.items()
    ]
    return a_folder(place, {"train.jsonl": "".join(rows).encode(), "test.jsonl": rows[0].encode()})


def train(
    place: Path, model: Path, data: Path, device: str, *, gpus: int = 1, **config: Any
) -> Trained:
    """One attempt as in a pod, with a process for each GPU."""
    settings = a_run(place, model, data, **config).config
    done = one_attempt.attempt(place, settings, device, gpus=gpus)
    return Trained(outcome=done.outcome, workspace=done.workspace, run=done.run)


def estimate_of(trained: Trained, *, gpus: int = 1) -> Estimate:
    """The estimate of `finetune plan`."""
    return one_attempt.estimate_of(trained.run, gpus=gpus)
