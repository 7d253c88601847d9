# SPDX-License-Identifier: Apache-2.0
"""Verifies an artifact whose base model cannot be loaded here: by names and shapes.

The base model is drawn on the meta device, so each tensor of the artifact is compared with its
parameter. Values were checked before, tensor by tensor; the model's answers are unknown.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from peft import PeftConfig, PeftModel, get_peft_model_state_dict
from safetensors import safe_open
from trl.trainer.utils import create_model_from_path

from finetune_trainer.ranks import soundness
from finetune_trainer.ranks.blueprint import draw, fit_drawn_embeddings


def require_fitting_adapter(
    artifact: Path, base: str, options: Mapping[str, Any], tokenizer: Any
) -> None:
    """
    Raises:
        AttemptFailed: the adapter lacks a tensor, or has one that does not fit the base model.
    """
    drawn = draw(base, options)
    fit_drawn_embeddings(drawn, tokenizer)
    config = PeftConfig.from_pretrained(artifact)
    model = PeftModel(drawn, config, low_cpu_mem_usage=True)
    soundness.require_whole_adapter(artifact, model)
    wanted = get_peft_model_state_dict(model, save_embedding_layers=False)
    for name, shape in shapes_in(artifact).items():
        if name in wanted and tuple(wanted[name].shape) != shape:
            raise soundness.broken(
                f"{name} has the shape {list(shape)}, but the base model expects "
                f"{list(wanted[name].shape)}"
            )


def require_fitting_model(artifact: Path, options: Mapping[str, Any]) -> None:
    """
    Raises:
        AttemptFailed: the model lacks a tensor, or one has another shape than in its config.
    """
    options = {**options, "device_map": {"": "meta"}, "ignore_mismatched_sizes": True}
    _, found = create_model_from_path(str(artifact), output_loading_info=True, **options)
    soundness.require_whole_model(found["missing_keys"])
    if wrong := sorted(found["mismatched_keys"]):
        name, shape, expected = wrong[0]
        raise soundness.broken(
            f"{name} has the shape {list(shape)}, but the model's config requires {list(expected)}"
        )


def shapes_in(folder: Path) -> dict[str, tuple[int, ...]]:
    """The shape of each tensor in a directory, from the files' headers."""
    found: dict[str, tuple[int, ...]] = {}
    for file in sorted(folder.glob(soundness.TENSORS)):
        with safe_open(file, framework="pt") as opened:
            for name in opened.keys():  # noqa: SIM118 - safe_open is no mapping
                found[name] = tuple(opened.get_slice(name).get_shape())
    return found
