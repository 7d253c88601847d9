# SPDX-License-Identifier: Apache-2.0
"""Previews a job before it starts: world, batch, precision, steps, memory. Pure."""

import math
from dataclasses import dataclass

from finetune_spec.attention import Attention, expected_attention
from finetune_spec.config import Context, SftConfig
from finetune_spec.memory import Architecture, Estimate, estimate_memory
from finetune_spec.memory.fitting import Proposal, propose
from finetune_spec.memory.micro_batch import settle
from finetune_spec.memory.sharding import find_sharding
from finetune_spec.memory.strategy import HALF, Strategy, read_strategy
from finetune_spec.speed.advice import find_advice
from finetune_spec.speed.rules import Advice
from finetune_spec.speed.situation import Situation


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """The facts that are known before a run; None if unknown."""

    nodes: int
    processes_per_node: int
    rows: int
    """Per pass of one process."""
    is_auto: bool
    """Whether the trainer chooses that by the memory of its GPU: single rows if that is unknown."""
    accumulation: int
    effective_batch: int
    max_length: int | None
    is_packed: bool
    precision: str
    attention: Attention
    """The attention that the trainer image uses."""
    method: str
    """The trained part."""
    steps: int | None
    strategy: str
    """How the processes share the work: `DDP`, `FSDP2`, `ZeRO-3`, `one process`."""
    estimate: Estimate | None = None
    gpu_bytes: int | None = None
    proposal: Proposal | None = None
    """The changes that make it fit."""
    advice: tuple[Advice, ...] = ()
    """The changes that make it faster."""

    @property
    def world_size(self) -> int:
        return self.nodes * self.processes_per_node

    @property
    def fits(self) -> bool | None:
        if self.estimate is None or self.gpu_bytes is None:
            return None
        return self.estimate.total <= self.gpu_bytes


def preview_run(
    config: SftConfig,
    context: Context,
    *,
    model: Architecture | None,
    train_rows: int | None,
    gpu_bytes: int | None,
) -> Preview:
    """The preview of a valid config."""
    written = config
    if model is not None:
        config = settle(config, model, context, gpu_bytes)
    found = None if model is None else estimate_memory(config, model, context)
    proposal, advice = None, tuple[Advice, ...]()
    is_enough = found is None or gpu_bytes is None or found.total <= gpu_bytes
    if model is not None and gpu_bytes is not None and not is_enough:
        # If it does not fit, the changes that make it fit come first.
        proposal = propose(config, model, context, gpu_bytes)
    elif model is not None:
        now = Situation(config=written, model=model, context=context, gpu_bytes=gpu_bytes)
        advice = tuple(find_advice(now))
    return Preview(
        nodes=context.nodes or 1,
        processes_per_node=context.processes_per_node or 1,
        rows=config["per_device_train_batch_size"],
        is_auto=written.has_auto_batch,
        accumulation=config["gradient_accumulation_steps"],
        effective_batch=config.effective_batch(context.world_size or 1),
        max_length=config["max_length"],
        is_packed=bool(config["packing"]),
        precision=_precision(config, context, model),
        attention=expected_attention(
            config,
            softcaps=model is not None and model.softcaps_attention,
            has_gpus=context.gpus_per_node != 0,
        ),
        method=_method(config),
        steps=count_steps(config, context, train_rows),
        strategy=find_sharding(config, context.world_size or 1).name,
        estimate=found,
        gpu_bytes=gpu_bytes,
        proposal=proposal,
        advice=advice,
    )


def count_steps(config: SftConfig, context: Context, train_rows: int | None) -> int | None:
    """As transformers counts them: each process takes its batches, the last step may be smaller."""
    if config["max_steps"] > 0:
        return int(config["max_steps"])
    if train_rows is None or config["packing"]:
        return None
    rows = config["per_device_train_batch_size"] * (context.world_size or 1)
    batches = math.ceil(train_rows / rows)
    updates: int = max(1, math.ceil(batches / config["gradient_accumulation_steps"]))
    steps: int = math.ceil(config["num_train_epochs"] * updates)
    return steps


def _precision(config: SftConfig, context: Context, model: Architecture | None) -> str:
    dtype = config["dtype"] or "auto"
    if dtype == "auto" and model is not None and model.stored_dtype:
        dtype = f"auto, which is {model.stored_dtype}"
    weights = f"weights in {dtype}"
    if config.is_quantized:
        weights = f"weights in {config.quantization_bits} bits, the rest in {dtype}"
    if model is None:
        is_mixed = config.is_mixed(has_gpus=context.gpus_per_node != 0)
    else:
        is_mixed = _strategy(config, context, model).compute_bytes == HALF
    if not is_mixed:
        return weights
    return f"{weights}, computed in {'float16' if config['fp16'] else 'bfloat16'}"


def _strategy(config: SftConfig, context: Context, model: Architecture) -> Strategy:
    return read_strategy(
        config,
        model,
        world_size=context.world_size or 1,
        has_gpus=context.gpus_per_node != 0,
    )


_LAST_LAYER = "the last layer with norm and head"


def _method(config: SftConfig) -> str:
    if (layers := config["num_layers_unfrozen"]) is not None and not config["use_peft"]:
        return f"the last {layers} layers with norm and head" if layers > 1 else _LAST_LAYER
    if not config["use_peft"]:
        return "the full model"
    kind = "DoRA" if config["use_dora"] else "LoRA"
    targets = config["lora_target_modules"]
    if isinstance(targets, list):
        targets = ", ".join(targets)
    return f"{kind} of rank {config['lora_r']} on {targets or 'the default modules of PEFT'}"
