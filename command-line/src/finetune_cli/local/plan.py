# SPDX-License-Identifier: Apache-2.0
"""`finetune plan`: what a job would do and need, before any GPU is requested."""

import argparse
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from finetune_cli.files import overrides
from finetune_cli.local.base_model import check_model
from finetune_cli.local.chosen_model import choose_model
from finetune_cli.local.job_reading import read_job
from finetune_cli.local.preview import Preview, preview_run
from finetune_cli.local.suggesting import (
    render_advice,
    render_suggestion,
    require_model,
    suggest_for,
)
from finetune_cli.terminal.exits import MISUSED, Refused
from finetune_cli.terminal.output import say, tell
from finetune_contract.outcome import ExitCode
from finetune_contract.printable import on_one_line
from finetune_spec.config import Context
from finetune_spec.memory import Architecture, Estimate
from finetune_spec.memory.fitting import describe
from finetune_spec.memory.ladder import render_settings
from finetune_spec.quantities import parse_quantity, render_bytes
from finetune_spec.speed.situation import Situation
from finetune_trainer.inputs.model_facts import ModelUnknown, SeenModel
from finetune_trainer.inputs.train_rows import count_train_rows

DESCRIPTION = """\
Shows what a job would do: processes, effective batch, precision, trained parameters, steps, and
the parts of the memory that each GPU needs. The model's config.json and the headers of its
safetensors files are read from a directory, an object store (credentials from the environment) or
the hub. Nothing else is downloaded, and neither a GPU nor torch is needed.

docs/user/memory.md describes the estimate: weights, gradients and optimizer states are exact for
known families of models; activations and the peak are within 25 % of the measured values.

With --suggest, it prints the fastest config with the same result for a GPU of --gpu-memory as YAML:
the same rows in each step, in the same order and precision. docs/user/memory.md describes the
changes.

The exit code is 0 even if the job would not fit.
"""


def add_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("job", type=Path, metavar="JOB.yaml", help="the FineTuneJob")
    command.add_argument(
        "--gpu-memory",
        type=_quantity,
        metavar="SIZE",
        help="memory of one GPU, e.g. 24Gi: shows whether the job fits and what to change",
    )
    command.add_argument(
        "--suggest",
        action="store_true",
        help="print the fastest config with the same result for a GPU of --gpu-memory instead",
    )
    command.add_argument(
        "--output",
        choices=("text", "json"),
        default="text",
        help="text for people, json for programs",
    )
    overrides.add_option(command)


def plan(options: argparse.Namespace) -> int:
    """Prints the plan, and returns the exit code.

    Raises:
        Refused: the file cannot be read, or there is nothing to suggest.
        AttemptFailed: the job must be changed.
    """
    if options.suggest and options.gpu_memory is None:
        raise Refused("--suggest needs the memory of a GPU: add --gpu-memory, e.g. 80Gi", MISUSED)
    job = read_job(options.job, options.settings)
    for warning in job.warnings:
        tell(warning)
    context = Context(
        nodes=job.nodes,
        processes_per_node=max(1, job.gpus_per_node),
        gpus_per_node=job.gpus_per_node,
    )
    chosen = choose_model(job.config, os.environ)
    config, name, seen = chosen.config, chosen.shown, chosen.seen
    for problem in check_model(chosen.name, config, context, seen):
        tell(str(problem))
    model, reason = _architecture_of(seen)
    if options.suggest:
        now = Situation(
            config=config,
            model=require_model(model, reason),
            context=context,
            gpu_bytes=options.gpu_memory,
        )
        say(render_suggestion(job.name, now, suggest_for(now), options.output))
        return int(ExitCode.SUCCEEDED)
    preview = preview_run(
        config,
        context,
        model=model,
        train_rows=count_train_rows(config),
        gpu_bytes=options.gpu_memory,
    )
    if options.output == "json":
        say(json.dumps(render_json(job.name, name, preview, reason), indent=2))
    else:
        say("\n".join(render_text(job.name, name, preview, model, reason)))
    return int(ExitCode.SUCCEEDED)


def render_text(
    job: str, name: str, preview: Preview, model: Architecture | None, reason: str
) -> Iterator[str]:
    """A table of words and figures, for people."""
    yield on_one_line(f"{job}: {_world(preview)}")
    yield _row("model", name if model is None else f"{name} ({_model(model)})")
    yield _row("trains", f"{preview.method}{_trainable(preview.estimate)}")
    yield _row("precision", preview.precision)
    yield _row("attention", str(preview.attention))
    if preview.world_size > 1:
        yield _row("strategy", f"{preview.strategy} over {preview.world_size} processes")
    yield _row("batch", _batch(preview))
    yield _row("rows", _length(preview))
    yield _row("steps", str(preview.steps or "known after the data is read"))
    if preview.estimate is None:
        yield _row("memory", f"unknown: {reason}")
        return
    yield from _memory(preview.estimate)
    yield from _verdict(preview)
    for advice in preview.advice:
        yield _row("faster", f"{render_settings(advice.settings, ': ')}: {advice.figure}")


def render_json(job: str, name: str, preview: Preview, reason: str) -> Mapping[str, Any]:
    """The same for programs; unknown values are null, and memory then has a reason."""
    found = preview.estimate
    memory: dict[str, Any] = {"unknown": reason}
    if found is not None:
        memory = {
            "totalBytes": found.total,
            "parts": found.parts,
            "isKnownArchitecture": found.is_known,
            "gpuBytes": preview.gpu_bytes,
            "fits": preview.fits,
            "proposal": preview.proposal and dict(preview.proposal.settings),
        }
    return {
        "job": job,
        "model": name,
        "nodes": preview.nodes,
        "processesPerNode": preview.processes_per_node,
        "worldSize": preview.world_size,
        "strategy": preview.strategy,
        "effectiveBatch": preview.effective_batch,
        "microBatch": None if preview.is_auto and preview.gpu_bytes is None else preview.rows,
        "maxLength": preview.max_length,
        "packing": preview.is_packed,
        "precision": preview.precision,
        "attention": preview.attention.name,
        "method": preview.method,
        "parameters": found and found.parameters,
        "trainableParameters": (found and found.trainable) or None,
        "steps": preview.steps,
        "memory": memory,
        "advice": render_advice(preview.advice),
    }


def _architecture_of(seen: SeenModel) -> tuple[Architecture | None, str]:
    """The model's architecture, or why it is unknown."""
    try:
        return seen.require_facts().architecture(), ""
    except ModelUnknown as unknown:
        return None, str(unknown)


def _world(preview: Preview) -> str:
    if preview.world_size == 1:
        return "one process"
    nodes = "1 node" if preview.nodes == 1 else f"{preview.nodes} nodes"
    return f"{nodes} x {preview.processes_per_node} processes"


def _model(model: Architecture) -> str:
    known = model.model_type or "of an unknown architecture"
    if not model.is_known:
        known += ", estimated as a Llama of the same size"
    return f"{known}, {_count(model.parameters)} parameters"


def _trainable(found: Estimate | None) -> str:
    if found is None or found.trainable == found.parameters:
        return ""
    if not found.trainable:
        return ": the number of parameters is known once the model is loaded"
    share = found.trainable / found.parameters
    return f": {_count(found.trainable)} parameters ({share:.2%} of the model's)"


def _batch(preview: Preview) -> str:
    if preview.is_auto and preview.gpu_bytes is None:
        return (
            f"{preview.effective_batch} rows a step, in the largest micro-batches that fit: add "
            "--gpu-memory to see which (counted below: single rows)"
        )
    factors = [f"{preview.rows} rows{' (auto)' if preview.is_auto else ''}"]
    if preview.accumulation > 1:
        factors.append(f"{preview.accumulation} accumulated")
    if preview.world_size > 1:
        factors.append(f"{preview.world_size} processes")
    if len(factors) == 1:
        return f"{preview.effective_batch} rows a step"
    return f"{' x '.join(factors)} = {preview.effective_batch} rows a step"


def _length(preview: Preview) -> str:
    if preview.max_length is None:
        return (
            "of any length: the longest row determines the memory, here assumed to be the "
            "model's context"
        )
    packed = "packed to" if preview.is_packed else "cut at"
    return f"{packed} {preview.max_length} tokens (max_length)"


def _memory(found: Estimate) -> Iterator[str]:
    yield _row("memory", f"{render_bytes(found.total)} estimated for each process")
    for name, size in found.parts.items():
        yield _row(f"  {name}", f"{render_bytes(size):>8}")
    if found.takes_turns:
        yield _row("", "gradients replace activations: only the larger of both counts")


def _verdict(preview: Preview) -> Iterator[str]:
    if preview.estimate is None or preview.gpu_bytes is None:
        return
    total, there = preview.estimate.total, preview.gpu_bytes
    if total <= there:
        yield _row("fits", f"in {render_bytes(there)}, {render_bytes(there - total)} to spare")
    else:
        missing = f"{render_bytes(total - there)} more than {render_bytes(there)}"
        yield _row("does not fit", f"{missing}: {describe(preview.proposal)}")


def _row(name: str, words: str) -> str:
    return f"  {name:<14}{on_one_line(words)}".rstrip()


def _count(number: int) -> str:
    for unit, word in ((10**9, "billion"), (10**6, "million")):
        if number >= unit:
            return f"{number / unit:.3g} {word}"
    return f"{number:,}"


def _quantity(text: str) -> int:
    try:
        return parse_quantity(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
