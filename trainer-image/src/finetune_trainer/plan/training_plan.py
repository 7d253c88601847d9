# SPDX-License-Identifier: Apache-2.0
"""Run + hardware -> training plan: the config that TRL parses, and the ranks' environment.

Pure: values in, values out. For unset keys TRL's own `sft.py` decides; keys that are set here have
  a comment with the reason.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from finetune_contract.reasons import Reason
from finetune_spec.base_model import check_base_model
from finetune_spec.config import Context, Problem, SftConfig, check_config
from finetune_spec.config.parse.schema import NEWEST, known_versions
from finetune_spec.config.parse.sft_config import DATA_FILES
from finetune_spec.config.problem import change_as_described
from finetune_spec.memory.sharding import find_sharding
from finetune_trainer.failures.errors import attempt_failed
from finetune_trainer.plan.hub_use import without_hub
from finetune_trainer.plan.node.hardware import Hardware
from finetune_trainer.plan.parsed_run import ParsedRun
from finetune_trainer.plan.saved_state import SavedState, with_parts
from finetune_trainer.storage import locations


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingPlan:
    """The input of the ranks."""

    config: Mapping[str, Any]
    environment: Mapping[str, str]
    """Variables in addition to the supervisor's own."""
    is_distributed: bool
    """Whether the ranks form a process group."""
    measures_base: bool = False
    """Whether the base model is evaluated before the first step without a request of the user, so
    that it must not influence the training.
    """


def check_run(
    run: ParsedRun,
    hardware: Hardware,
    *,
    trl_version: str = NEWEST,
    variables: Collection[str] | None = None,
    model: Mapping[str, Any] | None = None,
    modules: Collection[str] = (),
    packages: Collection[str] = (),
) -> None:
    """Checks the run against the installed TRL; a TRL without a schema checks by itself.

    `variables` are the names of environment variables, None if credentials may be elsewhere;
    `model` is its `config.json` and `modules` the names of its matrices, if known. `packages` are
    the optional ones of this image.

    Raises:
        AttemptFailed: the config is invalid.
    """
    mistakes: list[Problem] = []
    if trl_version in known_versions():
        context = replace(context_of(run, hardware), environment=variables, model=model)
        context = replace(context, packages=packages)
        mistakes = _mistakes(check_config(run.config, context))
        # Its rules expect a valid config.
        mistakes = mistakes or _mistakes(check_base_model(run.config, context, modules))
    if mistakes:
        raise attempt_failed(
            Reason.INVALID_CONFIG,
            "; ".join(str(problem) for problem in mistakes),
            change_as_described(problem.key for problem in mistakes),
        )


def _mistakes(problems: Iterable[Problem]) -> list[Problem]:
    return [problem for problem in problems if not problem.is_warning]


def context_of(run: ParsedRun, hardware: Hardware) -> Context:
    """The facts about the node where the run will train."""
    return Context(
        schema=run.config.schema,
        nodes=run.world.nodes,
        processes_per_node=run.world.processes_per_node,
        gpus_per_node=hardware.gpus,
    )


def names_to_fetch(config: SftConfig) -> Iterator[tuple[str, str]]:
    """Every model, template and dataset of the config, with its key; for a part's `data_files`,
    those at other locations: `datasets` finds the rest.
    """
    for key, name in config.sources:
        if key != DATA_FILES or locations.is_in_store(name) or locations.is_on_the_web(name):
            yield key, name


def plan_training(
    run: ParsedRun,
    hardware: Hardware,
    *,
    local_paths: Mapping[str, Path],
    output: Path,
    resume: Path | None,
    state: SavedState = SavedState(),  # noqa: B008 - it is frozen
) -> TrainingPlan:
    """The plan for a checked run.

    `local_paths` has the path of each fetched input, by its name in the config.
    """
    config = _with_local_names(_with_right_numbers(run.config), local_paths)
    config |= _defaults(hardware, run.config) | _whole_at_end(run.config)
    config |= with_parts(run.config, state)
    config["output_dir"] = str(output)
    # The supervisor pushes: only verified artifacts, and while no GPU waits for the hub.
    config["push_to_hub"] = False
    if resume is not None:
        config["resume_from_checkpoint"] = str(resume)
    environment = {str(key): str(value) for key, value in run.config.variables.items()}
    return TrainingPlan(
        config=config,
        environment=_environment(run, hardware)
        | _loading(run.config)
        | without_hub(run.config, local_paths)
        | environment,
        measures_base=bool(config.get("eval_on_start")) and not run.config["eval_on_start"],
        is_distributed=run.world.size > 1 or any(run.config[key] for key in _GROUPED),
    )


_GROUPED = ("fsdp", "deepspeed", "ddp_backend")
"""Keys that require a process group even for one process."""


def _defaults(hardware: Hardware, config: SftConfig) -> dict[str, Any]:
    """Values for keys that the user did not set."""
    defaults: dict[str, Any] = {
        # The supervisor shows progress; one bar per rank would fill the log.
        "disable_tqdm": True,
    }
    if "logging_strategy" not in config.resolved:
        # `kubectl get` and the loss curve depend on logging: TRL's default of 10 leaves short runs
        # blank.
        defaults["logging_steps"] = 1
        if "logging_steps" not in config.resolved:
            # Without a value TRL uses that of logging, and would evaluate after every step.
            defaults["eval_steps"] = config.schema.default("logging_steps")
    if config.is_evaluated:
        # The base model's loss shows the improvement; an explicit false is respected.
        defaults["eval_on_start"] = True
    if config.is_evaluated and config["early_stopping_patience"] is not None:
        # transformers' callback requires it.
        defaults["metric_for_best_model"] = "eval_loss"
    if not hardware.has_cuda:
        # TRL's default is bf16 on a GPU; SFTConfig cannot even be built with it on a CPU.
        defaults |= {"use_cpu": True, "bf16": False, "dataloader_pin_memory": False}
    return {key: value for key, value in defaults.items() if key not in config.resolved}


def _environment(run: ParsedRun, hardware: Hardware) -> dict[str, str]:
    return {
        "OMP_NUM_THREADS": str(_threads(run, hardware)),
        # The supervisor reports more, and its ETA is right after a resume.
        "DISABLE_KUBEFLOW_INTEGRATION": "TRUE",
        # Users have not agreed to send telemetry.
        "HF_HUB_DISABLE_TELEMETRY": "1",
        # Progress bars of loading and tokenizing are one line per redraw in a pod's log.
        "TQDM_DISABLE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONUNBUFFERED": "1",
    }


MOST_THREADS_BESIDE_A_GPU = 8
"""Threads of a rank with a GPU: the CPU only prepares batches, and on a node with 128 CPUs that
many threads would mostly wait for each other.
"""


def _threads(run: ParsedRun, hardware: Hardware) -> int:
    """A rank's share of the CPUs."""
    share = max(1, hardware.cpus // run.world.processes_per_node)
    # Offloaded parameters are updated on the CPUs, which takes all of their time.
    offloads = not find_sharding(run.config, run.world.size).keeps_optimizer
    return share if offloads or not hardware.has_cuda else min(share, MOST_THREADS_BESIDE_A_GPU)


def _loading(config: SftConfig) -> dict[str, str]:
    """transformers reads only the environment when it loads, before accelerate is configured."""
    if config["fsdp"] and config.fsdp_option("cpu_ram_efficient_loading"):
        return {"ACCELERATE_USE_FSDP": "true", "FSDP_CPU_RAM_EFFICIENT_LOADING": "true"}
    return {}


def _whole_at_end(config: SftConfig) -> dict[str, Any]:
    """DeepSpeed gathers ZeRO-3's trained weights only with this option."""
    profile = config.mapping("deepspeed")
    zero = profile.get("zero_optimization")
    if not isinstance(zero, Mapping) or zero.get("stage") != 3:
        return {}
    gathered = {"stage3_gather_16bit_weights_on_model_save": True, **zero}
    return {"deepspeed": {**profile, "zero_optimization": gathered}}


def _with_right_numbers(config: SftConfig) -> dict[str, Any]:
    """JSON and Kubernetes may turn `8` into `8.0` and `0.0` into `0`; TRL would pass that on."""
    properties = config.schema.properties
    return {
        key: _right_number(value, properties.get(key, {})) for key, value in config.resolved.items()
    }


def _right_number(value: Any, schema: Mapping[str, Any]) -> Any:
    """The number in the type of TRL's hint; for a key that is a count or a fraction, a count is an
    int.
    """
    if not {"integer", "number"} & {*schema.get("type", ())} or isinstance(value, bool):
        return value
    if isinstance(schema.get("default"), float):
        return float(value) if isinstance(value, int) else value
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _with_local_names(config: Mapping[str, Any], local_paths: Mapping[str, Path]) -> dict[str, Any]:
    """The config with each name replaced by its local path."""

    def resolve(name: str) -> str:
        return str(local_paths[name]) if name in local_paths else locations.hub_name(name)

    resolved = dict(config)
    for key in ("model_name_or_path", "chat_template_path", "dataset_name"):
        if resolved.get(key):
            resolved[key] = resolve(resolved[key])

    def resolve_part(part: Any) -> Any:
        if not isinstance(part, Mapping) or not part.get("path"):
            return part
        files = _with_local_files(part.get("data_files"), local_paths)
        there = {"data_files": files} if files else {}
        return {**part, "path": resolve(part["path"]), **there}

    if resolved.get("datasets"):
        resolved["datasets"] = [resolve_part(part) for part in resolved["datasets"]]
    return resolved


def _with_local_files(files: Any, local_paths: Mapping[str, Path]) -> Any:
    """`data_files` of any form, with each fetched name replaced by its local path."""
    if isinstance(files, Mapping):
        return {split: _with_local_files(each, local_paths) for split, each in files.items()}
    if isinstance(files, list | tuple):
        return [_with_local_files(each, local_paths) for each in files]
    if not isinstance(files, str) or files not in local_paths:
        return files
    path = local_paths[files]
    # `datasets` needs a pattern to use the complete directory.
    return str(path / "**") if path.is_dir() else str(path)
