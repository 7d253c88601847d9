# SPDX-License-Identifier: Apache-2.0
"""Measures the real memory of a training on a CPU, next to the estimate.

`PYTHONPATH=tests python -m trainer.memory_measurement` prints the table of docs/user/memory.md.

Left out are the tiles of the loss, which have another form without Triton, and masks of dropout,
which are larger on a CPU. The estimate leaves them out too.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

import torch
from peft import LoraConfig, get_peft_model
from torch.nn import functional
from torch.profiler import ProfilerActivity, profile
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    PreTrainedConfig,
    Qwen2Config,
    Qwen3Config,
)
from trl.trainer.utils import add_fused_lm_head

from finetune_spec.config import read_config
from finetune_spec.memory import Architecture, parse_model
from finetune_spec.memory.activations import kept_bytes, layer_working_bytes
from finetune_spec.memory.estimate import Estimate, estimate
from finetune_spec.memory.strategy import Strategy, read_strategy
from finetune_trainer.ranks.model.freezing import freeze_all_but_last

ROWS, TOKENS = 2, 256
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}

_SIZES: Mapping[str, Any] = {
    "hidden_size": 384,
    "intermediate_size": 1024,
    "num_hidden_layers": 4,
    "num_attention_heads": 6,
    "vocab_size": 4000,
}
_NO_DROPOUT = {"attn_pdrop": 0.0, "resid_pdrop": 0.0, "embd_pdrop": 0.0}

MODELS: Mapping[str, PreTrainedConfig] = {
    "llama": LlamaConfig(**_SIZES, num_key_value_heads=2),
    "qwen2": Qwen2Config(**_SIZES, num_key_value_heads=6, tie_word_embeddings=True),
    "qwen3": Qwen3Config(**_SIZES, num_key_value_heads=2, head_dim=64),
    "gemma2": Gemma2Config(**_SIZES, num_key_value_heads=2, head_dim=64),
    "gpt_neox": GPTNeoXConfig(**_SIZES, hidden_dropout=0.0, attention_dropout=0.0),
    "gpt2": GPT2Config(
        n_embd=384,
        n_layer=4,
        n_head=6,
        vocab_size=4000,
        bos_token_id=1,
        eos_token_id=2,
        **_NO_DROPOUT,
    ),
}
"""Architectures with random weights: memory does not depend on the values."""

STRATEGIES: Mapping[str, Mapping[str, Any]] = {
    "full": {},
    "full, bf16 weights": {"dtype": "bfloat16"},
    "full, all in 32 bits": {"bf16": False},
    "full, accumulating": {"gradient_accumulation_steps": 2},
    "the last two layers": {"num_layers_unfrozen": 2},
    "LoRA": {"use_peft": True, "lora_target_modules": "all-linear"},
    "LoRA on PEFT's targets, bf16 weights": {"use_peft": True, "dtype": "bfloat16"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Bytes, by the estimate's names; `peak` is the maximum at any time."""

    weights: int
    gradients: int
    optimizer: int
    activations: int
    peak: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """A model that is trained with a config."""

    model: Any
    architecture: Architecture
    strategy: Strategy
    is_autocast: bool

    @property
    def parameters(self) -> list[Any]:
        return list(self.model.parameters())

    @property
    def estimate(self) -> Estimate:
        return estimate(self.architecture, self.strategy)

    @property
    def estimated_activations(self) -> int:
        return kept_bytes(self.architecture, self.strategy)

    @property
    def estimated_peak(self) -> int:
        """Without the runtime's share, and without the loss."""
        whole = self.estimate
        layer = layer_working_bytes(self.architecture, self.strategy)
        return whole.total - whole.overhead - whole.working + layer


def prepare(model_config: PreTrainedConfig, config: Mapping[str, Any]) -> Training:
    """As TRL does: weights in `dtype`, PEFT's adapter, checkpointing on unless switched off."""
    torch.manual_seed(0)
    config = {
        "per_device_train_batch_size": ROWS,
        "max_length": TOKENS,
        "lora_dropout": 0.0,
        "attn_implementation": "eager" if model_config.model_type == "gemma2" else "sdpa",
        **config,
    }
    reading = read_config(config)
    architecture = parse_model(json.loads(model_config.to_json_string(use_diff=False)))
    model: Any = AutoModelForCausalLM.from_config(
        model_config,
        dtype=DTYPES[reading["dtype"]],
        attn_implementation=reading["attn_implementation"],
    )
    add_fused_lm_head(model)
    if reading["num_layers_unfrozen"]:
        freeze_all_but_last(model, reading["num_layers_unfrozen"])
    if reading["gradient_checkpointing"]:
        model.activation_checkpointing_enable()
    if reading["use_peft"]:
        model = get_peft_model(model, _lora(reading.values))
        model.enable_input_require_grads()
    # These rows are not padded, so attention gets no mask.
    strategy = replace(read_strategy(reading, architecture, world_size=1), has_mask=False)
    return Training(
        model=model.train(),
        architecture=architecture,
        strategy=strategy,
        is_autocast=reading["bf16"] is not False,
    )


@contextmanager
def _layer_norms_of_cuda() -> Iterator[None]:
    """A fake of the one rule of CUDA's autocast that the CPU's lacks: layer norms are computed in
    32 bits.
    """
    original = functional.layer_norm

    def layer_norm(values: Any, shape: Any, weight: Any, bias: Any, eps: float) -> Any:
        if torch.is_autocast_enabled("cpu"):
            values, weight, bias = values.float(), weight.float(), bias.float()
        return original(values, shape, weight, bias, eps)

    with patch.object(functional, "layer_norm", layer_norm):
        yield


@_layer_norms_of_cuda()
def measure(training: Training) -> Measured:
    """One step to create gradients and states, one that is measured."""
    trained = [parameter for parameter in training.parameters if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, fused=True)
    activations = _saved_bytes(training)
    tokens = _tokens(training)
    training.model(input_ids=tokens, labels=tokens).loss.backward()
    optimizer.step()
    gradients = sum(_bytes(parameter.grad) for parameter in trained)
    states = sum(
        _bytes(value)
        for state in optimizer.state.values()
        for name, value in state.items()
        if name != "step"
    )
    if not training.strategy.accumulates:
        optimizer.zero_grad(set_to_none=True)
    weights = sum(_bytes(parameter) for parameter in training.parameters)
    there = weights + states + (gradients if training.strategy.accumulates else 0)
    return Measured(
        weights=weights,
        gradients=gradients,
        optimizer=states,
        activations=activations,
        peak=there + _peak_of_step(training, optimizer),
    )


def count_parameters(model: Any) -> int:
    """Each one once, if two modules share it."""
    return sum(parameter.numel() for parameter in model.parameters())


def _lora(config: Mapping[str, Any]) -> LoraConfig:
    targets = config.get("lora_target_modules")
    if isinstance(targets, list) and len(targets) == 1:
        targets = targets[0]  # As TRL does.
    return LoraConfig(
        r=16,
        lora_dropout=0.0,
        target_modules=targets,
        modules_to_save=config.get("lora_modules_to_save"),
        use_dora=config.get("use_dora", False),
        task_type="CAUSAL_LM",
    )


def _forward(training: Training) -> Any:
    """A loss without memory of its own, so that only the model's is measured."""
    base = training.model
    if training.strategy.lora is not None:
        base = base.get_base_model()
    with torch.autocast("cpu", torch.bfloat16, enabled=training.is_autocast):
        hidden = base.base_model(input_ids=_tokens(training), use_cache=False).last_hidden_state
    return hidden.float().mul(1.0).sum()


def _tokens(training: Training) -> Any:
    return torch.randint(0, training.architecture.vocabulary, (ROWS, TOKENS))


def _saved_bytes(training: Training) -> int:
    """The tensors that autograd keeps between forward and backward pass, each storage once, without
    parameters.
    """
    parameters = {_storage(parameter) for parameter in training.parameters}
    kept: dict[int, Any] = {}

    def pack(tensor: Any) -> Any:
        if _storage(tensor) not in parameters:
            kept[_storage(tensor)] = tensor
        return tensor

    tokens = _tokens(training)
    with (
        torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor),
        torch.autocast("cpu", torch.bfloat16, enabled=training.is_autocast),
    ):
        training.model(input_ids=tokens, labels=tokens, fused_lm_head=True, use_cache=False)
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


def _peak_of_step(training: Training, optimizer: Any) -> int:
    """The peak allocation of the step, in addition to the memory before it."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as watched:
        _forward(training).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    allocations: list[tuple[int, int]] = []

    def walk(events: Any) -> None:
        for event in events:
            if event.tag.name == "Allocation":
                allocations.append((event.start_time_ns, event.extra_fields.alloc_size))
            walk(event.children)

    walk(watched.profiler.kineto_results.experimental_event_tree())
    current = peak = 0
    for _, size in sorted(allocations):
        current += size
        peak = max(peak, current)
    return peak


def _storage(tensor: Any) -> int:
    return int(tensor.untyped_storage().data_ptr())


def _bytes(tensor: Any) -> int:
    return int(tensor.numel() * tensor.element_size())


def _print_table() -> None:
    print("| model | config | checkpointing | activations | estimated | peak | estimated |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, model_config in MODELS.items():
        for words, config in STRATEGIES.items():
            for checkpointing in (True, False):
                training = prepare(
                    model_config, {**config, "gradient_checkpointing": checkpointing}
                )
                found = measure(training)
                kept, peak = training.estimated_activations, training.estimated_peak
                print(
                    f"| {name} | {words} | {'on' if checkpointing else 'off'} "
                    f"| {found.activations / 2**20:.1f} | {kept / found.activations - 1:+.0%} "
                    f"| {found.peak / 2**20:.1f} | {peak / found.peak - 1:+.0%} |"
                )


if __name__ == "__main__":
    _print_table()
