# SPDX-License-Identifier: Apache-2.0
"""How many parameters LoRA trains, and beside which matrices. No I/O here."""

from collections.abc import Callable, Iterator, Mapping

from finetune_spec.memory.architecture import Architecture, Linear
from finetune_spec.memory.patterns import UnknownPattern, read_pattern
from finetune_spec.memory.strategy import Lora

ALL_LINEAR = "all-linear"

DEFAULT_TARGETS: Mapping[str, tuple[str, ...]] = {
    "bloom": ("query_key_value",),
    "falcon": ("query_key_value",),
    "gemma": ("q_proj", "v_proj"),
    "gemma2": ("q_proj", "v_proj"),
    "gemma3_text": ("q_proj", "v_proj"),
    "gpt2": ("c_attn",),
    "gpt_neox": ("query_key_value",),
    "llama": ("q_proj", "v_proj"),
    "mistral": ("q_proj", "v_proj"),
    "mixtral": ("q_proj", "v_proj"),
    "opt": ("q_proj", "v_proj"),
    "phi": ("q_proj", "v_proj", "fc1", "fc2"),
    "qwen2": ("q_proj", "v_proj"),
    "qwen3": ("q_proj", "v_proj"),
    "stablelm": ("q_proj", "v_proj"),
}
"""PEFT's own, by the model's type; for another type it asks for `lora_target_modules`."""

_EMBEDDINGS = ("embed_tokens", "wte", "word_embeddings", "embed_in")
_HEAD = "lm_head"


def find_targets(model: Architecture, lora: Lora) -> tuple[tuple[Linear, int], ...]:
    """Each matrix of a layer that is adapted, and in how many layers it is."""
    try:
        is_target = _reader_of(model, lora)
        return tuple(_find_targets(model, lora, is_target))
    except UnknownPattern:
        # Too many rather than too few: what the estimate is for is whether it fits.
        return tuple((linear, model.layers) for linear in model.linears)


def _find_targets(
    model: Architecture, lora: Lora, is_target: Callable[[str], bool]
) -> Iterator[tuple[Linear, int]]:
    for linear in model.linears:
        layers = sum(
            is_target(model.layer_of(number, linear)) for number in _layers_to_ask(model, lora)
        )
        if layers:
            yield linear, layers * _layers_asked_for(model, lora)


def count_adapter(model: Architecture, lora: Lora) -> int:
    """The parameters of the adapter's own matrices."""
    return sum(
        layers * (lora.rank * (linear.inputs + linear.outputs) + _magnitude(linear, lora))
        for linear, layers in find_targets(model, lora)
    )


def count_saved_modules(model: Architecture, lora: Lora) -> int:
    """The parameters of modules that are trained whole beside the adapter (copies of them)."""
    return sum(_module_sizes(model, lora.saved_modules))


def trains_head(model: Architecture, lora: Lora) -> bool:
    return _HEAD in lora.saved_modules


def _module_sizes(model: Architecture, names: tuple[str, ...]) -> Iterator[int]:
    for name in names:
        if name == _HEAD:
            yield model.head or model.vocabulary * model.hidden
        elif name in _EMBEDDINGS:
            yield model.vocabulary * model.hidden
        else:
            yield from (
                model.layers * linear.parameters
                for linear in model.linears
                if linear.name.rpartition(".")[2] == name
            )


def _layers_to_ask(model: Architecture, lora: Lora) -> range:
    """Only a regular expression can tell layers apart."""
    return range(model.layers) if _is_expression(lora) else range(1)


def _layers_asked_for(model: Architecture, lora: Lora) -> int:
    return 1 if _is_expression(lora) else model.layers


def _is_expression(lora: Lora) -> bool:
    return isinstance(lora.targets, str) and lora.targets != ALL_LINEAR


def _reader_of(model: Architecture, lora: Lora) -> Callable[[str], bool]:
    """Whether a module of this name is adapted.

    Raises:
        UnknownPattern: of its expression that is not known here.
    """
    targets = lora.targets
    if targets is None:
        targets = DEFAULT_TARGETS.get(model.model_type, ())
    if targets == ALL_LINEAR:
        return lambda name: True
    if isinstance(targets, str):
        return read_pattern(targets).matches
    names = tuple(targets)
    return lambda name: any(name == target or name.endswith(f".{target}") for target in names)


def _magnitude(linear: Linear, lora: Lora) -> int:
    return linear.outputs if lora.is_dora else 0
