# SPDX-License-Identifier: Apache-2.0
"""Checks the spec of a FineTuneJob, beyond what the API server's schema can. No I/O here.

Webhook, operator and `finetune validate` call this; the trainer checks its run's config with the
same table (`finetune_spec.config`).
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from finetune_spec.config import Context, Problem, check_config
from finetune_spec.config.parse.reading import Reading
from finetune_spec.config.parse.schema import NEWEST, known_versions, load_schema, version_of_image
from finetune_spec.config.problem import warning
from finetune_spec.lost_nulls import find_lost_nulls
from finetune_spec.pods import check_pods, find_variables, gpu_bytes_of

CONFIG_PATH = "spec.config"


def check_job(
    spec: Mapping[str, Any],
    *,
    trainer_image: str = "",
    annotations: Mapping[str, str] | None = None,
    model: Mapping[str, Any] | None = None,
    gpu_bytes: int | None = None,
) -> tuple[Problem, ...]:
    """Everything that is wrong with a spec of the right shape, with whole paths.

    `trainer_image` is the one that a job without an image of its own gets; `annotations` are the
    job's, by which kubectl tells what it was given; `model` is its model's `config.json` and
    `gpu_bytes` what each GPU has, where they are known.
    """
    gpu_bytes = gpu_bytes_of(spec.get("resources") or {}, gpu_bytes)
    return (
        *_check_config(spec, trainer_image, annotations or {}, model, gpu_bytes),
        *check_pods(spec),
    )


def _check_config(
    spec: Mapping[str, Any],
    trainer_image: str,
    annotations: Mapping[str, str],
    model: Mapping[str, Any] | None,
    gpu_bytes: int | None,
) -> tuple[Problem, ...]:
    version = version_of_image(spec.get("image") or trainer_image)
    if version not in known_versions():
        known = ", ".join(known_versions())
        return (
            warning(
                "spec.image",
                f"follows TRL {version}, and only {known} are known here: the config will be "
                "checked by the trainer, before it trains",
            ),
        )
    context = build_context(spec, version, model)
    problems = (
        *check_config(spec["config"], context),
        *find_lost_nulls(spec["config"], annotations, context.schema),
    )
    told = tuple(replace(problem, path=f"{CONFIG_PATH}.{problem.path}") for problem in problems)
    if model is None or any(not problem.is_warning for problem in problems):
        return told
    # Late: only who knows a model waits for it.
    from finetune_spec.memory import read_config
    from finetune_spec.memory.fitting import advise_on_memory

    config = read_config(spec["config"], context)
    return (*told, *advise_on_memory(CONFIG_PATH, config, context, gpu_bytes))


def estimate_job(
    spec: Mapping[str, Any], model: Mapping[str, Any] | None, *, trainer_image: str = ""
) -> int | None:
    """What each process of a job that is right needs on its GPU; None where that is not known."""
    if model is None:
        return None
    from finetune_spec.memory import UnreadableModel, estimate_memory, parse_model, read_config

    version = version_of_image(spec.get("image") or trainer_image)
    context = build_context(spec, version if version in known_versions() else NEWEST, model)
    if context.gpus_per_node == 0:
        return None
    try:
        config = read_config(spec["config"], context)
        return estimate_memory(config, parse_model(model), context).total
    except UnreadableModel:
        return None


def read_job_config(config: Mapping[str, Any], image: str) -> Reading:
    """A config that was found right, with TRL's defaults, as the trainer of this image reads it."""
    from finetune_spec.memory import read_config

    version = version_of_image(image)
    schema = load_schema(version if version in known_versions() else NEWEST)
    return read_config(config, Context(schema=schema))


def build_context(
    spec: Mapping[str, Any], version: str, model: Mapping[str, Any] | None = None
) -> Context:
    """What the spec says around its config."""
    resources = spec.get("resources") or {}
    gpus = resources.get("gpusPerNode", 1)
    return Context(
        schema=load_schema(version),
        nodes=resources.get("nodes", 1),
        processes_per_node=max(1, gpus),
        gpus_per_node=gpus,
        model=model,
        environment=find_variables(spec),
    )
