# SPDX-License-Identifier: Apache-2.0
"""The distribution of weights, gradients and optimizer states over the processes. No I/O here."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from finetune_spec.config.parse.sft_config import SftConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharding:
    """Each of the three is complete (1) or one of this many parts."""

    name: str
    """The name for users: `one process`, `DDP`, `ZeRO-3`, `FSDP2`."""
    weights: int = 1
    gradients: int = 1
    optimizer: int = 1
    has_master_weights: bool = False
    """DeepSpeed keeps its own weights in 32 bits in addition to those it computes with."""
    upcasts_trainable: bool = False
    """FSDP keeps trained weights in 32 bits."""
    keeps_weights: bool = True
    """False if weights are in the host's memory between uses."""
    keeps_optimizer: bool = True
    has_buckets: bool = False
    """DDP copies all gradients into communication buffers."""
    is_guessed: bool = False
    """The profile is a file that could not be read here."""


def find_sharding(config: SftConfig, world_size: int) -> Sharding:
    if config["deepspeed"]:
        return _deepspeed(config["deepspeed"], world_size)
    if config["fsdp"]:
        return _fsdp(config, world_size)
    if world_size > 1:
        return Sharding(name="DDP", has_buckets=True)
    return Sharding(name="one process")


def _deepspeed(profile: Any, world_size: int) -> Sharding:
    if isinstance(profile, Mapping):
        given = profile.get("zero_optimization")
        zero = given if isinstance(given, Mapping) else {}
        stage = zero.get("stage")
        stage, is_guessed = stage if isinstance(stage, int) else 0, False
    else:
        # A file's name usually contains it: ds_zero2.json.
        zero = {}
        stage, is_guessed = next((n for n in (1, 2, 3) if f"zero{n}" in _plain(profile)), 2), True
    return Sharding(
        name=f"ZeRO-{stage}",
        weights=world_size if stage == 3 else 1,
        gradients=world_size if stage >= 2 else 1,
        optimizer=world_size if stage >= 1 else 1,
        has_master_weights=True,
        keeps_weights=not _is_offloaded(zero.get("offload_param")),
        keeps_optimizer=not _is_offloaded(zero.get("offload_optimizer")),
        is_guessed=is_guessed,
    )


def _fsdp(config: SftConfig, world_size: int) -> Sharding:
    words = config["fsdp"] if isinstance(config["fsdp"], str) else ""
    # For FSDP 1 the strategy, by name or number, in any case.
    strategy = str(config.fsdp_option("reshard_after_forward")).lower()
    is_whole = strategy in ("false", "shard_grad_op", "2") or "shard_grad_op" in words
    is_offloaded = bool(config.fsdp_option("cpu_offload")) or "offload" in words
    return Sharding(
        name=f"FSDP{config.fsdp_option('version') or 2}",
        weights=1 if is_whole else world_size,
        gradients=world_size,
        optimizer=world_size,
        upcasts_trainable=True,
        keeps_weights=not is_offloaded,
        keeps_optimizer=not is_offloaded,
        is_guessed=isinstance(config["fsdp_config"], str),
    )


def _is_offloaded(section: Any) -> bool:
    return isinstance(section, Mapping) and section.get("device") in ("cpu", "nvme")


def _plain(name: Any) -> str:
    return str(name).lower().replace("_", "").replace("-", "")
