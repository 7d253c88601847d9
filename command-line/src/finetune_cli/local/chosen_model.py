# SPDX-License-Identifier: Apache-2.0
"""The model that a config trains, as far as it can be read from here: that of an adapter, if the
config names an adapter in place of a model.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from finetune_contract.reasons import Reason
from finetune_spec.base_model.adapter_fit import find_contradictions, find_misfit, settings_of
from finetune_spec.base_model.adapters import UnusableAdapter
from finetune_spec.base_model.damage import Damage
from finetune_spec.config import SftConfig
from finetune_spec.config.parse.sft_config import ADAPTER_BASE, AS_MODEL, MODEL
from finetune_spec.job import CONFIG_PATH
from finetune_trainer.failures.errors import AttemptFailed, attempt_failed
from finetune_trainer.inputs.adapter_files import SeenAdapter, look_at_adapter
from finetune_trainer.inputs.model_facts import ModelUnknown, SeenModel, look_at_model


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenModel:
    """The base model of a training."""

    config: SftConfig
    """With the base model in place of its adapter."""
    seen: SeenModel
    adapter: str | None = None
    """The adapter that the config names."""

    @property
    def name(self) -> str:
        return str(self.config[MODEL])

    @property
    def shown(self) -> str:
        """The names for people."""
        if self.adapter in (None, self.name):
            return self.name
        return f"{self.name} with the adapter {self.adapter}"


def choose_model(config: SftConfig, environment: Mapping[str, str]) -> ChosenModel:
    """
    Raises:
        AttemptFailed: the config names an adapter that cannot be trained, or not with this config.
    """
    name = str(config[MODEL])
    if not config[AS_MODEL]:
        return ChosenModel(config=config, seen=_look_at(config, environment))
    try:
        found = look_at_adapter(name, config["model_revision"] or "main", environment)
        return _with_base_of(found, config, environment)
    except UnusableAdapter as unusable:
        raise _failed(unusable.damage, config) from None
    except ModelUnknown as unknown:
        if not config[ADAPTER_BASE]:
            seen = SeenModel(unknown=f"its adapter is unknown: {unknown}")
            return ChosenModel(config=config, seen=seen, adapter=name)
    with_base = config.adjusted({MODEL: config[ADAPTER_BASE], "model_revision": "main"})
    return ChosenModel(config=with_base, seen=_look_at(with_base, environment), adapter=name)


def _with_base_of(
    found: SeenAdapter, config: SftConfig, environment: Mapping[str, str]
) -> ChosenModel:
    settings = settings_of(found.adapter, config)
    if problems := [*find_contradictions(config, found.adapter)]:
        raise attempt_failed(
            Reason.INVALID_CONFIG,
            "; ".join(f"{CONFIG_PATH}.{problem}" for problem in problems),
            f"remove {', '.join(f'{CONFIG_PATH}.{problem.key}' for problem in problems)}, or set "
            "the adapter's own values",
        )
    with_base = config.adjusted(settings)
    seen = _look_at(with_base, environment)
    shapes = {} if seen.files is None else seen.files.shapes
    if found.tensors:
        damage = find_misfit(found.adapter, found.tensors, shapes, seen.config or {})
        if damage is not None:
            raise UnusableAdapter(damage)
    return ChosenModel(config=with_base, seen=seen, adapter=str(config[MODEL]))


def _look_at(config: SftConfig, environment: Mapping[str, str]) -> SeenModel:
    try:
        return look_at_model(str(config[MODEL]), config["model_revision"] or "main", environment)
    except ModelUnknown as unknown:
        return SeenModel(unknown=str(unknown))


def _failed(damage: Damage, config: SftConfig) -> AttemptFailed:
    path = f"{CONFIG_PATH}.{config.name(MODEL)}"
    return attempt_failed(
        damage.reason, f"{path}: {damage.message} ({config[MODEL]})", damage.remedy
    )
