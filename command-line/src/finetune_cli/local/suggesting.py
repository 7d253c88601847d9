# SPDX-License-Identifier: Apache-2.0
"""`finetune plan --suggest`: the fastest config with the same result, for people and programs."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

import yaml

from finetune_cli.terminal.exits import Refused
from finetune_contract.printable import on_one_line
from finetune_spec.memory import Architecture
from finetune_spec.memory.fitting import describe, propose
from finetune_spec.memory.ladder import render_settings
from finetune_spec.quantities import render_bytes
from finetune_spec.speed.rules import Advice
from finetune_spec.speed.situation import Situation
from finetune_spec.speed.suggestion import Suggestion, suggest


def require_model(model: Architecture | None, reason: str) -> Architecture:
    """
    Raises:
        Refused: the model is unknown.
    """
    if model is None:
        raise Refused(f"nothing can be suggested, because the memory is unknown: {reason}")
    return model


def suggest_for(now: Situation) -> Suggestion:
    """
    Raises:
        Refused: the job has no GPUs, or nothing with the same result fits them.
    """
    if now.context.gpus_per_node == 0:
        raise Refused("nothing can be suggested for a job without GPUs")
    found = suggest(now)
    if found is None:
        gpu_bytes = now.gpu_bytes or 0
        proposal = propose(now.config, now.model, now.context, gpu_bytes)
        raise Refused(
            f"no config with the same result fits in {render_bytes(gpu_bytes)}: "
            f"{describe(proposal)}"
        )
    return found


def render_suggestion(job: str, now: Situation, found: Suggestion, output: str) -> str:
    """The config as YAML with the reasons as comments, or all of it as JSON."""
    if output == "json":
        document = {
            "job": job,
            "config": dict(found.config),
            "changes": dict(found.changes),
            "advice": render_advice(found.advice),
            "memory": {"totalBytes": found.estimate.total, "gpuBytes": now.gpu_bytes},
        }
        return json.dumps(document, indent=2)
    text = yaml.safe_dump(dict(found.config), sort_keys=False, allow_unicode=True)
    return "\n".join([*_comments(job, now, found), text.rstrip("\n")])


def render_advice(advice: Iterable[Advice]) -> list[dict[str, Any]]:
    return [{"settings": dict(it.settings), "figure": it.figure} for it in advice]


def _comments(job: str, now: Situation, found: Suggestion) -> Iterator[str]:
    fits = f"{render_bytes(found.estimate.total)} of {render_bytes(now.gpu_bytes or 0)}"
    yield on_one_line(f"# spec.config of {job}, the fastest with the same result: {fits}")
    if not found.changes:
        yield "# no change with the same result is faster"
    else:
        yield f"# changed: {render_settings(found.changes, ': ')}"
    for advice in found.advice:
        yield f"# {render_settings(advice.settings, ': ')}: {advice.figure}"
