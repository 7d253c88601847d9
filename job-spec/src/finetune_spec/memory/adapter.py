# SPDX-License-Identifier: Apache-2.0
"""How many parameters LoRA trains, and beside which matrices. No I/O here."""

from collections.abc import Iterator, Mapping
from functools import lru_cache

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
    if isinstance(lora.targets, str) and lora.targets != ALL_LINEAR:
        names = tuple(linear.name for linear in model.linears)
        counts = _count_layers(lora.targets, model.path, names, model.layers)
        return tuple((it, n) for it, n in zip(model.linears, counts, strict=True) if n)
    # Only an expression can tell layers apart.
    return tuple((it, model.layers) for it in model.linears if _is_target(it.name, model, lora))


@lru_cache(maxsize=16)
def _count_layers(pattern: str, path: str, names: tuple[str, ...], layers: int) -> tuple[int, ...]:
    """In how many layers an expression names each of these matrices.

    In all of them where it is not known here: too many rather than too few, as what the estimate
    is for is whether it fits.
    """
    counts = [0] * len(names)
    try:
        automaton = read_pattern(pattern)
        before = automaton.after(automaton.begin(), f"{path}.")
        for number in range(layers):
            layer = automaton.after(before, f"{number}.")
            for place, name in enumerate(names):
                counts[place] += automaton.end in automaton.after(layer, name)
    except UnknownPattern:
        return (layers,) * len(names)
    return tuple(counts)


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


def _is_target(name: str, model: Architecture, lora: Lora) -> bool:
    targets = lora.targets
    if targets is None:
        targets = DEFAULT_TARGETS.get(model.model_type, ())
    if isinstance(targets, str):
        return True  # all linear layers
    return any(name == target or name.endswith(f".{target}") for target in targets)


def _magnitude(linear: Linear, lora: Lora) -> int:
    return linear.outputs if lora.is_dora else 0
