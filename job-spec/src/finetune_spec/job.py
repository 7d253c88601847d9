# SPDX-License-Identifier: Apache-2.0
"""Checks the spec of a FineTuneJob beyond the API server's schema. No I/O here.

Webhook, operator and `finetune validate` call this; the trainer checks its run's config with the
same table (`finetune_spec.config`).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from finetune_contract.owner import CLUSTER_ID_FORM, TAKE_OVER, is_cluster_id
from finetune_spec.config import Context, Problem, SftConfig, check_config, read_config
from finetune_spec.config.bounds import find_beyond
from finetune_spec.config.parse.schema import NEWEST, known_versions, load_schema, version_of_image
from finetune_spec.config.parse.sft_config import MODEL
from finetune_spec.config.problem import quoted, warning
from finetune_spec.lost_nulls import find_lost_nulls
from finetune_spec.pods import check_pods, find_variables, gpu_bytes_of

CONFIG_PATH = "spec.config"


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownModel:
    """The facts of a job's base model."""

    config: Mapping[str, Any]
    """Its `config.json`."""
    damage: str = ""
    """Why its files cannot be trained, with the remedy; empty if no problem is known."""
    modules: tuple[str, ...] = ()
    """The names of its matrices, with 0 for every number; empty if unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedSpec:
    """The checked spec of a job: its typed config, and its problems."""

    config: SftConfig
    context: Context
    problems: tuple[Problem, ...]
    """The problems, with complete paths."""
    is_bounded: bool = True
    """False if the spec is beyond the bounds: it was not read, and must not be."""


def check_job(
    spec: Mapping[str, Any],
    *,
    trainer_image: str = "",
    annotations: Mapping[str, str] | None = None,
    model: KnownModel | None = None,
    gpu_bytes: int | None = None,
) -> CheckedSpec:
    """All problems of a spec of the right shape, with its parsed config.

    `trainer_image` is the default image; `annotations` are the job's, with kubectl's last applied
    spec and the cluster whose claim is taken over; `gpu_bytes` is the memory of each GPU, if known.
    """
    if (beyond := find_beyond(spec, "spec")) is not None:
        context = Context()
        config = read_config({}, context.schema)
        return CheckedSpec(config=config, context=context, problems=(beyond,), is_bounded=False)
    version = version_of_image(spec.get("image") or trainer_image)
    is_known = version in known_versions()
    context = build_context(
        spec, version if is_known else NEWEST, None if model is None else model.config
    )
    if is_known:
        # Its bounds were checked with those of the complete spec.
        config = read_config(spec["config"], context.schema)
        told = check_config(config, context)
        lost = find_lost_nulls(spec["config"], annotations or {}, context.schema)
        problems = tuple(
            replace(problem, path=f"{CONFIG_PATH}.{problem.path}") for problem in (*told, *lost)
        )
        gpu_bytes = gpu_bytes_of(spec.get("resources") or {}, gpu_bytes)
        if model is not None and all(problem.is_warning for problem in problems):
            problems = (*problems, *_check_model(config, context, model, gpu_bytes))
    else:
        config, problems = read_config(spec["config"], context.schema), (_unknown(version),)
    problems = (*problems, *check_pods(spec), *_check_take_over(annotations or {}))
    return CheckedSpec(config=config, context=context, problems=problems)


def estimate_job(job: CheckedSpec) -> int | None:
    """The memory that each process of a valid job needs on its GPU; None if unknown."""
    context = job.context
    if context.model is None or context.gpus_per_node == 0:
        return None
    from finetune_spec.memory import UnreadableModel, estimate_memory, parse_model

    try:
        return estimate_memory(job.config, parse_model(context.model), context).total
    except UnreadableModel:
        return None


def _check_model(
    config: SftConfig, context: Context, model: KnownModel, gpu_bytes: int | None
) -> Iterator[Problem]:
    """Problems of the config with this model; if there are none, whether it fits."""
    if model.damage:
        yield Problem(path=f"{CONFIG_PATH}.{config.name(MODEL)}", message=model.damage)
        return
    # Imported late: only callers with a model need it.
    from finetune_spec.base_model import check_base_model
    from finetune_spec.memory.fitting import advise_on_memory
    from finetune_spec.speed.advice import advise_on_speed

    found = check_base_model(config, context, model.modules)
    yield from (replace(it, path=f"{CONFIG_PATH}.{it.path}") for it in found)
    if all(problem.is_warning for problem in found):
        yield from advise_on_memory(CONFIG_PATH, config, context, gpu_bytes)
        yield from advise_on_speed(CONFIG_PATH, config, context, gpu_bytes)


def _check_take_over(annotations: Mapping[str, Any]) -> Iterator[Problem]:
    if TAKE_OVER in annotations and not is_cluster_id(value := annotations[TAKE_OVER]):
        message = f"found {quoted(value)}, expected {CLUSTER_ID_FORM}"
        yield Problem(path=f"metadata.annotations.{TAKE_OVER}", message=message)


def _unknown(version: str) -> Problem:
    return warning(
        "spec.image",
        f"follows TRL {version}, but only {', '.join(known_versions())} are supported here: the "
        "trainer will check the config before training",
    )


def build_context(
    spec: Mapping[str, Any], version: str, model: Mapping[str, Any] | None = None
) -> Context:
    """The facts around the config from the rest of the spec."""
    resources = spec.get("resources") or {}
    gpus = resources.get("gpusPerNode", 1)
    return Context(
        schema=load_schema(version),
        nodes=resources.get("nodes", 1),
        processes_per_node=max(1, gpus),
        gpus_per_node=gpus,
        model=model,
        has_own_image=bool(spec.get("image")),
        environment=find_variables(spec),
    )
