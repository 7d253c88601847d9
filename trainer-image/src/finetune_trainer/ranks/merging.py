# SPDX-License-Identifier: Apache-2.0
"""Merges a verified adapter into its base model: a full model that needs no PEFT.

The base is loaded again and never quantized: merging into four bits would round the adapter away.
So the merged model of a QLoRA run is the adapter on the base in bfloat16, the same as loading the
adapter without quantization. The saved model is loaded again as its user will, and must compute the
same as base and adapter together. A base model that does not fit into host memory is merged tensor
by tensor.
"""

import logging
import shutil
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoProcessor
from transformers.utils import GENERATION_CONFIG_NAME
from trl.trainer.utils import create_model_from_path

from finetune_contract.notes import Note
from finetune_contract.reasons import Reason
from finetune_trainer.exchange.extras import merged, not_merged
from finetune_trainer.exchange.heartbeats import Heart
from finetune_trainer.exchange.workspace import Workspace
from finetune_trainer.failures.errors import attempt_failed
from finetune_trainer.ranks import placed, soundness, tensor_merging
from finetune_trainer.ranks.arguments import Arguments
from finetune_trainer.ranks.blueprint import draw, dtype_of, read_config, weights_of
from finetune_trainer.ranks.callbacks.heartbeat import beat_while_loading
from finetune_trainer.ranks.model.loading import model_init_kwargs
from finetune_trainer.ranks.model.tokens import fit_embeddings
from finetune_trainer.ranks.placement import HOST_SHARE, Room, Weights, fits_host
from finetune_trainer.ranks.room import release_unused, room_here
from finetune_trainer.ranks.tensor_merging import CannotMerge
from finetune_trainer.ranks.tensor_verification import require_fitting_model

log = logging.getLogger(__name__)

MOST_APART = {torch.float32: 1e-3, torch.float16: 2e-2}
"""The allowed difference of logits relative to their spread: a merge rounds every weight."""

MOST_APART_OTHERWISE = 6e-2

PROBE_TOKENS = 32


def merge_adapter(workspace: Workspace, arguments: Arguments) -> tuple[Note, ...]:
    """Writes the merged model, with its tokenizer or processor, to `workspace.merged`.

    The adapter is already published, so insufficient memory for a merge is no failure.

    Returns:
        Notes: why there is no merged model, or how it was made.

    Raises:
        AttemptFailed: the saved model does not compute the same as base and adapter.
    """
    # For a model that reads images it is the complete processor.
    processing = AutoProcessor.from_pretrained(workspace.artifact)
    tokenizer = getattr(processing, "tokenizer", processing)
    heart = Heart(workspace.heartbeat(arguments.training.process_index))
    weights = weights_of(str(arguments.model.model_name_or_path), _options(arguments))
    room = Room(host_bytes=room_here([]).host_bytes)
    with beat_while_loading(heart):
        if weights is None or fits_host(weights, room, HOST_SHARE):
            try:
                _merge_whole(workspace, arguments, processing, tokenizer)
            except Exception as error:
                if not placed.is_out_of_memory(error):
                    raise
                log.warning("merging the complete model ran out of memory")
            else:
                return ()
            release_unused()
        return _merge_by_tensors(workspace, arguments, processing, tokenizer, weights, room)


def _merge_whole(
    workspace: Workspace, arguments: Arguments, processing: Any, tokenizer: Any
) -> None:
    tuned = _load_adapter(workspace.artifact, arguments, tokenizer)
    expected = logits_of(tuned, len(tokenizer))
    model = tuned.merge_and_unload(safe_merge=True)
    model.save_pretrained(workspace.merged)
    _save_beside(workspace, processing)
    dtype = model.dtype
    del tuned, model
    release_unused()
    require_equal_logits(workspace.merged, expected, dtype, len(tokenizer))
    release_unused()


def _merge_by_tensors(
    workspace: Workspace,
    arguments: Arguments,
    processing: Any,
    tokenizer: Any,
    weights: Weights | None,
    room: Room,
) -> tuple[Note, ...]:
    """Notes about the merge."""
    shutil.rmtree(workspace.merged, ignore_errors=True)
    try:
        if weights is None:
            raise CannotMerge("the base model cannot be built from its config alone")
        _write_by_tensors(workspace, arguments, tokenizer)
        _save_beside(workspace, processing)
        return (merged(f"by tensors: {placed.shortage(weights, room)}"),)
    except CannotMerge as reason:
        cause = str(reason)
    except Exception as error:
        if not placed.is_out_of_memory(error):
            raise
        cause = "memory ran out"
    # Its content is incomplete; without the directory nothing is published as merged.
    shutil.rmtree(workspace.merged, ignore_errors=True)
    note = not_merged(f"{cause}; {placed.shortage(weights, room)}")
    log.warning("%s", note.message)
    return (note,)


def _write_by_tensors(workspace: Workspace, arguments: Arguments, tokenizer: Any) -> None:
    name, options = str(arguments.model.model_name_or_path), _options(arguments)
    config = read_config(name, options)
    if getattr(config, "quantization_config", None) is not None:
        raise CannotMerge("the base model is quantized in its files")
    drawn = draw(name, options)
    if len(tokenizer) > drawn.get_input_embeddings().num_embeddings:
        raise CannotMerge("the vocabulary was extended, and the new tokens need their own rows")
    dtype = dtype_of(config, options)
    heart = Heart(workspace.heartbeat(arguments.training.process_index))
    base = soundness.folder_of(name, options["revision"])
    if base is None:
        raise CannotMerge("the base model has no safetensors files here")
    changes = tensor_merging.changes_in(base, workspace.artifact, drawn)
    tensor_merging.merge_by_tensors(base, changes, workspace.merged, dtype, heart)
    config.dtype = dtype
    config.save_pretrained(workspace.merged)
    tensor_merging.copy_code(base, workspace.merged)
    tensor_merging.require_merged(base, changes, workspace.merged, dtype)
    require_fitting_model(workspace.merged, {**options, "revision": None})


def _save_beside(workspace: Workspace, processing: Any) -> None:
    processing.save_pretrained(workspace.merged)
    # The token that ends answers was trained too: the base model may not have it.
    name = GENERATION_CONFIG_NAME
    # Adapters of other tools have none, and then nothing about it was trained.
    if (workspace.artifact / name).is_file():
        shutil.copyfile(workspace.artifact / name, workspace.merged / name)


def require_equal_logits(
    folder: Path, expected: torch.Tensor, dtype: torch.dtype, vocabulary: int
) -> None:
    """
    Raises:
        AttemptFailed: the model in the directory computes different logits.
    """
    model = create_model_from_path(str(folder), dtype=dtype, device_map=None)
    found = logits_of(model, vocabulary)
    spread = expected.std().item() or 1.0
    apart = (found - expected).abs().mean().item() / spread
    # NaN differs from everything.
    if not apart <= MOST_APART.get(dtype, MOST_APART_OTHERWISE):
        raise attempt_failed(
            Reason.MERGE_DIFFERS,
            "the merged model does not compute the same as base and adapter: their logits "
            f"differ by {apart:.2g} of their spread",
            "leave merge_adapter out, and report this with the model's name",
        )


def _options(arguments: Arguments) -> dict[str, Any]:
    """How the base model is loaded for merging: never quantized, on the CPU."""
    options = model_init_kwargs(arguments)
    if arguments.model.load_in_4bit or arguments.model.load_in_8bit:
        # The type that it was computed in, if the config names one.
        options["dtype"] = options["dtype"] or "bfloat16"
    options["device_map"] = None
    # Kernels such as FlashAttention's run on GPUs only.
    options["attn_implementation"] = None
    return options


def _load_adapter(artifact: Path, arguments: Arguments, tokenizer: Any) -> PeftModel:
    base = create_model_from_path(str(arguments.model.model_name_or_path), **_options(arguments))
    fit_embeddings(base, tokenizer)
    tuned = PeftModel.from_pretrained(base, artifact)
    soundness.require_whole_adapter(artifact, tuned)
    return tuned


@torch.no_grad()
def logits_of(model: Any, vocabulary: int) -> torch.Tensor:
    """The model's logits for a few fixed tokens, including the last one, where added tokens are."""
    probe = torch.arange(1, PROBE_TOKENS, device=model.device) * 7919 % vocabulary
    probe = torch.cat([probe, probe.new_tensor([vocabulary - 1])])
    model.eval()
    # Some hybrids keep a cache only together with attention layers, which not every model has.
    return model(input_ids=probe.unsqueeze(0), use_cache=False).logits.float().cpu()
