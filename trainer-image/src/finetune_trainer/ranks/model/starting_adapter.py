# SPDX-License-Identifier: Apache-2.0
"""The adapter whose training continues: put on its base model as it is, without a new one."""

from pathlib import Path
from typing import Any

from peft import PeftConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from trl import SFTConfig

from finetune_contract.reasons import Reason
from finetune_trainer.failures.errors import AttemptFailed, attempt_failed
from finetune_trainer.ranks import soundness
from finetune_trainer.ranks.arguments import Arguments
from finetune_trainer.ranks.model.tokens import fit_embeddings, tokenizer_of

_MARK = "is_starting_adapter"


def put_on(model: Any, folder: Path, arguments: Arguments, processor: Any) -> Any:
    """The model with this adapter, trainable.

    Raises:
        AttemptFailed: the adapter does not fit the model.
    """
    # Its tokenizer may have tokens that the base model lacks.
    fit_embeddings(model, tokenizer_of(processor))
    is_drawn = next(model.parameters()).is_meta
    tuned = _without_weights(model, folder) if is_drawn else _load(model, folder, arguments)
    setattr(tuned, _MARK, True)
    return tuned


def _without_weights(model: Any, folder: Path) -> Any:
    """To prepare the data, or for a rank that gets its weights from the first one, under FSDP."""
    return get_peft_model(model, PeftConfig.from_pretrained(folder))


def _load(model: Any, folder: Path, arguments: Arguments) -> PeftModel:
    try:
        tuned = PeftModel.from_pretrained(
            model, folder, is_trainable=True, autocast_adapter_dtype=not _keeps_dtype(arguments)
        )
    except (RuntimeError, ValueError, KeyError, TypeError) as error:
        first = " ".join(str(error).split())
        raise _unfit(f"PEFT cannot load it: {first:.300}") from error
    _require_all_loaded(folder, tuned)
    return tuned


def is_on(model: Any) -> bool:
    """Whether the model has an adapter whose training continues."""
    return bool(getattr(model, _MARK, False))


def _keeps_dtype(arguments: Arguments) -> bool:
    """As TRL decides for a new adapter: ZeRO-3 gathers only parameters of one type."""
    is_quantized = arguments.model.load_in_4bit or arguments.model.load_in_8bit
    return _has_zero_3(arguments.training) and not is_quantized


def _has_zero_3(training: SFTConfig) -> bool:
    plugin = training.deepspeed_plugin
    return plugin is not None and plugin.zero_stage == 3


def _require_all_loaded(folder: Path, tuned: PeftModel) -> None:
    saved = {name for name, _ in soundness.tensors_of(folder)}
    loaded = get_peft_model_state_dict(tuned, save_embedding_layers=False)
    if foreign := sorted(saved - set(loaded)):
        raise _unfit(f"it has no place for {', '.join(foreign[:3])}")
    try:
        soundness.require_whole_adapter(folder, tuned)
    except AttemptFailed as error:
        raise _unfit(error.failure.message) from None


def _unfit(why: str) -> AttemptFailed:
    return attempt_failed(
        Reason.MODEL_DAMAGED,
        f"the adapter does not fit its base model: {why}",
        "set adapter_base_model to the model that the adapter was trained on, or upload the "
        "complete directory that PEFT's save_pretrained wrote",
    )
