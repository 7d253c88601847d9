# SPDX-License-Identifier: Apache-2.0
"""One attempt with real rank processes, on GPUs or, for the path alone, on a CPU.

Needs the trainer's packages, and none of the tests': it also runs on a machine without them.
"""

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetune_contract.outcome import Outcome
from finetune_contract.run import JobReference, Run, World
from finetune_spec.config import Context, read_config
from finetune_spec.memory import Estimate, estimate_memory
from finetune_trainer.attempt.stages import carry_out
from finetune_trainer.exchange.workspace import Workspace
from finetune_trainer.failures.stopping import StopRequest
from finetune_trainer.inputs.model_facts import find_facts
from finetune_trainer.plan.node.hardware import Hardware
from finetune_trainer.progress.reporting import Reporter, silent
from finetune_trainer.supervision.context import AttemptContext

CPU = "cpu"


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The results of an attempt."""

    run: Run
    workspace: Workspace
    outcome: Outcome


def attempt(place: Path, config: Mapping[str, Any], device: str, *, gpus: int = 1) -> Done:
    """As in a pod, with a process for each GPU; None removes a key."""
    run = Run(
        job=JobReference(namespace="team-a", name="small", uid="uid-1"),
        run_id="0123456789",
        attempt=1,
        config={key: value for key, value in config.items() if value is not None},
        output_uri=(place / "out").as_uri(),
        world=World(processes_per_node=gpus, master_port=_free_port()),
    )
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
    return Done(run=run, workspace=workspace, outcome=carry_out(run, context))


def estimate_of(run: Run, *, gpus: int = 1) -> Estimate:
    """The estimate of `finetune plan`."""
    context = Context(nodes=1, processes_per_node=gpus, gpus_per_node=gpus)
    facts = find_facts(str(run.config["model_name_or_path"]), "main", {})
    return estimate_memory(read_config(run.config), facts.architecture(), context)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
