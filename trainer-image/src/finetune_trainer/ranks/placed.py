# SPDX-License-Identifier: Apache-2.0
"""Loads a base model at a placement, and tries the next one if memory runs out.

Running out of memory here is not a problem of the training: it is complete, and another attempt
with a smaller batch would end in the same way. So it does not fail the attempt.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from peft import PeftModel
from trl.trainer.utils import create_model_from_path

from finetune_contract.reasons import Reason
from finetune_spec.quantities import render_bytes
from finetune_trainer.exchange.heartbeats import Heart
from finetune_trainer.exchange.workspace import Workspace
from finetune_trainer.failures.classification import classify
from finetune_trainer.failures.errors import Stage
from finetune_trainer.ranks.arguments import Arguments
from finetune_trainer.ranks.placement import CPU, Place, Placement, Room, Weights, placements
from finetune_trainer.ranks.room import release_unused, room_here, wait_for_others

log = logging.getLogger(__name__)

PREFIX = "base_model.model."
"""The prefix of the base model's modules, in an adapter's model."""

_OUT_OF_MEMORY = (Reason.OUT_OF_MEMORY, Reason.HOST_OUT_OF_MEMORY)

Result = TypeVar("Result")


class DoesNotFit(Exception):
    """The base model cannot be loaded at this placement; the message has the reason."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a GPU's memory, or the host's, ran out."""
    return classify(error, Stage.VERIFYING).reason in _OUT_OF_MEMORY


def find_room(workspace: Workspace, arguments: Arguments, weights: Weights | None) -> Room:
    """The memory that this process can use: its own GPU if that is sufficient, else all of the
    node's, after the other ranks have ended.
    """
    if not torch.cuda.is_available() or arguments.training.use_cpu:
        return room_here([])
    own = torch.cuda.current_device()
    room = room_here([own])
    if placements(weights, room)[0].place is Place.ONE and weights is not None:
        return room
    rank = arguments.training.process_index
    wait_for_others(workspace, rank, Heart(workspace.heartbeat(rank)))
    others = [device for device in range(torch.cuda.device_count()) if device != own]
    return room_here([own, *others])


def first_that_works(
    candidates: Sequence[Placement], attempt: Callable[[Placement], Result]
) -> Result:
    """The result of `attempt` at the first placement with enough memory. The last one loads
    nothing, so its errors propagate.

    Raises:
        Exception: `attempt` failed for another reason.
    """
    *loading, last = candidates
    for placement in loading:
        try:
            return attempt(placement)
        except Exception as error:
            if not isinstance(error, DoesNotFit) and not is_out_of_memory(error):
                raise
            # Its traceback refers to the frames, and these to the model.
            log.warning("placement failed place=%s reason=%s", placement.place, _first_line(error))
        release_unused()
    return attempt(last)


def shortage(weights: Weights | None, room: Room) -> str:
    """Why the base model was not loaded, as a message for users."""
    if weights is None:
        return "the base model did not fit into memory"
    needed, there = render_bytes(weights.total_bytes), render_bytes(room.for_weights_bytes)
    if room.for_weights_bytes >= weights.total_bytes:
        return f"the base model needs {needed}, and loading it ran out of memory"
    return f"the base model needs {needed}, but this node has {there} available"


def load_placed(name: str, options: Mapping[str, Any], placement: Placement, **more: Any) -> Any:
    """The model of this name, each module on its device."""
    log.info("loading place=%s", placement.place)
    return create_model_from_path(name, **{**options, **_placing(placement), **more})


def attach_adapter(base: Any, artifact: Path, placement: Placement) -> PeftModel:
    """The adapter on its base model, next to each module that it changes.

    PEFT places an offloaded model again, and by default would fill GPUs and host completely.
    """
    if placement.place is not Place.OFFLOADED:
        return PeftModel.from_pretrained(base, artifact)
    device_map = {PREFIX + name: device for name, device in placement.device_map.items()}
    return PeftModel.from_pretrained(base, artifact, device_map=device_map)


def require_room_for_tokens(base: Any, tokenizer: Any) -> None:
    """
    Raises:
        DoesNotFit: the vocabulary must grow, and the embeddings are not on a device.
    """
    embeddings = base.get_input_embeddings()
    is_away = embeddings.weight.device.type == "meta"
    if is_away and len(tokenizer) > embeddings.num_embeddings:
        raise DoesNotFit("the embeddings are offloaded, and new tokens need rows of them")


def _placing(placement: Placement) -> dict[str, Any]:
    device_map = dict(placement.device_map)
    # transformers loads to the CPU by itself, without dispatching.
    return {"device_map": None if device_map == {"": CPU} else device_map, "max_memory": None}


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]
