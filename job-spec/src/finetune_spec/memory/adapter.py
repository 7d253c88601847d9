# SPDX-License-Identifier: Apache-2.0
"""The number of parameters that LoRA trains, and its target matrices. No I/O here."""

from collections.abc import Iterator, Mapping
from functools import lru_cache

from finetune_spec.memory.architecture import Architecture, Linear
from finetune_spec.memory.patterns import UnknownPattern, read_pattern
from finetune_spec.memory.strategy import Lora

ALL_LINEAR = "all-linear"

_QUERY_AND_VALUE = ("q_proj", "v_proj")

DEFAULT_TARGETS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("bart", "gemma", "gemma2", "gemma3_text", "gptj"), _QUERY_AND_VALUE),
    **dict.fromkeys(("gpt_neo", "llama", "llama4", "mistral", "mixtral"), _QUERY_AND_VALUE),
    **dict.fromkeys(("opt", "qwen2", "qwen3", "stablelm"), _QUERY_AND_VALUE),
    **dict.fromkeys(("bert", "electra", "layoutlm", "roberta", "xlm-roberta"), ("query", "value")),
    **dict.fromkeys(("bloom", "chatglm", "falcon", "gpt_neox"), ("query_key_value",)),
    **dict.fromkeys(("RefinedWeb", "RefinedWebModel"), ("query_key_value",)),
    **dict.fromkeys(("gpt2", "gpt_bigcode"), ("c_attn",)),
    **dict.fromkeys(("mt5", "t5"), ("q", "v")),
    "blip-2": ("q", "v", "q_proj", "v_proj"),
    "btlm": ("c_proj", "c_attn"),
    "codegen": ("qkv_proj",),
    "deberta": ("in_proj",),
    "deberta-v2": ("query_proj", "value_proj"),
    "mpt": ("Wqkv",),
    "nemotron_h": ("q_proj", "k_proj", "v_proj", "o_proj"),
    "phi": ("q_proj", "v_proj", "fc1", "fc2"),
    "rwkv": ("key", "value", "receptance", "output"),
    "rwkv7": ("r_proj", "k_proj", "v_proj", "o_proj", "key", "value"),
}
"""PEFT's defaults by the model's type; for another type it requires `lora_target_modules`."""

DEFAULT_EXPRESSIONS = frozenset({"gemma4"})
"""Types for which PEFT has an expression instead."""

EMBEDDINGS = ("embed_tokens", "wte", "word_embeddings", "embed_in")
_HEAD = "lm_head"


def find_targets(model: Architecture, lora: Lora) -> tuple[tuple[Linear, int], ...]:
    """Each adapted matrix of a layer, and the number of layers that have it."""
    if isinstance(lora.targets, str) and lora.targets != ALL_LINEAR:
        names = tuple(linear.name for linear in model.linears)
        counts = _count_layers(lora.targets, model.path, names, model.layers)
        return tuple((it, n) for it, n in zip(model.linears, counts, strict=True) if n)
    # Only an expression can distinguish layers.
    return tuple((it, model.layers) for it in model.linears if _is_target(it.name, model, lora))


@lru_cache(maxsize=16)
def _count_layers(pattern: str, path: str, names: tuple[str, ...], layers: int) -> tuple[int, ...]:
    """The number of layers in which an expression matches each of these matrices.

    All of them if it cannot be determined here: too many rather than too few, because the estimate
    decides whether it fits.
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
    """The parameters of modules that are trained in full next to the adapter (copies of them)."""
    return sum(_module_sizes(model, lora.saved_modules))


def trains_head(model: Architecture, lora: Lora) -> bool:
    return _HEAD in lora.saved_modules


def _module_sizes(model: Architecture, names: tuple[str, ...]) -> Iterator[int]:
    for name in names:
        if name == _HEAD:
            yield model.head or model.vocabulary * model.hidden
        elif name in EMBEDDINGS:
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
        return True  # All linear layers.
    return any(name == target or name.endswith(f".{target}") for target in targets)


def _magnitude(linear: Linear, lora: Lora) -> int:
    return linear.outputs if lora.is_dora else 0
