# SPDX-License-Identifier: Apache-2.0
"""Two steps of a training on a fake GPU, built from the same parts as the trainer's.

transformers' model, TRL's fused loss, PEFT's adapter, accelerate's FSDP2, torch's DDP, checkpoints
and optimizer, and this product's attention. Not run: the loops of TRL and transformers.
"""

import gc
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch
from peft import LoraConfig, get_peft_model
from torch.distributed.device_mesh import init_device_mesh
from transformers import AutoModelForCausalLM, PreTrainedConfig
from trl.trainer.utils import add_fused_lm_head

from finetune_spec.attention import expected_attention
from finetune_spec.config import Context, read_config
from finetune_spec.config.parse.sft_config import SftConfig
from finetune_spec.memory import Architecture, Estimate, estimate_memory, parse_model
from finetune_trainer.ranks.attention import varlen
from finetune_trainer.ranks.attention.batch import flat_batch
from finetune_trainer.ranks.attention.trainer import BORDERS
from trainer.fake_gpu.device import fake_gpu
from trainer.fake_gpu.four_bits import quantize

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, None: torch.float32}
GPUS_PER_NODE = 8
STEPS = 2
"""The first creates gradients and the optimizer's states, the second one counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One training, as estimated and as allocated by torch's own code."""

    estimate: Estimate
    torch_peak: int
    resident: int
    """Between two steps: weights and the optimizer's states."""

    @property
    def ratio(self) -> float:
        return self.estimate.allocated / self.torch_peak


def compare(model: PreTrainedConfig, config: Mapping[str, Any], world: int = 1) -> Compared:
    """The estimate of this config, and the allocation of its steps on a GPU of `world`."""
    settings = {"lora_dropout": 0.0, **config}
    reading = read_config(settings)
    architecture = parse_model(json.loads(model.to_json_string(use_diff=False)))
    gpus = min(world, GPUS_PER_NODE)
    context = Context(nodes=world // gpus, processes_per_node=gpus, gpus_per_node=gpus)
    with _processes(world) as mesh, fake_gpu() as ledger:
        training = _Training(model, architecture, reading, mesh)
        gc.collect()
        ledger.reset_peak()
        for _ in range(STEPS):
            training.step()
            training.optimizer.zero_grad(set_to_none=True)
            resident = ledger.allocated
    return Compared(
        estimate=estimate_memory(reading, architecture, context),
        torch_peak=ledger.peak,
        resident=resident,
    )


@contextmanager
def _processes(world: int) -> Iterator[Any]:
    """A group in which every transfer ends immediately, without data."""
    if world == 1:
        yield None
        return
    from torch.testing._internal.distributed.fake_pg import FakeStore

    torch.distributed.init_process_group("fake", store=FakeStore(), rank=0, world_size=world)
    try:
        with patch("torch.cuda.is_initialized", lambda: True):
            mesh = init_device_mesh("cuda", (world,), mesh_dim_names=("fsdp",))
        yield mesh
    finally:
        torch.distributed.destroy_process_group()


class _Training:
    """The live objects of a training."""

    def __init__(
        self, model: PreTrainedConfig, architecture: Architecture, config: SftConfig, mesh: Any
    ) -> None:
        self.config = config
        self.length = config["max_length"]
        self.rows = config["per_device_train_batch_size"]
        self.vocabulary = architecture.vocabulary
        self.model = _build(model, architecture, config)
        self.replica: Any = None
        if config["fsdp"]:
            _shard(self.model, config, mesh)
        elif mesh is not None:
            with (
                # They read the parameters' values.
                patch("torch.nn.parallel.distributed._verify_param_shape_across_processes"),
                patch("torch.nn.parallel.distributed._sync_module_states"),
            ):
                # Created for its buckets, which exist from now on. Its forward pass would measure
                # time with CUDA's events.
                self.replica = torch.nn.parallel.DistributedDataParallel(self.model, device_ids=[0])
        trained = [each for each in self.model.parameters() if each.requires_grad]
        self.optimizer = torch.optim.AdamW(trained, fused=config["optim"] == "adamw_torch_fused")

    def step(self) -> None:
        for _ in range(self.config["gradient_accumulation_steps"]):
            batch = self._batch()
            # With the backward pass, as in the trainer: masks may be created again.
            with flat_batch(is_flat=BORDERS in batch, borders=batch.get(BORDERS)):
                with torch.autocast("cuda", torch.bfloat16, enabled=is_mixed(self.config)):
                    loss = self.model(**batch, fused_lm_head=True, use_cache=False).loss
                loss.backward()
        trained = [each for each in self.model.parameters() if each.requires_grad]
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        self.optimizer.step()

    def _batch(self) -> dict[str, Any]:
        is_flat = self.config.has_flat_rows
        shape = (1, self.rows * self.length) if is_flat else (self.rows, self.length)
        tokens = torch.zeros(shape, dtype=torch.int64, device="cuda")
        batch: dict[str, Any] = {"input_ids": tokens, "labels": tokens.clone()}
        if is_flat:
            batch |= self._borders()
        elif self.rows > 1:
            batch["attention_mask"] = torch.ones(shape, dtype=torch.int64, device="cuda")
        return batch

    def _borders(self) -> Mapping[str, Any]:
        borders = torch.zeros(self.rows + 1, dtype=torch.int32, device="cuda")
        positions = torch.zeros((1, self.rows * self.length), dtype=torch.int64, device="cuda")
        return {
            "position_ids": positions,
            **dict.fromkeys((BORDERS, "cu_seq_lens_k"), borders),
            **dict.fromkeys(("max_length_q", "max_length_k"), self.length),
        }


def _build(model: PreTrainedConfig, architecture: Architecture, config: SftConfig) -> Any:
    varlen.register()
    attention = expected_attention(config, softcaps=architecture.softcaps_attention)
    with torch.device("cuda"):
        built: Any = AutoModelForCausalLM.from_config(
            model, dtype=DTYPES[config["dtype"]], attn_implementation=attention.name
        )
    if config["load_in_4bit"]:
        built = quantize(built, is_nested=bool(config["use_bnb_nested_quant"]))
    add_fused_lm_head(built, outputs=("log_probs", "entropy", "is_top1"))
    if config["gradient_checkpointing"]:
        built.activation_checkpointing_enable()
    if config["use_peft"]:
        with torch.device("cuda"):
            built = get_peft_model(built, _lora(config))
        built.enable_input_require_grads()
        if config["load_in_4bit"]:
            # As in TRL with quantized weights.
            for parameter in built.parameters():
                if parameter.requires_grad:
                    parameter.data = parameter.data.to(torch.bfloat16)
    return built.train()


def _lora(config: SftConfig) -> LoraConfig:
    targets = config["lora_target_modules"]
    return LoraConfig(
        r=config["lora_r"],
        lora_dropout=config["lora_dropout"],
        target_modules=targets[0] if isinstance(targets, list) and len(targets) == 1 else targets,
        modules_to_save=config["lora_modules_to_save"],
        task_type="CAUSAL_LM",
    )


def is_mixed(config: SftConfig) -> bool:
    return config["bf16"] is not False


def _shard(model: Any, config: SftConfig, mesh: Any) -> None:
    """With accelerate's own code and the plugin for this config."""
    from accelerate.utils import FullyShardedDataParallelPlugin
    from accelerate.utils.fsdp_utils import fsdp2_prepare_model

    plugin = FullyShardedDataParallelPlugin(
        fsdp_version=2,
        auto_wrap_policy="transformer_based_wrap",
        reshard_after_forward=True,
        cpu_ram_efficient_loading=False,
        activation_checkpointing=False,
    )
    if is_mixed(config):
        plugin.set_mixed_precision("bf16")
    accelerator = SimpleNamespace(
        state=SimpleNamespace(fsdp_plugin=plugin),
        torch_device_mesh={("fsdp",): mesh},
        parallelism_config=SimpleNamespace(fsdp_dim_names=("fsdp",)),
        mixed_precision="bf16" if is_mixed(config) else "no",
        is_main_process=False,
        device=torch.device("cuda"),
    )
    fsdp2_prepare_model(accelerator, model)
