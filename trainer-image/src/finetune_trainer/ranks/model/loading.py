# SPDX-License-Identifier: Apache-2.0
"""Loads a model as `SFTTrainer` does when it is given a name."""

from typing import Any

from transformers import set_seed
from trl import get_quantization_config
from trl.trainer.utils import create_model_from_path

from finetune_trainer.ranks.arguments import Arguments
from finetune_trainer.ranks.model.devices import device_map_of, require_present


def load_model(arguments: Arguments) -> Any:
    """The base model, quantized where the config says so.

    Ours rather than `SFTTrainer`'s, because embeddings must be resized, and layers frozen, between
    loading and PEFT.

    Raises:
        AttemptFailed: part of it is not on the device that trains it.
    """
    # As there: weights that the files lack are drawn at random.
    set_seed(arguments.training.seed)
    options = model_init_kwargs(arguments)
    if (quantization := get_quantization_config(arguments.model)) is not None:
        if "quantization_config" in options:
            raise ValueError(
                "the model is quantized twice: say it in only one place, load_in_4bit or "
                "load_in_8bit, or model_init_kwargs.quantization_config"
            )
        options["quantization_config"] = quantization
    if options.get("device_map") is not None:
        raise ValueError(
            "model_init_kwargs.device_map: each process loads the model onto its own GPU: remove it"
        )
    # TRL's own choice for one process is "auto": what does not fit is offloaded without a word.
    options["device_map"] = device_map_of(arguments.training)
    model = create_model_from_path(str(arguments.model.model_name_or_path), **options)
    require_present(model, arguments.training)
    return model


def model_init_kwargs(arguments: Arguments) -> dict[str, Any]:
    """How the base model is loaded, for training and for verifying alike."""
    model = arguments.model
    return {
        "revision": model.model_revision,
        "trust_remote_code": arguments.training.trust_remote_code,
        "attn_implementation": model.attn_implementation,
        "dtype": model.dtype,
        **(arguments.training.model_init_kwargs or {}),
    }
