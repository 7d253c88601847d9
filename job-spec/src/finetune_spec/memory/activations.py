# SPDX-License-Identifier: Apache-2.0
"""The tensors that the forward pass keeps for the backward pass, in bytes. No I/O here.

Counted tensor by tensor, after Korthikanti et al., "Reducing Activation Recomputation in Large
Transformer Models" (2022), section 4, for the layers that transformers has today: RMSNorm in 32
bits, a gated MLP, grouped queries, attention without a stored matrix (flash or memory-efficient),
and autocast, which keeps a copy of each input in 16 bits for every matrix that reads it.
"""

from finetune_spec.memory.adapter import find_targets
from finetune_spec.memory.architecture import Architecture, Linear, MatrixInput
from finetune_spec.memory.strategy import FLOAT32, Strategy

_DROPOUT_BYTES = 1
"""Dropout keeps a mask of the dropped numbers, one byte each, on a GPU."""

_STASHED_TENSORS = 5
"""TRL's offloading keeps the newest five on the GPU (`max_fwd_stash_size`)."""


def kept_bytes(model: Architecture, strategy: Strategy) -> int:
    """All tensors that are kept until the backward pass."""
    layer = layer_bytes(model, strategy)
    tail = _tail_bytes(model, strategy) + _mask_bytes(strategy)
    checkpoint = strategy.tokens * model.hidden * strategy.weight_bytes
    every = strategy.checkpoint_every
    if strategy.is_offloading:
        return _STASHED_TENSORS * checkpoint + tail
    # No gradient passes through frozen layers, so they keep nothing; but checkpoints are stored.
    layers = learning_layers(model, strategy)
    if every is None:
        return layers * (layer + copied_weights(model, strategy)) + tail
    checkpointed = -(-model.layers // every)
    whole = layers - -(-layers // every)
    return checkpointed * checkpoint + whole * layer + tail


def learning_layers(model: Architecture, strategy: Strategy) -> int:
    """The number of layers that gradients pass through."""
    return model.layers if strategy.unfrozen is None else min(strategy.unfrozen, model.layers)


def working_bytes(model: Architecture, strategy: Strategy) -> int:
    """The peak of temporary tensors: in a layer, in the loss, or for the forward pass."""
    return max(
        layer_working_bytes(model, strategy),
        loss_bytes(model, strategy),
        _forward_copies(model, strategy),
    )


def layer_bytes(model: Architecture, strategy: Strategy) -> int:
    """The bytes that one layer keeps without checkpointing."""
    is_full = strategy.lora is None
    per_token = _norm_bytes(model, strategy) * model.norms
    per_token += _query_key_norm_bytes(model, strategy)
    per_token += _attention_bytes(model, strategy)
    per_token += _mlp_bytes(model, strategy)
    if is_full:
        per_token += sum(_input_bytes(model, strategy, source) for source in MatrixInput)
    else:
        per_token += _adapter_bytes(model, strategy)
    return strategy.tokens * per_token


def copied_weights(model: Architecture, strategy: Strategy) -> int:
    """One layer's weights, cast by autocast for the computation, and kept like inputs."""
    if strategy.compute_bytes == strategy.weight_bytes:
        return 0
    experts = 0 if model.experts is None else model.experts.parameters(model.hidden)
    return strategy.compute_bytes * (sum(linear.weights for linear in model.linears) + experts)


def loss_bytes(model: Architecture, strategy: Strategy) -> int:
    """TRL computes the loss in tiles of 4096 tokens by 32768 words, its gradients in 32 bits."""
    tokens, words = min(strategy.tokens, 4096), min(model.vocabulary, 32768)
    tile = tokens * words * strategy.compute_bytes
    if strategy.has_full_logits:
        tile = strategy.tokens * model.vocabulary * (strategy.compute_bytes + 2 * FLOAT32)
    cast = words * model.hidden * strategy.compute_bytes
    hidden = strategy.tokens * model.hidden * (FLOAT32 + strategy.weight_bytes)
    trains_head = strategy.lora is None or "lm_head" in strategy.lora.saved_modules
    if strategy.unfrozen is not None:
        trains_head = model.head > 0
    # With 32-bit weights it becomes the gradient itself, which is counted there.
    head = model.vocabulary * model.hidden * FLOAT32 if trains_head else 0
    is_counted = strategy.weight_bytes == FLOAT32 and not strategy.accumulates
    return tile + cast + hidden + (0 if is_counted else head)


def _norm_bytes(model: Architecture, strategy: Strategy) -> int:
    """A norm's input in 32 bits; a trained RMSNorm also keeps its result before the weight."""
    result = FLOAT32 if model.scales_in_32_bits else strategy.weight_bytes
    is_kept = model.is_rms_norm and strategy.lora is None
    return model.hidden * (FLOAT32 + (result if is_kept else 0))


def _query_key_norm_bytes(model: Architecture, strategy: Strategy) -> int:
    if not model.query_key_norm:
        return 0
    result = strategy.compute_bytes if strategy.lora is None else 0
    return (model.query + model.key_value) * (FLOAT32 + result)


def _attention_bytes(model: Architecture, strategy: Strategy) -> int:
    """Queries, keys, values, the result, and the sum of each row's exponentials."""
    # With a mask torch's attention does not support groups: keys and values are repeated.
    repeats = strategy.has_mask and model.query != model.key_value
    pairs = 2 * (model.query if repeats else model.key_value)
    if model.keeps_projection and not repeats:
        # The values are a part of one matrix's result, and keep all of it.
        pairs += model.query + model.key_value
    kept = strategy.compute_bytes * (2 * model.query + pairs) + FLOAT32 * model.heads
    if strategy.writes_attention:
        copies = 2 if model.softcaps_attention else 1
        pair = FLOAT32 + copies * strategy.compute_bytes
        kept += model.heads * strategy.row_tokens * pair
    elif strategy.has_mask:
        # Each layer makes its own copy of the mask, in the type that it computes with.
        kept += strategy.row_tokens * strategy.compute_bytes
    return kept


def _mask_bytes(strategy: Strategy) -> int:
    """The mask that all layers get: one byte for each pair of tokens, or a number."""
    pairs = strategy.tokens * strategy.row_tokens
    if strategy.writes_attention:
        return pairs * (1 + strategy.weight_bytes)
    return pairs if strategy.has_mask else 0


def _mlp_bytes(model: Architecture, strategy: Strategy) -> int:
    """Both factors of the gate and the input of the activation; or the tensors that the activation
    keeps.
    """
    copies = 3 if model.is_gated else model.activation_copies
    return copies * model.width * strategy.compute_bytes


def _input_bytes(model: Architecture, strategy: Strategy, source: MatrixInput) -> int:
    """The inputs that trained matrices keep."""
    readers = [linear for linear in model.linears if linear.source is source]
    if source is MatrixInput.ATTENTION_OUTPUT:
        return 0  # Attention already keeps its result.
    if source is MatrixInput.MLP_PRODUCT:
        return model.width * strategy.compute_bytes
    if source is MatrixInput.MLP_INPUT and model.experts is not None:
        return (model.experts.active + 1) * model.hidden * strategy.compute_bytes
    # Autocast casts once for every matrix; without it all keep the same tensor.
    is_cast = strategy.compute_bytes != strategy.weight_bytes
    return (len(readers) if is_cast else 1) * model.hidden * strategy.compute_bytes


def _adapter_bytes(model: Architecture, strategy: Strategy) -> int:
    """For each adapted matrix: its input as the adapter reads it, and the tensor between A and
    B.
    """
    if strategy.lora is None:
        return 0
    lora, kept = strategy.lora, 0.0
    for linear, layers in find_targets(model, lora):
        mask = linear.inputs * _DROPOUT_BYTES if lora.has_dropout else 0
        one = strategy.compute_bytes * (linear.inputs + lora.rank) + mask
        kept += (one + _dora_bytes(linear, strategy)) * layers / model.layers
    return round(kept)


def _dora_bytes(linear: Linear, strategy: Strategy) -> int:
    """DoRA scales the results of matrix and adapter, and keeps both."""
    is_dora = strategy.lora is not None and strategy.lora.is_dora
    return 2 * linear.outputs * strategy.compute_bytes if is_dora else 0


def _tail_bytes(model: Architecture, strategy: Strategy) -> int:
    """After the last layer: the last norm, and the input of the loss."""
    return strategy.tokens * (_norm_bytes(model, strategy) + model.hidden * strategy.weight_bytes)


def _forward_copies(model: Architecture, strategy: Strategy) -> int:
    """Autocast keeps the casts of trained weights until the forward pass ends.

    Without accumulation there are no gradients yet at that time, and they are larger.
    """
    is_kept = strategy.lora is None and strategy.accumulates
    return learning_layers(model, strategy) * copied_weights(model, strategy) if is_kept else 0


def layer_working_bytes(model: Architecture, strategy: Strategy) -> int:
    """A layer that is recomputed, and the gradients that pass back through it."""
    gradients = strategy.tokens * (
        2 * model.width * strategy.compute_bytes + 2 * model.hidden * strategy.weight_bytes
    )
    if strategy.checkpoint_every is None and not strategy.is_offloading:
        return gradients
    return gradients + layer_bytes(model, strategy) + copied_weights(model, strategy)
