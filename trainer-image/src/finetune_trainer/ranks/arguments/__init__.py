# SPDX-License-Identifier: Apache-2.0
"""Parses the config with TRL's own parser: TRL's keys and ours.

Our keys have one dataclass per topic: `data`, `tuning`, `evaluation`, `output`, `launch`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from trl import DatasetMixtureConfig, ModelConfig, ScriptArguments, SFTConfig, TrlParser

from finetune_spec.config.parse.sft_config import CONTINUE
from finetune_trainer.exchange.workspace import Workspace
from finetune_trainer.ranks.arguments.data import DataArguments
from finetune_trainer.ranks.arguments.evaluation import EvaluationArguments
from finetune_trainer.ranks.arguments.launch import LaunchArguments
from finetune_trainer.ranks.arguments.output import OutputArguments
from finetune_trainer.ranks.arguments.tuning import TuningArguments

CONFIG_TYPES = (
    ScriptArguments,
    SFTConfig,
    ModelConfig,
    DatasetMixtureConfig,
    DataArguments,
    TuningArguments,
    EvaluationArguments,
    OutputArguments,
    LaunchArguments,
)

_TOKENIZER = "tokenizer_config.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """The config as TRL parses it, and our own keys."""

    script: ScriptArguments
    training: SFTConfig
    model: ModelConfig
    mixture: DatasetMixtureConfig
    data: DataArguments
    tuning: TuningArguments
    evaluation: EvaluationArguments
    output: OutputArguments
    cpus: int = 1
    """The number of CPUs of this node, used to prepare the data."""
    adapter: Path | None = None
    """The directory of the adapter whose training continues."""

    @property
    def processing(self) -> str:
        """The name or directory of the tokenizer or processor: an adapter may have its own."""
        if self.adapter is not None and (self.adapter / _TOKENIZER).is_file():
            return str(self.adapter)
        return str(self.model.model_name_or_path)


class _Parser(TrlParser):
    """TRL's parser, with an exception in place of 150 lines of usage and an exit."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(message)


def read_arguments(config: Path, cpus: int = 1) -> Arguments:
    """The config, parsed by TRL's own parser; an unknown key is an error. It is in the work
    directory, next to the adapter whose training continues.
    """
    parsed = _Parser(CONFIG_TYPES).parse_args_and_config(["--config", str(config)])
    script, training, model, mixture, data, tuning, evaluation, output, _launch = parsed
    is_continued = tuning.adapter_as_model == CONTINUE
    return Arguments(
        script=script,
        training=training,
        model=model,
        mixture=mixture,
        data=data,
        tuning=tuning,
        evaluation=evaluation,
        output=output,
        cpus=cpus,
        adapter=Workspace(root=config.parent).adapter if is_continued else None,
    )
