# SPDX-License-Identifier: Apache-2.0
"""Checks of a job's base model before any GPU is requested. Pure."""

from collections.abc import Iterator
from dataclasses import replace

from finetune_contract.reasons import Reason
from finetune_spec.base_model import check_base_model
from finetune_spec.base_model.damage import remedy_of
from finetune_spec.base_model.files import find_damage
from finetune_spec.base_model.tokens import advise_on_tokens
from finetune_spec.config import Context, Problem, SftConfig, check_config
from finetune_spec.config.problem import change_as_described
from finetune_spec.job import CONFIG_PATH
from finetune_trainer.failures.errors import attempt_failed
from finetune_trainer.inputs.hub_model import is_on_hub
from finetune_trainer.inputs.model_facts import SeenModel

_KEY = "model_name_or_path"


def check_model(
    name: str, config: SftConfig, context: Context, seen: SeenModel
) -> tuple[Problem, ...]:
    """Warnings about this config with this model.

    Raises:
        AttemptFailed: the model cannot be trained, or not with this config.
    """
    files = seen.files
    if files is not None and (damage := find_damage(files, seen.config)) is not None:
        path = f"{CONFIG_PATH}.{config.name(_KEY)}"
        remedy = remedy_of(damage, on_hub=is_on_hub(name))
        raise attempt_failed(damage.reason, f"{path}: {damage.message} ({name})", remedy)
    context = replace(context, model=seen.config)
    found = (*_mistakes(check_config(config, context)), *_of_model(config, context, seen))
    problems = tuple(replace(it, path=f"{CONFIG_PATH}.{it.path}") for it in found)
    mistakes = [*_mistakes(problems)]
    if mistakes:
        raise attempt_failed(
            Reason.INVALID_CONFIG,
            "; ".join(str(problem) for problem in mistakes),
            change_as_described(problem.path for problem in mistakes),
        )
    return problems


def _of_model(config: SftConfig, context: Context, seen: SeenModel) -> Iterator[Problem]:
    files = seen.files
    yield from check_base_model(config, context, () if files is None else files.modules)
    if files is not None:
        yield from advise_on_tokens(config, files, _vocabulary(seen))


def _vocabulary(seen: SeenModel) -> int | None:
    found = (seen.config or {}).get("vocab_size")
    return found if type(found) is int and found > 0 else None


def _mistakes(problems: tuple[Problem, ...]) -> Iterator[Problem]:
    return (problem for problem in problems if not problem.is_warning)
