# SPDX-License-Identifier: Apache-2.0
"""Where the model is: on this process's own device, all of it. What is elsewhere is not trained.

accelerate keeps offloaded weights in host memory or on a disk and leaves "meta" tensors, which hold
nothing, in the model. An adapter on them dies in its first backward pass; a whole model trains to
the end with these layers unchanged.
"""

from collections.abc import Iterator
from typing import Any

from accelerate.utils import DistributedType
from trl import SFTConfig

from finetune_contract.outcome import Blame, Failure
from finetune_trainer.failures import AttemptFailed

_SHARDED = (DistributedType.FSDP, DistributedType.DEEPSPEED)
_NAMED = 3
_ELSEWHERE = frozenset({"cpu", "disk", "meta"})


def device_map_of(training: SFTConfig) -> dict[str, int] | None:
    """Where transformers is to load the model: straight onto the GPU of this process.

    None where FSDP or DeepSpeed share it out, and on CPUs, where an "auto" map would offload to
    disk. With None each process of a node loads all weights into host memory first.
    """
    if training.device.type != "cuda" or is_sharded(training):
        return None
    return {"": training.device.index or 0}


def is_sharded(training: SFTConfig) -> bool:
    """Whether FSDP or DeepSpeed decide where each weight is."""
    kind = training.distributed_state.distributed_type
    return bool(training.fsdp) or training.deepspeed_plugin is not None or kind in _SHARDED


def require_present(model: Any, training: SFTConfig) -> None:
    """
    Raises:
        AttemptFailed: part of the model is not in the memory of the device that trains it.
    """
    device = training.device.type
    # Shards move to their device later, or live in host memory where the config says so.
    on_device = device if device != "cpu" and not is_sharded(training) else None
    absent = dict(_absent(model, device, on_device))
    if not absent:
        return
    shown = [f"{name or 'all of it'} ({place})" for name, place in list(absent.items())[:_NAMED]]
    more = f" and {len(absent) - _NAMED} more" if len(absent) > _NAMED else ""
    raise AttemptFailed(
        Failure(
            blame=Blame.OUT_OF_MEMORY,
            reason="OutOfMemory",
            message=f"the model does not fit into the memory of one {_named(device)}. These parts "
            f"of it were loaded elsewhere and would not be trained: {', '.join(shown)}{more}",
            remedy="use a GPU with more memory, or accelerate_config: fsdp2 on several GPUs",
        )
    )


def _absent(model: Any, device: str, on_device: str | None) -> Iterator[tuple[str, str]]:
    """Each part that is elsewhere, by its name, and where that is."""
    for module in model.modules():
        placed = getattr(module, "hf_device_map", None) or {}
        for name, place in placed.items():
            if str(place) in _ELSEWHERE and str(place) != device:
                yield name, str(place)
    for tensors in (model.named_parameters(), model.named_buffers()):
        for name, tensor in tensors:
            found = tensor.device.type
            if found == "meta" or (on_device is not None and found != on_device):
                yield name, found


def _named(device: str) -> str:
    return "GPU" if device == "cuda" else "machine"
