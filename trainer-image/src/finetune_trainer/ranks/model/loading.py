# SPDX-License-Identifier: Apache-2.0
"""Loads a model as `SFTTrainer` does for a name."""

from collections.abc import Collection, Iterator
from typing import Any

from transformers import set_seed
from trl import get_quantization_config
from trl.trainer.utils import create_model_from_path

from finetune_contract.notes import Note, NoteReason, warning
from finetune_contract.reasons import Reason
from finetune_trainer.failures.errors import attempt_failed
from finetune_trainer.ranks.arguments import Arguments
from finetune_trainer.ranks.attention.choice import name_to_load
from finetune_trainer.ranks.model.devices import device_map_of, require_present

_NAMES_SHOWN = 3


def load_model(arguments: Arguments) -> Any:
    """The base model, quantized if the config requests it.

    It is loaded here rather than in `SFTTrainer`, because embeddings must be resized, and layers
    frozen, between loading and PEFT.

    Raises:
        AttemptFailed: part of it is not on the device that trains it.
    """
    # As there: weights that the files lack are initialized at random.
    set_seed(arguments.training.seed)
    options = model_init_kwargs(arguments)
    if (quantization := get_quantization_config(arguments.model)) is not None:
        if "quantization_config" in options:
            raise ValueError(
                "the model is quantized twice: set it in only one place, load_in_4bit or "
                "load_in_8bit, or model_init_kwargs.quantization_config"
            )
        options["quantization_config"] = quantization
    if options.get("device_map") is not None:
        raise ValueError(
            "model_init_kwargs.device_map: each process loads the model onto its own GPU: remove it"
        )
    # TRL's own choice for one process is "auto", which silently offloads the part that does not
    # fit.
    options["device_map"] = device_map_of(arguments.training)
    model, report = create_model_from_path(
        str(arguments.model.model_name_or_path), output_loading_info=True, **options
    )
    _keep_trainable(model)
    require_present(model, arguments.training)
    require_complete(report.get("missing_keys", ()))
    model.loading_notes = tuple(notes_of_unused(report.get("unexpected_keys", ())))
    return model


def _keep_trainable(model: Any) -> None:
    """On CPUs with AVX512-BF16, bitsandbytes permanently packs 4-bit weights for inference at their
    first evaluation: no gradient passes through them after that.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def require_complete(missing: Collection[str]) -> None:
    """
    Raises:
        AttemptFailed: the files lack these tensors, which transformers has initialized at random.
    """
    if missing:
        raise attempt_failed(
            Reason.MODEL_DAMAGED,
            f"the model's files lack {_named(missing)}: they would be initialized randomly",
            "upload the complete model as save_pretrained writes it: a language model with its "
            "head, and tensors without a prefix such as _orig_mod.",
        )


def notes_of_unused(unexpected: Collection[str]) -> Iterator[Note]:
    if unexpected:
        yield warning(
            NoteReason.WEIGHTS_UNUSED,
            f"the model's files have {_named(unexpected)}, which do not belong to its "
            "architecture: they are neither trained nor published",
        )


def _named(tensors: Collection[str]) -> str:
    first = sorted(tensors)[:_NAMES_SHOWN]
    more = "" if len(tensors) <= _NAMES_SHOWN else f" and {len(tensors) - _NAMES_SHOWN} more"
    return f"{len(tensors)} tensor{'s' * (len(tensors) > 1)} ({', '.join(first)}{more})"


def model_init_kwargs(arguments: Arguments) -> dict[str, Any]:
    """How the base model is loaded, for training and for verification."""
    model = arguments.model
    return {
        "revision": model.model_revision,
        "trust_remote_code": arguments.training.trust_remote_code,
        "dtype": model.dtype,
        **(arguments.training.model_init_kwargs or {}),
        "attn_implementation": name_to_load(attention_named(arguments)),
    }


def attention_named(arguments: Arguments) -> str | None:
    """The attention in the config; in `sft.py`, `model_init_kwargs` takes precedence over the
    key.
    """
    given = {"attn_implementation": arguments.model.attn_implementation}
    named: str | None = (given | (arguments.training.model_init_kwargs or {}))[
        "attn_implementation"
    ]
    return named
