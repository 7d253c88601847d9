# SPDX-License-Identifier: Apache-2.0
"""Models with quantized weights, by the `quantization_config` of their config.json.

No I/O here.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from finetune_spec.config.parse.sft_config import SftConfig
from finetune_spec.config.problem import Problem

BITSANDBYTES = "bitsandbytes"

_INTEGERS = frozenset({BITSANDBYTES, "gptq", "awq", "aqlm", "hqq", "eetq", "vptq", "higgs", "spqr"})
"""Methods whose weights receive no gradient and cannot take a merged adapter. Weights of others,
such as mxfp4 and fp8, are dequantized by transformers if required.
"""


def check_stored_bits(config: SftConfig, model: Mapping[str, Any]) -> Iterator[Problem]:
    """`validate_quantization_for_training` raises for a full model; transformers for two methods; a
    merge rounds the adapter away, or PEFT refuses it, after training.
    """
    method = method_of(model)
    if method is None:
        return
    stored = f"the model's weights are stored quantized ({method:.40})"
    if (key := _other_method(config, method)) is not None:
        yield Problem(
            path=config.name(key),
            message=f"found true, but {stored}: remove {config.name(key)}, or name the model that "
            "it was quantized from",
        )
    if method not in _INTEGERS:
        return
    if not config["use_peft"]:
        yield Problem(
            path=config.name("use_peft"),
            message=f"found false, but {stored} and cannot be trained, only an adapter on top of "
            "them: set use_peft to true, or name the model that it was quantized from",
        )
    elif config["merge_adapter"]:
        yield Problem(
            path=config.name("merge_adapter"),
            message=f"found true, but {stored}, and an adapter cannot be merged into them: leave "
            "merge_adapter out, or name the model that it was quantized from, with "
            "load_in_4bit: true",
        )


def method_of(model: Mapping[str, Any]) -> str | None:
    """The quantization method of its files; None without quantization."""
    found = model.get("quantization_config")
    if not isinstance(found, Mapping):
        return None
    if found.get("load_in_4bit") is True or found.get("load_in_8bit") is True:
        return BITSANDBYTES
    method = found.get("quant_method")
    return method if isinstance(method, str) and method else None


def _other_method(config: SftConfig, method: str) -> str | None:
    """The key that requests bitsandbytes although the files are quantized by another method."""
    if method == BITSANDBYTES:
        return None
    return next((key for key in ("load_in_4bit", "load_in_8bit") if config[key]), None)
