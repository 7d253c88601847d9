# SPDX-License-Identifier: Apache-2.0
"""The memory that one process needs on its GPU, part by part. No I/O here."""

from collections.abc import Mapping
from dataclasses import dataclass

from finetune_spec.memory.activations import kept_bytes, working_bytes
from finetune_spec.memory.adapter import count_adapter, count_saved_modules
from finetune_spec.memory.architecture import Architecture
from finetune_spec.memory.optimizers import copies_for_step, embeddings_stay_whole, state_bytes
from finetune_spec.memory.strategy import FLOAT32, Strategy

RUNTIME_BYTES = 1024**3
"""Memory of CUDA, cuBLAS and NCCL, and the allocator's fragmentation: an allowance."""

_BLOCK_4_BIT, _BLOCK_OF_BLOCKS = 64, 256
"""bitsandbytes keeps a scale for every 64 weights; nested, an 8-bit one, and a 32-bit one for 256
of those.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Bytes on one GPU; `total` is the peak."""

    weights: int
    """The weights of the model and the adapter."""
    gradients: int
    optimizer: int
    activations: int
    """Kept by the forward pass for the backward pass."""
    working: int
    """The peak of temporary tensors in one step of the backward pass, or the optimizer."""
    overhead: int
    """The runtime's own memory, and communication buffers."""
    parameters: int
    """The number of the model's parameters."""
    trainable: int
    """The parameters of the adapter, or of the model in full fine-tuning."""
    is_known: bool = True
    """False if the architecture was treated as a Llama with the same numbers."""
    takes_turns: bool = False
    """Whether gradients replace activations, so that only the larger of both counts."""

    @property
    def total(self) -> int:
        parts = self.parts
        spared = min(self.gradients, self.activations) if self.takes_turns else 0
        return sum(parts.values()) - spared

    @property
    def allocated(self) -> int:
        """The part of `total` that torch's allocator allocates, as in `max_memory_allocated`."""
        return self.total - RUNTIME_BYTES

    @property
    def parts(self) -> Mapping[str, int]:
        """Each part, by name."""
        return {
            "weights": self.weights,
            "gradients": self.gradients,
            "optimizer": self.optimizer,
            "activations": self.activations,
            "working": self.working,
            "overhead": self.overhead,
        }


def estimate(model: Architecture, strategy: Strategy) -> Estimate:
    """The estimate for one process of this strategy."""
    activations = kept_bytes(model, strategy)
    working = working_bytes(model, strategy)
    # At the optimizer's step all activations are freed.
    working = max(working, _step_bytes(model, strategy) - activations)
    return Estimate(
        weights=_weights(model, strategy),
        gradients=_gradients(model, strategy) // strategy.sharding.gradients,
        optimizer=_optimizer(model, strategy),
        activations=activations,
        working=working,
        overhead=RUNTIME_BYTES + _communication(model, strategy),
        parameters=model.parameters,
        trainable=count_trainable(model, strategy),
        is_known=model.is_known,
        # With accumulation the gradients of the previous pass are there all the time.
        takes_turns=not strategy.accumulates,
    )


def count_trainable(model: Architecture, strategy: Strategy) -> int:
    """The number of trained parameters."""
    if strategy.lora is None:
        return model.last_layers(strategy.unfrozen)
    return count_adapter(model, strategy.lora) + count_saved_modules(model, strategy.lora)


def base_weight_bytes(model: Architecture, strategy: Strategy) -> int:
    """The model's own weights."""
    if strategy.quantization_bits is None:
        return model.parameters * strategy.weight_bytes
    matrices = model.layers * sum(linear.weights for linear in model.linears)
    rest = (model.parameters - matrices) * strategy.weight_bytes
    return rest + round(matrices * _quantized_bytes(strategy)) + _row_scales(model, strategy)


def _quantized_bytes(strategy: Strategy) -> float:
    """The size of one weight, with its share of the scales."""
    if strategy.quantization_bits != 4:
        return (strategy.quantization_bits or 8) / 8
    if strategy.has_nested_quantization:
        return 0.5 + (1 + FLOAT32 / _BLOCK_OF_BLOCKS) / _BLOCK_4_BIT
    return 0.5 + FLOAT32 / _BLOCK_4_BIT


def _row_scales(model: Architecture, strategy: Strategy) -> int:
    if strategy.quantization_bits != 8:
        return 0
    return FLOAT32 * model.layers * sum(linear.outputs for linear in model.linears)


def _weights(model: Architecture, strategy: Strategy) -> int:
    sharding = strategy.sharding
    learning = _gradients(model, strategy)
    held = learning + base_weight_bytes(model, strategy)
    if strategy.lora is None:
        # Trained weights are the model's own, in another precision if it is sharded.
        held -= count_trainable(model, strategy) * strategy.weight_bytes
    if not sharding.keeps_weights:
        return _gathered(model, strategy)
    gathered = _gathered(model, strategy) if sharding.weights > 1 else 0
    return held // sharding.weights + gathered


def _gathered(model: Architecture, strategy: Strategy) -> int:
    """Weights gathered for the computation: two layers, because the next one is prefetched."""
    embeddings = max(model.embedding, model.head) * strategy.compute_bytes
    layer = (model.matrices + model.expert_parameters) // model.layers * strategy.compute_bytes
    return max(2 * layer, embeddings)


def _learning(model: Architecture, strategy: Strategy) -> tuple[tuple[int, int], ...]:
    """The number of trained parameters, and the bytes of each: PEFT's copies have the model's
    type.
    """
    lora = strategy.lora
    if lora is None:
        upcasts = strategy.sharding.upcasts_trainable
        size = FLOAT32 if upcasts else strategy.weight_bytes
        return ((count_trainable(model, strategy), size),)
    return (
        (count_adapter(model, lora), lora.bytes),
        (count_saved_modules(model, lora), strategy.weight_bytes),
    )


def _gradients(model: Architecture, strategy: Strategy) -> int:
    """As large as the trained parameters, and in their precision."""
    return sum(count * size for count, size in _learning(model, strategy))


def _optimizer(model: Architecture, strategy: Strategy) -> int:
    sharding = strategy.sharding
    if not sharding.keeps_optimizer:
        return 0
    whole = 0.0
    for count, size in _learning(model, strategy):
        if sharding.has_master_weights:
            whole += count * FLOAT32
            size = FLOAT32
        whole += count * _state_bytes(model, strategy, size)
    trains_embedding = strategy.lora is None and strategy.unfrozen is None
    if trains_embedding and embeddings_stay_whole(strategy.optimizer):
        whole += model.embedding * (2 * FLOAT32 - _state_bytes(model, strategy, FLOAT32))
    return round(whole / sharding.optimizer)


def _state_bytes(model: Architecture, strategy: Strategy, size: int) -> float:
    return state_bytes(strategy.optimizer, size, model.hidden, has_momentum=strategy.has_momentum)


def _step_bytes(model: Architecture, strategy: Strategy) -> int:
    copies = copies_for_step(strategy.optimizer) * _gradients(model, strategy)
    return copies // strategy.sharding.optimizer


def _communication(model: Architecture, strategy: Strategy) -> int:
    return _gradients(model, strategy) if strategy.sharding.has_buckets else 0
