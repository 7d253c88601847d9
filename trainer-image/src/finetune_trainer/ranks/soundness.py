# SPDX-License-Identifier: Apache-2.0
"""Checks that saved weights are present, finite, changed from their initial values, and complete.

Reads only the files, tensor by tensor: the model need not fit into memory.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from peft import PeftModel, get_peft_model_state_dict
from safetensors import SafetensorError, safe_open

from finetune_contract.reasons import Reason
from finetune_trainer.exchange.history import diverged
from finetune_trainer.failures.errors import AttemptFailed, attempt_failed
from finetune_trainer.ranks.movement.account import Tensor

TENSORS = "*.safetensors"
_PRECISION = 0.02
"""Tolerance, as a share of the largest value: the loss of a tensor that is loaded in 16 bits."""
_NAMED = 3
"""Tensors, in a message."""
_BLOCK = 1 << 20
"""Values that are compared at a time."""


def require_sound_tensors(
    artifact: Path, *, is_adapter: bool, moved: Mapping[str, Tensor] | None = None
) -> None:
    """`moved` are the tensors that training has changed, by their names in files.

    Raises:
        AttemptFailed: no tensors, one that is not finite, an untrained adapter, or a part of one
          that differs from the trained one.
    """
    has_moved = not is_adapter
    count, lost = 0, []
    for name, tensor in tensors_of(artifact):
        count += 1
        if not torch.isfinite(tensor).all():
            raise diverged(f"{name} contains values that are not finite")
        if "lora_B" not in name:
            continue
        # With LoRA, rsLoRA and DoRA B begins at zero, so an adapter whose every B is zero changes
        # nothing.
        if tensor.any():
            has_moved = True
        elif (trained := (moved or {}).get(name)) is not None and trained.began_at_zero:
            lost.append(name)
    if count == 0:
        raise attempt_failed(
            Reason.NOTHING_SAVED, "the trainer saved no safetensors", "check the trainer's log"
        )
    if lost:
        raise _put_back(lost, "are zero in")
    if not has_moved:
        raise nothing_trained("the adapter is unchanged: every lora_B is zero")


def require_moved(
    artifact: Path,
    base: str,
    revision: str | None,
    load: Callable[[], Mapping[str, Any]],
    moved: Mapping[str, Tensor] | None = None,
) -> None:
    """Every changed tensor of a full model must differ from the base model's.

    `moved` has those, by their names in files; if transformers uses other names in files, some
    tensor must differ. `load` returns the base model's tensors if its files are not safetensors, or
    use other names. Each tensor is read only up to the first difference: a few MB each for a 7B
    model, which takes a second or two, while 15 GB of both would take half a minute at 1 GB/s.

    Raises:
        AttemptFailed: one is equal to the base model's, or all are.
    """
    folder = folder_of(base, revision)
    saved = set(_names_in(artifact))
    known_to_move = {name: it for name, it in (moved or {}).items() if name in saved}
    for began in _references(folder, load):
        same, differ = _compared(artifact, began, known_to_move)
        if known_to_move and same:
            raise _put_back(same, "are the base model's in")
        if differ:
            return
        if same:
            raise nothing_trained("the weights are still the base model's: no tensor has changed")


def require_changed_adapter(artifact: Path, before: Path) -> None:
    """
    Raises:
        AttemptFailed: every tensor equals that of the adapter whose training was continued.
    """
    began = _in_files(before)
    for name, tensor in tensors_of(artifact):
        base = began(name)
        if base is None or base.shape != tensor.shape or not is_same(tensor, base):
            return
    raise nothing_trained("the weights are still those of the adapter that was continued")


def _compared(
    artifact: Path, began: "Lookup", moved: Mapping[str, Tensor]
) -> tuple[list[str], list[str]]:
    """The tensors equal to the base model's, and the others: all changed ones, or if none is known
    to have changed, those up to the first that differs.
    """
    same: list[str] = []
    differ: list[str] = []
    for name, tensor in tensors_of(artifact):
        if moved and (name not in moved or _dtype_of(tensor) != moved[name].dtype):
            continue
        base = began(name)
        if base is None or base.shape != tensor.shape:
            continue
        (same if is_same(tensor, base) else differ).append(name)
        if differ and not moved:
            break
    return same, differ


def is_same(tensor: Any, base: Any) -> bool:
    """Whether two tensors of one shape are equal in the dtype of the first."""
    parts = zip(tensor.reshape(-1).split(_BLOCK), base.reshape(-1).split(_BLOCK), strict=True)
    return all(torch.equal(mine, theirs.to(mine.dtype)) for mine, theirs in parts)


def _dtype_of(tensor: Any) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _put_back(names: list[str], how: str) -> AttemptFailed:
    return broken(f"training has changed {_some(names)} which {how} the saved artifact")


def require_whole_adapter(artifact: Path, model: PeftModel) -> None:
    """PEFT only warns about tensors that the file lacks, or that its model does not have; it does
    not report tensors that it loads under another name than it saves them.

    Raises:
        AttemptFailed: file and model differ.
    """
    saved = {name for name, _ in tensors_of(artifact) if "lora_" in name}
    loaded = {it: at for it, at in get_peft_model_state_dict(model).items() if "lora_" in it}
    if missing := sorted(loaded.keys() - saved):
        raise broken(f"the adapter lacks {_some(missing)} of its {len(loaded)} tensors")
    if foreign := sorted(saved - loaded.keys()):
        raise broken(f"{_some(foreign)} of the adapter do not fit the base model")
    lost = [
        name for name, at in tensors_of(artifact) if name in loaded and _is_lost(at, loaded[name])
    ]
    if lost:
        raise attempt_failed(
            Reason.ARTIFACT_BROKEN,
            f"PEFT loads {_some(sorted(lost))} of the adapter otherwise than it has saved them",
            "leave these matrices out of lora_target_modules",
        )


def _is_lost(saved: torch.Tensor, loaded: torch.Tensor) -> bool:
    """Whether the loaded tensor differs by more than the precision that it is loaded in."""
    if loaded.is_meta:
        return False
    apart = (loaded.detach().cpu().float() - saved.float()).abs()
    return bool((apart > _PRECISION * saved.float().abs().max()).any())


def require_whole_model(missing: Iterator[str] | set[str] | list[str]) -> None:
    """
    Raises:
        AttemptFailed: transformers initialized these at random.
    """
    if names := sorted(missing):
        raise broken(f"the model lacks {_some(names)} of its tensors")


def tensors_of(folder: Path) -> Iterator[tuple[str, Any]]:
    """Every tensor in a directory.

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


def _names_in(folder: Path) -> Iterator[str]:
    for file in sorted(folder.glob(TENSORS)):
        try:
            with safe_open(file, framework="pt") as opened:
                yield from opened.keys()
        except SafetensorError as error:
            raise broken(f"{file.name} cannot be read: {error}") from error


def broken(message: str) -> AttemptFailed:
    return attempt_failed(
        Reason.ARTIFACT_BROKEN,
        message,
        "no action: the next attempt saves it again; report it if that fails too",
    )


def nothing_trained(message: str) -> AttemptFailed:
    return attempt_failed(
        Reason.NOTHING_TRAINED,
        message,
        "raise learning_rate or the number of steps, and check that the data counts for loss",
    )


Lookup = Callable[[str], Any]


def _references(folder: Path | None, load: Callable[[], Mapping[str, Any]]) -> Iterator[Lookup]:
    """The sources for a tensor of the base model; the second is used if the first has none."""
    if folder is not None:
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


def folder_of(base: str, revision: str | None) -> Path | None:
    """The directory with the files of a base model, as downloaded for training; None if it has no
    safetensors.
    """
    folder = Path(base)
    if not folder.is_dir():
        try:
            folder = Path(snapshot_download(base, revision=revision, local_files_only=True))
        except (OSError, ValueError):
            return None
    return folder if any(folder.glob(TENSORS)) else None


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:_NAMED])
    return shown if len(names) <= _NAMED else f"{len(names)}, such as {shown},"
