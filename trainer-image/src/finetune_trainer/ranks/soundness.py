# SPDX-License-Identifier: Apache-2.0
"""Whether saved weights are sound: there, finite, moved from where they began, and all of them.

From the files alone, tensor by tensor: a model need not fit into memory for it.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from peft import PeftModel, get_peft_model_state_dict
from safetensors import SafetensorError, safe_open

from finetune_trainer.failures import AttemptFailed, internal_error, user_error
from finetune_trainer.history import diverged

TENSORS = "*.safetensors"
_NAMED = 3
"""Tensors, in a message."""


def require_sound_tensors(artifact: Path, *, is_adapter: bool) -> None:
    """
    Raises:
        AttemptFailed: no tensors, one that is not finite, or an adapter still at its start.
    """
    has_moved = not is_adapter
    count = 0
    for name, tensor in tensors_of(artifact):
        count += 1
        if not torch.isfinite(tensor).all():
            raise diverged(f"{name} holds values that are not finite")
        # With LoRA, rsLoRA and DoRA alike B begins at zero, so an adapter whose every B is zero
        # changes nothing.
        has_moved = has_moved or ("lora_B" in name and bool(tensor.any()))
    if count == 0:
        raise internal_error(
            "NothingSaved", "the trainer saved no safetensors", "look at the trainer's log"
        )
    if not has_moved:
        raise nothing_trained("the adapter is still where it began: every lora_B is zero")


def require_moved(
    artifact: Path, base: str, revision: str | None, load: Callable[[], Mapping[str, Any]]
) -> None:
    """Some tensor of a whole model must differ from the base model's.

    The first difference suffices, so most often little is read. `load` gives the base model's
    tensors where its files are no safetensors, or name them otherwise.

    Raises:
        AttemptFailed: none does.
    """
    folder = _folder_of(base, revision)
    is_comparable = False
    for known in _references(folder, load):
        for name, tensor in tensors_of(artifact):
            began = known(name)
            if began is None or began.shape != tensor.shape:
                continue
            is_comparable = True
            if not torch.equal(tensor, began.to(tensor.dtype)):
                return
        if is_comparable:
            raise nothing_trained("the weights are still the base model's: no tensor has changed")


def require_whole_adapter(artifact: Path, model: PeftModel) -> None:
    """PEFT only warns of tensors that its model wants and the file lacks, or the other way round.

    Raises:
        AttemptFailed: file and model differ.
    """
    saved = {name for name, _ in tensors_of(artifact) if "lora_" in name}
    wanted = {name for name in get_peft_model_state_dict(model) if "lora_" in name}
    if missing := sorted(wanted - saved):
        raise broken(f"the adapter lacks {_some(missing)} of its {len(wanted)} tensors")
    if foreign := sorted(saved - wanted):
        raise broken(f"the base model has no place for {_some(foreign)} of the adapter")


def require_whole_model(missing: Iterator[str] | set[str] | list[str]) -> None:
    """
    Raises:
        AttemptFailed: transformers had to draw these at random.
    """
    if names := sorted(missing):
        raise broken(f"the model lacks {_some(names)} of its tensors")


def tensors_of(folder: Path) -> Iterator[tuple[str, Any]]:
    """Every tensor in a folder.

    Raises:
        AttemptFailed: a file cannot be read.
    """
    for file in sorted(folder.glob(TENSORS)):
        try:
            with safe_open(file, framework="pt") as opened:
                for name in opened.keys():  # noqa: SIM118 - safe_open is no mapping
                    yield name, opened.get_tensor(name)
        except SafetensorError as error:
            raise broken(f"{file.name} cannot be read: {error}") from error


def broken(message: str) -> AttemptFailed:
    return internal_error(
        "ArtifactBroken",
        message,
        "nothing to do: the next attempt saves it again; report it if that fails too",
    )


def nothing_trained(message: str) -> AttemptFailed:
    return user_error(
        "NothingTrained",
        message,
        "raise learning_rate or the number of steps, and check that the data counts for loss",
    )


Lookup = Callable[[str], Any]


def _references(folder: Path | None, load: Callable[[], Mapping[str, Any]]) -> Iterator[Lookup]:
    """Where a tensor of the base model can be had; the second is asked if the first knows none."""
    if folder is not None and any(folder.glob(TENSORS)):
        yield _in_files(folder)
    yield load().get


def _in_files(folder: Path) -> Lookup:
    place: dict[str, Path] = {}
    for file in folder.glob(TENSORS):
        with safe_open(file, framework="pt") as opened:
            place |= dict.fromkeys(opened.keys(), file)

    def find(name: str) -> Any:
        if name not in place:
            return None
        with safe_open(place[name], framework="pt") as opened:
            return opened.get_tensor(name)

    return find


def _folder_of(base: str, revision: str | None) -> Path | None:
    if Path(base).is_dir():
        return Path(base)
    try:
        # It was downloaded for training; nothing is fetched here.
        found = snapshot_download(
            base, revision=revision, allow_patterns=TENSORS, local_files_only=True
        )
    except (OSError, ValueError):
        return None
    return Path(found)


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:_NAMED])
    return shown if len(names) <= _NAMED else f"{len(names)}, such as {shown},"
