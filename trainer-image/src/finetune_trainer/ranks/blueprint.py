# SPDX-License-Identifier: Apache-2.0
"""A model without its weights, built on the meta device from its config: its names, shapes, sizes.

It takes seconds and no memory, whatever the model's size.
"""

import logging
from collections.abc import Iterator, Mapping
from typing import Any

import torch
import transformers
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.initialization import no_init_weights

from finetune_trainer.ranks.arguments import Arguments
from finetune_trainer.ranks.placement import Weights

log = logging.getLogger(__name__)

BYTES_PER_WEIGHT = {4: 0.5625, 8: 1.0}
"""In a layer that bitsandbytes quantizes; with 4 bits, 64 weights share a scale of 32 bits."""


def read_config(name: str, options: Mapping[str, Any]) -> Any:
    """The config for building a model of this name."""
    return AutoConfig.from_pretrained(
        name,
        revision=options.get("revision"),
        trust_remote_code=bool(options.get("trust_remote_code")),
    )


def dtype_of(config: Any, options: Mapping[str, Any]) -> torch.dtype:
    """The type in which TRL loads a model: float32 by default."""
    wanted = options.get("dtype", "float32")
    if wanted in (None, "auto"):
        wanted = config.dtype or "float32"
    return wanted if isinstance(wanted, torch.dtype) else getattr(torch, str(wanted))


def draw(name: str, options: Mapping[str, Any]) -> Any:
    """The model of this name, with all parameters on the meta device."""
    config = read_config(name, options)
    dtype = dtype_of(config, options)
    kind = getattr(transformers, (config.architectures or [""])[0], None)
    with torch.device("meta"), no_init_weights():
        if kind is not None:
            return kind._from_config(config, dtype=dtype)
        return AutoModelForCausalLM.from_config(
            config, dtype=dtype, trust_remote_code=bool(options.get("trust_remote_code"))
        )


def fit_drawn_embeddings(model: Any, tokenizer: Any) -> None:
    """The equivalent of `fit_embeddings` for a model without values to take a mean of."""
    if len(tokenizer) > model.get_input_embeddings().num_embeddings:
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)


def weights_of(name: str, options: Mapping[str, Any], *, bits: int | None = None) -> Weights | None:
    """The memory of the loaded model, with `bits` if bitsandbytes quantizes it; None if its config
    is insufficient.
    """
    try:
        model = draw(name, options)
    except Exception as error:  # noqa: BLE001 - code of a model's own may do anything
        log.warning("the model's size is unknown reason=%s", error)
        return None
    if getattr(model.config, "quantization_config", None) is not None:
        log.warning("the model's size is unknown reason=its files are quantized")
        return None
    return measure(model, bits=bits)


def measure(model: Any, *, bits: int | None = None) -> Weights:
    """The memory of a drawn model after loading."""
    model.tie_weights()
    sizes = _sizes(model, bits)
    kinds = set(getattr(model, "_no_split_modules", None) or ())
    layers: dict[str, int] = {}
    rest: list[str] = []
    for name, is_layer in _blocks(model, kinds):
        if is_layer:
            layers[name] = sum(size for key, size in sizes.items() if key.startswith(f"{name}."))
        else:
            rest.append(name)
    total = sum(sizes.values())
    return Weights(
        rest_bytes=total - sum(layers.values()),
        rest=tuple(rest),
        layers=layers,
        can_offload=bits is None,
    )


def bits_of(arguments: Arguments) -> int | None:
    """The number of bits to which the config quantizes the base model."""
    if arguments.model.load_in_4bit:
        return 4
    return 8 if arguments.model.load_in_8bit else None


def _sizes(model: Any, bits: int | None) -> dict[str, int]:
    """Bytes of each parameter and buffer; tied ones count once."""
    quantized: set[str] = set()
    if bits is not None:
        head = model.get_output_embeddings()
        quantized = {
            f"{name}.weight"
            for name, module in model.named_modules()
            if isinstance(module, nn.Linear) and module is not head
        }
    tensors = [*model.named_parameters(), *model.named_buffers()]
    return {
        name: int(
            tensor.numel()
            * (BYTES_PER_WEIGHT[bits or 0] if name in quantized else tensor.element_size())
        )
        for name, tensor in tensors
    }


def _blocks(module: Any, kinds: set[str], prefix: str = "") -> Iterator[tuple[str, bool]]:
    """The largest modules that contain no layer, and the layers; in their order."""
    for name, _ in [
        *module.named_parameters(recurse=False),
        *module.named_buffers(recurse=False),
    ]:
        yield prefix + name, False
    for name, child in module.named_children():
        if type(child).__name__ in kinds:
            yield prefix + name, True
        elif any(type(part).__name__ in kinds for part in child.modules()):
            yield from _blocks(child, kinds, f"{prefix}{name}.")
        else:
            yield prefix + name, False
