# SPDX-License-Identifier: Apache-2.0
"""Models with Mamba layers, which bypass an adapter on some of their matrices. No I/O here.

PEFT refuses an adapter there once the model is loaded, and `all-linear` includes these matrices.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from finetune_spec.base_model.kinds import type_of
from finetune_spec.base_model.named_targets import KEY, listed_targets, targets_all_linear
from finetune_spec.config.parse.sft_config import SftConfig
from finetune_spec.config.problem import Problem
from finetune_spec.memory.adapter import ALL_LINEAR

REFUSED = ("out_proj", "conv1d")
"""Matrices on which PEFT refuses an adapter in these models. A test compares both with PEFT's."""

OTHERS: Mapping[str, str] = {
    "falcon_h1": "[q_proj, k_proj, v_proj, o_proj, in_proj, gate_proj, up_proj, down_proj]",
    "falcon_mamba": "[in_proj, x_proj]",
    "mamba": "[in_proj, x_proj]",
    "mamba2": '".*in_proj"',
    "nemotron_h": "[q_proj, k_proj, v_proj, o_proj]",
}
"""`model_type` -> its other targets, as they are written in a config."""


def targets_for(model_type: str) -> str:
    """The targets that any model of this type can have, if it has no default targets."""
    return OTHERS.get(model_type, ALL_LINEAR)


def check_mamba_targets(config: SftConfig, model: Mapping[str, Any]) -> Iterator[Problem]:
    """PEFT's `_check_lora_target_modules_mamba` raises."""
    others = OTHERS.get(type_of(model))
    if not config["use_peft"] or others is None:
        return
    if found := _refused(config):
        yield Problem(
            path=config.name(KEY),
            message=f"found {found}, and PEFT puts no adapter on {' or '.join(REFUSED)} of Mamba's "
            f"layers, which read them past it: set {KEY}: {others}",
        )


def _refused(config: SftConfig) -> str | None:
    """The target that PEFT refuses. Expressions are not resolved, and a list of one is one."""
    if targets_all_linear(config):
        return ALL_LINEAR
    names = listed_targets(config)
    if len(names) == 1:
        return None
    return next((name for name in names if name.rpartition(".")[2] in REFUSED), None)
