# SPDX-License-Identifier: Apache-2.0
"""Whether merging keeps the trained result in an architecture: the model that was merged, saved and
loaded again computes the same as base and adapter together.

The adapter is on the matrices that the trainer selects, and the trainer's own code merges it in
both ways: the complete model in memory, and tensor by tensor. Everything is in 32 bits.
"""

import json
import re
import shutil
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any
from unittest import mock

import yaml

from finetune_spec.base_model import check_base_model
from finetune_spec.config import Context, read_config
from finetune_trainer.exchange.workspace import Workspace
from finetune_trainer.failures.classification import classify
from finetune_trainer.failures.errors import Stage
from trainer.families.packed_rows import NotBuilt
from trainer.families.small import VOCABULARY, a_model

NOISE = 1e-3
"""Tolerance, as a share of the spread of the logits."""
LEAST_CHANGE = 3e-2
"""The least change by an adapter, as such a share: a merge without it would be detected."""


ASKED: Mapping[str, Any] = {"use_peft": True, "merge_adapter": True}
_REMEDY = re.compile(r'set (lora_[a-z_]+): ("[^"]*"|\[[^\]]*\]|[\w-]+)')


class Merged(StrEnum):
    """The result of merging an adapter."""

    SAME = "same"
    OTHER = "other"
    """The merged model computes different outputs."""
    REFUSED = "refused"
    """With a message for the user."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The result of each of the two ways of merging, with the message if it is refused."""

    whole: Merged
    by_tensors: Merged = Merged.REFUSED
    sentence: str = ""
    sentence_by_tensors: str = ""
    needs: tuple[str, ...] = ()
    """Keys and values that the trainer required before it accepted the config."""


def measure(model_type: str, place: Path) -> Found:
    """With the default targets, or with those that the refusal suggests.

    Raises:
        NotBuilt: there is nothing to measure.
    """
    import torch

    with warnings.catch_warnings(), torch.no_grad(), torch.random.fork_rng():
        warnings.simplefilter("ignore")
        base = place / "base"
        _save_base(model_type, base)
        needs, sentence = remedied(base)
        if sentence:
            return Found(whole=Merged.REFUSED, sentence=sentence, needs=_written(needs))
        workspace = Workspace(root=place / "work")
        arguments = _arguments(base, workspace, {**ASKED, **needs})
        try:
            expected = _adapt(workspace, arguments)
        except Exception as error:  # noqa: BLE001 - whatever PEFT or the architecture cannot do
            sentence = classify(error, Stage.MODEL).message
            return Found(whole=Merged.REFUSED, sentence=sentence, needs=_written(needs))
        whole, sentence = _merge(workspace, arguments, expected)
        with mock.patch("finetune_trainer.ranks.merging.fits_host", return_value=False):
            shutil.rmtree(workspace.merged, ignore_errors=True)
            parts, by_tensors = _merge(workspace, arguments, expected)
    return Found(
        whole=whole,
        sentence=sentence,
        by_tensors=parts,
        sentence_by_tensors=by_tensors,
        needs=_written(needs),
    )


def remedied(base: Path) -> tuple[dict[str, Any], str]:
    """The settings that consecutive refusals of an adapter require; and the last refusal, if none
    of them is accepted."""
    needs: dict[str, Any] = {}
    while sentence := refusal(base, {**ASKED, **needs}):
        found = _REMEDY.search(sentence)
        if found is None or found[1] in needs:
            return needs, sentence
        needs[found[1]] = yaml.safe_load(found[2])
    return needs, ""


def _written(needs: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(f"{key}: {json.dumps(value).strip(chr(34))}" for key, value in needs.items())


def refusal(base: Path, settings: Mapping[str, Any]) -> str:
    """The message before anything is loaded, or an empty text."""
    context = Context(model=json.loads((base / "config.json").read_text()))
    config = read_config({"model_name_or_path": str(base), **settings}, context.schema)
    return "; ".join(str(it) for it in check_base_model(config, context) if not it.is_warning)


def _save_base(model_type: str, base: Path) -> None:
    import torch

    try:
        model = a_model(model_type).float()
        before = logits(model)
        model.save_pretrained(base)
        (base / "tokenizer_config.json").unlink(missing_ok=True)
        after = logits(load(base))
    except Exception as error:
        raise NotBuilt(f"{model_type}: {type(error).__name__}: {error}") from error
    if not torch.isfinite(before).all() or apart(after, before) > NOISE:
        raise NotBuilt(f"{model_type}: transformers loads another model than it has saved")


def load(folder: Path) -> Any:
    """Loads it like the trainer and the card's snippet: with the class that the config names."""
    from trl.trainer.utils import create_model_from_path

    return create_model_from_path(str(folder), dtype="float32", device_map=None)


def logits(model: Any) -> Any:
    import torch

    tokens = torch.arange(3, 27)[None]
    return model.eval()(input_ids=tokens, use_cache=False).logits.float()


def apart(found: Any, expected: Any) -> float:
    """Relative to the spread of the expected values; not-a-number differs from everything."""
    difference = ((found - expected).abs().max() / (expected.std() or 1.0)).item()
    return float(difference) if difference == difference else float("inf")


def _arguments(base: Path, workspace: Workspace, settings: Mapping[str, Any]) -> Any:
    from finetune_trainer.ranks.arguments import read_arguments

    workspace.root.mkdir(parents=True)
    alone = {"output_dir": str(workspace.training), "use_cpu": True, "bf16": False}
    alone |= {"dataset_name": "none", "report_to": "none"}
    text = yaml.safe_dump({"model_name_or_path": str(base), **alone, **settings})
    workspace.config.write_text(text)
    return read_arguments(workspace.config)


def _adapt(workspace: Workspace, arguments: Any) -> Any:
    """Adds an adapter as TRL does; returns the outputs of base and adapter together.

    Each B is random instead of trained, where training reaches it: if an architecture bypasses the
    adapter of a matrix, as for Mamba's `dt_proj`, that B does not change.
    """
    import torch
    from peft import get_peft_model
    from transformers import GenerationConfig

    from finetune_trainer.ranks.model.adapter import adapter_config

    model = load(Path(arguments.model.model_name_or_path))
    before = logits(model)
    adapted = get_peft_model(model, adapter_config(arguments, model, []))
    with torch.enable_grad():
        logits(adapted).square().mean().backward()
    drawn = torch.Generator().manual_seed(2)
    for name, each in adapted.named_parameters():
        if "lora_B" in name and each.grad is not None:
            each.copy_(0.1 * torch.randn(each.shape, generator=drawn))
    adapted.save_pretrained(workspace.artifact)
    _tokenizer().save_pretrained(workspace.artifact)
    GenerationConfig().save_pretrained(workspace.artifact)
    together = logits(adapted)
    changed = apart(together, before)
    assert changed > LEAST_CHANGE, f"the adapter changes only {changed:.2g} of the spread"
    return together


def _tokenizer() -> Any:
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(WordLevel({f"w{it}": it for it in range(VOCABULARY)}, unk_token="w0"))
    return PreTrainedTokenizerFast(tokenizer_object=words, eos_token="w1", pad_token="w0")


def _merge(workspace: Workspace, arguments: Any, expected: Any) -> tuple[Merged, str]:
    from finetune_trainer.ranks.merging import merge_adapter

    try:
        notes = merge_adapter(workspace, arguments)
    except Exception as error:  # noqa: BLE001 - whatever PEFT or the architecture cannot do
        return Merged.REFUSED, classify(error, Stage.MERGING).message
    if not workspace.merged.is_dir():
        # The rest of the message describes this machine's memory.
        return Merged.REFUSED, notes[0].message.partition("; the base model needs")[0]
    found = logits(load(workspace.merged))
    return (Merged.SAME if apart(found, expected) <= NOISE else Merged.OTHER), ""
