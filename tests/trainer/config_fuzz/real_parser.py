# SPDX-License-Identifier: Apache-2.0
"""The trainer's handling of a config before it loads a model: its own plan, and TRL's parser.

Imports TRL, and torch with it.
"""

import copy
import io
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import IO, Any
from unittest import mock

import torch
import torch.distributed as dist
import yaml
from transformers import Trainer, get_scheduler
from transformers.integrations import get_reporting_integration_callbacks
from trl import TrlParser, get_peft_config, get_quantization_config

from finetune_trainer.plan.node.hardware import Hardware
from finetune_trainer.plan.parsed_run import parse_run
from finetune_trainer.plan.training_plan import TrainingPlan, plan_training
from finetune_trainer.ranks import arguments
from finetune_trainer.ranks.arguments import Arguments
from trainer.config_fuzz.draws import Fuzzed
from trainer.runs import a_run


class Answer(StrEnum):
    """The result for a config."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNKNOWN = "unknown"
    """It requires a package, a device or a file that is not here: not a problem of the config."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The trainer's handling of a config."""

    answer: Answer
    step: str = ""
    error: str = ""


def judge(fuzzed: Fuzzed, place: Path) -> Verdict:
    """Plans and parses like the trainer, then builds the same objects from the parsed config."""
    step = "plan"
    try:
        plan = plan_of(fuzzed, place / "output")
        with node(fuzzed.gpus), group(plan, place):
            step = "parse"
            arguments = parse(plan, place)
            for name, build in _LATER.items():
                step = name
                build(arguments)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever TRL raises is its verdict
        return verdict_on(step, error)
    return Verdict(answer=Answer.ACCEPTED)


def plan_of(
    fuzzed: Fuzzed, output: Path, local_paths: Mapping[str, Path] | None = None
) -> TrainingPlan:
    """The trainer's own plan for a node of this kind."""
    return plan_training(
        parse_run(replace(a_run(), config=fuzzed.config)),
        Hardware(gpus=fuzzed.gpus, cpus=2),
        local_paths=local_paths or {},
        output=output,
        resume=None,
    )


def parse(plan: TrainingPlan, place: Path) -> Arguments:
    """The plan's config, written and read as between supervisor and rank."""
    config = place / "config.yaml"
    config.write_text(yaml.safe_dump(dict(plan.config), allow_unicode=True))
    with mock.patch.object(arguments, "_Parser", _parser_as_new):
        return arguments.read_arguments(config)


def _parser_as_new(types: tuple[type, ...]) -> TrlParser:
    """The trainer's own parser. Building it takes longer than parsing, so it is built once."""
    parser, actions = _parser_with_defaults(types)
    for action, (default, is_required) in zip(parser._actions, actions, strict=True):
        action.default, action.required = copy.deepcopy(default), is_required
    return parser


@cache
def _parser_with_defaults(types: tuple[type, ...]) -> tuple[TrlParser, list[tuple[Any, bool]]]:
    parser = _TRAINERS_PARSER(types)
    return parser, [(action.default, action.required) for action in parser._actions]


_TRAINERS_PARSER = arguments._Parser


@contextmanager
def node(gpus: int) -> Iterator[None]:
    """This node as it is, or as if it had a GPU that supports bfloat16 and TF32."""
    training_args = "transformers.training_args"
    with ExitStack() as around:
        around.enter_context(warnings.catch_warnings())
        around.enter_context(mock.patch.dict(os.environ))
        warnings.simplefilter("ignore")
        for door in ("builtins.open", "io.open"):
            around.enter_context(mock.patch(door, _open_no_descriptor))
        if gpus:
            for test in ("is_torch_bf16_gpu_available", "is_torch_tf32_available"):
                around.enter_context(mock.patch(f"{training_args}.{test}", return_value=True))
            around.enter_context(mock.patch(f"{training_args}.enable_tf32"))
        yield


@contextmanager
def group(plan: TrainingPlan, place: Path) -> Iterator[None]:
    """The process group around one rank, if the plan requires one."""
    if not plan.is_distributed:
        yield
        return
    store = place / "group"
    store.unlink(missing_ok=True)
    os.environ |= {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "LOCAL_WORLD_SIZE": "1"}
    dist.init_process_group("gloo", init_method=store.as_uri(), rank=0, world_size=1)
    try:
        yield
    finally:
        dist.destroy_process_group()


_OPEN = io.open


def _open_no_descriptor(file: Any, *arguments: Any, **options: Any) -> IO[Any]:
    """`fsdp_config: true` makes transformers open file descriptor 1 and close it: our stdout."""
    if isinstance(file, int):
        raise OSError(f"{file} is no file of a config")
    return _OPEN(file, *arguments, **options)


def _build_optimizer(arguments: Arguments) -> None:
    said = arguments.training
    model = torch.nn.Linear(2, 2)
    kind, options = Trainer.get_optimizer_cls_and_kwargs(said, model)
    optimizer = kind(model.parameters(), **{**options, "weight_decay": said.weight_decay})
    get_scheduler(
        said.lr_scheduler_type,
        optimizer=optimizer,
        num_warmup_steps=said.get_warmup_steps(100),
        num_training_steps=100,
        scheduler_specific_kwargs=said.lr_scheduler_kwargs,
    )


_LATER = {
    "peft": lambda arguments: get_peft_config(arguments.model),
    "quantization": lambda arguments: get_quantization_config(arguments.model),
    "log level": lambda arguments: arguments.training.get_process_log_level(),
    "trackers": lambda arguments: get_reporting_integration_callbacks(arguments.training.report_to),
    "optimizer": _build_optimizer,
}
"""The objects that the trainer builds from a parsed config without reading model or data."""

_NOT_HERE = (
    *("failed to import", "to be installed", "pip install", "is not installed", "Please install"),
    "Expected a string path to an existing deepspeed config",
    # DeepSpeed finds no GPU behind the one that `node` simulates, and needs a kernel for CPUs.
    "Unable to JIT load the deepspeed_shm_comm op",
)

_NOT_OF_THE_CONFIG = (
    "and the dataset has",
    "no row of train can be trained on",
    "the split",
    "test_split_size is",
)
"""Only the data show that they lack the columns, splits or rows that a config names."""


def verdict_on(step: str, error: BaseException) -> Verdict:
    text = f"{type(error).__name__}: {error}"
    is_missing = isinstance(error, ImportError | FileNotFoundError) or any(
        trace in text for trace in _NOT_HERE
    )
    if step == "data":
        is_missing |= any(trace in text for trace in _NOT_OF_THE_CONFIG)
    return Verdict(answer=Answer.UNKNOWN if is_missing else Answer.REFUSED, step=step, error=text)
