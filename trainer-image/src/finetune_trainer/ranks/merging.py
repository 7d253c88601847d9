# SPDX-License-Identifier: Apache-2.0
"""Merges a verified adapter into its base model: a whole model that needs no PEFT.

The base is loaded afresh and never quantized: merging into four bits would round the adapter away.
So the merged model of a QLoRA run is the adapter on the base in bfloat16, as is anybody's who loads
the adapter without quantizing. What was saved is loaded again as its user will, and must compute
what base and adapter compute together.
"""

import gc
import shutil
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoProcessor
from transformers.utils import GENERATION_CONFIG_NAME
from trl.trainer.utils import create_model_from_path

from finetune_trainer.failures import internal_error
from finetune_trainer.ranks.arguments import Arguments
from finetune_trainer.ranks.model.loading import model_init_kwargs
from finetune_trainer.ranks.model.tokens import fit_embeddings
from finetune_trainer.workspace import Workspace

MOST_APART = {torch.float32: 1e-3, torch.float16: 2e-2}
"""How far the logits may be apart, against how far they spread: a merge rounds every weight."""

MOST_APART_OTHERWISE = 6e-2

PROBE_TOKENS = 32


def merge_adapter(workspace: Workspace, arguments: Arguments) -> None:
    """Write the merged model, with its tokenizer or processor, to `workspace.merged`.

    Raises:
        AttemptFailed: what was saved does not compute what base and adapter do.
    """
    # Of a model that reads images it is the whole processor.
    processing = AutoProcessor.from_pretrained(workspace.artifact)
    tokenizer = getattr(processing, "tokenizer", processing)
    tuned = _load_adapter(workspace.artifact, arguments, tokenizer)
    expected = logits_of(tuned, len(tokenizer))
    merged = tuned.merge_and_unload(safe_merge=True)
    merged.save_pretrained(workspace.merged)
    processing.save_pretrained(workspace.merged)
    # By what it ends its answers was learned too: the base model's own may not say.
    name = GENERATION_CONFIG_NAME
    shutil.copyfile(workspace.artifact / name, workspace.merged / name)
    dtype = merged.dtype
    del tuned, merged
    _free()
    require_equal_logits(workspace.merged, expected, dtype, len(tokenizer))
    _free()


def require_equal_logits(
    folder: Path, expected: torch.Tensor, dtype: torch.dtype, vocabulary: int
) -> None:
    """
    Raises:
        AttemptFailed: the model in the folder computes something else.
    """
    model = create_model_from_path(str(folder), dtype=dtype, device_map=None)
    found = logits_of(model, vocabulary)
    spread = expected.std().item() or 1.0
    apart = (found - expected).abs().mean().item() / spread
    # Not-a-number is apart from everything.
    if not apart <= MOST_APART.get(dtype, MOST_APART_OTHERWISE):
        raise internal_error(
            "MergeDiffers",
            f"the merged model computes something else than base and adapter: their logits are "
            f"{apart:.2g} of their spread apart",
            "leave merge_adapter out, and report this with the model's name",
        )


def _load_adapter(artifact: Path, arguments: Arguments, tokenizer: Any) -> PeftModel:
    options = model_init_kwargs(arguments)
    if arguments.model.load_in_4bit or arguments.model.load_in_8bit:
        # The type that it was computed in, where the config names one.
        options["dtype"] = options["dtype"] or "bfloat16"
    options["device_map"] = None
    base = create_model_from_path(str(arguments.model.model_name_or_path), **options)
    fit_embeddings(base, tokenizer)
    return PeftModel.from_pretrained(base, artifact)


@torch.no_grad()
def logits_of(model: Any, vocabulary: int) -> torch.Tensor:
    """What the model computes of a few tokens that are always the same, the last one among them:
    tokens that were added stand at the end."""
    probe = torch.arange(1, PROBE_TOKENS, device=model.device) * 7919 % vocabulary
    probe = torch.cat([probe, probe.new_tensor([vocabulary - 1])])
    model.eval()
    return model(input_ids=probe.unsqueeze(0)).logits.float().cpu()


def _free() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
