# SPDX-License-Identifier: Apache-2.0
"""Mixtures of experts: transformers 5 keeps all experts of a layer in two parameters. No I/O here.

PEFT adapts these as parameters if targets name the matrices that they are merged from, and then
cannot apply dropout to inputs.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from finetune_spec.base_model.kinds import type_of
from finetune_spec.base_model.named_targets import listed_targets, targets_all_linear
from finetune_spec.config.parse.sft_config import SftConfig
from finetune_spec.config.problem import Problem, quoted
from finetune_spec.memory.adapter import ALL_LINEAR

_MIXTRAL = ("minimax", "minimax_m2", "mixtral")
_QWEN = (
    *("Dots3NoteTextModel", "UnlimitedOcrTextModel", "afmoe", "beam", "cohere2_moe"),
    *("deepseek_v2", "deepseek_v3", "deepseek_v32", "dots1", "ernie4_5_moe", "exaone_moe"),
    *("flex_olmo", "glm4_moe", "glm4_moe_lite", "glm4v_moe", "glm_moe_dsa", "hunyuan_v1_moe"),
    *("longcat_flash", "mellum", "olmoe", "qwen3_moe", "qwen3_next", "qwen3_omni_moe"),
    *("qwen3_omni_moe_text", "qwen3_omni_moe_thinker", "solar_open"),
)

MERGED_MATRICES: Mapping[str, tuple[str, str]] = {
    **dict.fromkeys(_MIXTRAL, ("w1", "w3")),
    **dict.fromkeys(_QWEN, ("gate_proj", "up_proj")),
}
"""`model_type` -> the two matrices of an expert that are merged into one parameter. The table is
that of PEFT 0.21; a test compares it.
"""

_OTHERS = {"w1": ("w2", "gate"), "gate_proj": ("down_proj", "gate")}
"""The other parameters of the layer's mixture, by the first of the merged matrices."""


def check_dropout(config: SftConfig, model: Mapping[str, Any]) -> Iterator[Problem]:
    """PEFT's `ParamWrapper` raises for it; TRL's default dropout is 0.05."""
    if not config["use_peft"] or not config.number("lora_dropout"):
        return
    if found := _adapted_experts(config, model):
        yield Problem(
            path=config.name("lora_dropout"),
            message=f"found {quoted(config['lora_dropout'])}, and lora_target_modules "
            f"({', '.join(found)}) includes the experts of this mixture, for which PEFT does "
            "not support dropout: set lora_dropout: 0, or list only the attention matrices",
        )


def check_fused_targets(config: SftConfig, model: Mapping[str, Any]) -> Iterator[Problem]:
    """PEFT's `_convert_peft_config_moe` raises if only one of the two is named."""
    listed = listed_targets(config)
    merged = MERGED_MATRICES.get(type_of(model), ())
    named = [each for each in merged if any(_ends(target, each) for target in listed)]
    if config["use_peft"] and len(named) == 1:
        (missing,) = set(merged) - set(named)
        yield Problem(
            path=config.name("lora_target_modules"),
            message=f"found {named[0]} without {missing}, but the two are a single parameter in "
            f"the experts of this mixture: add {missing}",
        )


def _adapted_experts(config: SftConfig, model: Mapping[str, Any]) -> Sequence[str]:
    """The targets that PEFT treats as parameters of the experts."""
    merged = MERGED_MATRICES.get(type_of(model))
    if merged is None:
        return ()
    if targets_all_linear(config):
        return (ALL_LINEAR,)
    experts = (*merged, *_OTHERS[merged[0]])
    return [it for it in listed_targets(config) if any(_ends(it, each) for each in experts)]


def _ends(target: str, name: str) -> bool:
    return target == name or target.endswith(f".{name}")
