# SPDX-License-Identifier: Apache-2.0
"""Whole attempts with real rank processes, on a GPU or, for the path alone, on a CPU."""

import json
import os
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

from finetune_contract.run import World
from finetune_spec.config import Context, read_config
from finetune_spec.memory import Estimate, estimate_memory
from finetune_trainer.attempt.stages import carry_out
from finetune_trainer.exchange.workspace import Workspace
from finetune_trainer.failures.stopping import StopRequest
from finetune_trainer.inputs.model_facts import find_facts
from finetune_trainer.plan.node.hardware import Hardware
from finetune_trainer.progress.reporting import Reporter, silent
from finetune_trainer.supervision.context import AttemptContext
from trainer.conftest import DIALOGUES
from trainer.in_process import Trained, a_run
from trainer.runs import a_folder

CPU = "cpu"
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
    """Those of the trainer's other tests."""
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
    """One attempt as a pod carries it out, with a process for each GPU."""
    run = a_run(place, model, data, **config)
    run = replace(run, world=World(processes_per_node=gpus, master_port=_free_port()))
    workspace = Workspace(root=place / "work")
    workspace.root.mkdir(parents=True, exist_ok=True)
    visible = "" if device == CPU else ",".join(str(number) for number in range(gpus))
    context = AttemptContext(
        workspace=workspace,
        environment={**os.environ, "CUDA_VISIBLE_DEVICES": visible, "HF_HUB_OFFLINE": "1"},
        hardware=Hardware(gpus=0 if device == CPU else gpus, cpus=len(os.sched_getaffinity(0))),
        stop=StopRequest(),
        reporter=Reporter(workspace, silent, 5.0, attempt=run.attempt),
        grace_seconds=30.0,
    )
    return Trained(outcome=carry_out(run, context), workspace=workspace, run=run)


def estimate_of(trained: Trained, *, gpus: int = 1) -> Estimate:
    """What `finetune plan` would have said."""
    context = Context(nodes=1, processes_per_node=gpus, gpus_per_node=gpus)
    facts = find_facts(str(trained.run.config["model_name_or_path"]), "main", {})
    return estimate_memory(read_config(trained.run.config), facts.architecture(), context)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
