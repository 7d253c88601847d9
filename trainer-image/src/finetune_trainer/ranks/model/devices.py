# SPDX-License-Identifier: Apache-2.0
"""Requires that all of the model is on this process's own device. Other parts are not trained.

accelerate keeps offloaded weights in host memory or on a disk and leaves empty "meta" tensors in
the model. An adapter on them fails in its first backward pass; a full model trains to the end with
these layers unchanged.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from accelerate.utils import DistributedType
from trl import SFTConfig

from finetune_contract.outcome import Failure
from finetune_contract.reasons import Reason
from finetune_trainer.failures.errors import AttemptFailed

_SHARDED = (DistributedType.FSDP, DistributedType.DEEPSPEED)
_NAMED = 3
_ELSEWHERE = frozenset({"cpu", "disk", "meta"})


def device_map_of(training: SFTConfig) -> dict[str, int] | None:
    """The device onto which transformers loads the model: directly the GPU of this process.

    None if FSDP or DeepSpeed distribute it, and on CPUs, where an "auto" map would offload to disk.
    With None each process of a node loads all weights into host memory first.
    """
    if training.device.type != "cuda" or is_sharded(training):
        return None
    return {"": training.device.index or 0}


def is_sharded(training: SFTConfig) -> bool:
    """Whether FSDP or DeepSpeed decide where each weight is."""
    kind = training.distributed_state.distributed_type
    return bool(training.fsdp) or training.deepspeed_plugin is not None or kind in _SHARDED


def require_present(model: Any, training: SFTConfig, *, is_prepared: bool = False) -> None:
    """`is_prepared` is whether accelerate has moved every weight to its training device.

    Before that all ranks but a node's first one may have no weights yet under FSDP.

    Raises:
        AttemptFailed: part of the model is not in the memory of the device that trains it.
    """
    if training.fsdp and not is_prepared:
        return
    device = training.device.type
    absent = dict(_absent(model, device))
    if is_prepared and not is_sharded(training):
        absent |= {
            name: found
            for name, parameter in model.named_parameters()
            if (found := parameter.device.type) != device
        }
    if absent:
        raise AttemptFailed(_too_large(absent, device))


def _absent(model: Any, device: str) -> Iterator[tuple[str, str]]:
    """Each part that is elsewhere, by its name, and its device."""
    placed = getattr(model, "hf_device_map", None) or {}
    for name, place in placed.items():
        if str(place) in _ELSEWHERE and str(place) != device:
            yield name, str(place)
    for tensors in (model.named_parameters(), model.named_buffers()):
        for name, tensor in tensors:
            if tensor.device.type == "meta":
                yield name, "meta"


def _too_large(absent: Mapping[str, str], device: str) -> Failure:
    shown = [f"{name or 'all of it'} ({place})" for name, place in list(absent.items())[:_NAMED]]
    more = f" and {len(absent) - _NAMED} more" if len(absent) > _NAMED else ""
    return Reason.OUT_OF_MEMORY.failure(
        f"the model does not fit into the memory of one {_named(device)}: these parts were "
        f"loaded elsewhere and would not be trained: {', '.join(shown)}{more}",
        "use a GPU with more memory, or accelerate_config: fsdp2 on several GPUs",
    )


def _named(device: str) -> str:
    return "GPU" if device == "cuda" else "machine"
