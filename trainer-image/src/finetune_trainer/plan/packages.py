# SPDX-License-Identifier: Apache-2.0
"""Checks that this image has the packages that a config or its model needs. Nothing is imported
here.

Trackers and flash attention have separate checks with the same table.
"""

import importlib.util
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from finetune_contract.reasons import Reason
from finetune_spec.config import SftConfig
from finetune_spec.packages import (
    ATTENTION,
    BY_KEY,
    OPTIMIZER,
    PACKAGES,
    Need,
    need_of,
    needs_of_storage,
    needs_of_tokenizer,
)
from finetune_trainer.failures.errors import AttemptFailed, attempt_failed

MODEL = "model_name_or_path"


def is_importable(module: str) -> bool:
    """Whether Python would find it; only its parents are imported."""
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def require_packages(config: SftConfig, has: Callable[[str], bool] = is_importable) -> None:
    """
    Raises:
        AttemptFailed: a value of the config needs a package that is not in this image.
    """
    for key, value in ((OPTIMIZER, config[OPTIMIZER]), (ATTENTION, config.attention)):
        # Packages for flash attention have a separate check and reason.
        need = None if str(value) in BY_KEY[ATTENTION] else need_of(key, value)
        if need is not None and not _is_met(need, has):
            name = config.name(key)
            raise _missing(f'{name}: found "{value}", which needs the package {need.package}', need)


def require_model_packages(
    model: Mapping[str, Any] | None,
    folder: Path | None,
    has: Callable[[str], bool] = is_importable,
) -> None:
    """Checks the requirements of the model's files as soon as they are fetched.

    Raises:
        AttemptFailed: its weights or its tokenizer need a package that is not in this image.
    """
    for method, need in needs_of_storage(model or {}):
        if not _is_met(need, has):
            words = f"{MODEL}: its weights are stored as {method}, which needs the package "
            raise _missing(f"{words}{need.package}", need)
    if folder is not None and folder.is_dir():
        require_tokenizer_package([path.name for path in folder.iterdir()], has)


def require_tokenizer_package(
    names: Collection[str], has: Callable[[str], bool] = is_importable
) -> None:
    """`names` are the files in a model's directory.

    Raises:
        AttemptFailed: its tokenizer needs a package that is not in this image.
    """
    for file, need in needs_of_tokenizer(names):
        if not _is_met(need, has):
            words = f"{MODEL}: its tokenizer is {file} alone, which needs the package "
            raise _missing(f"{words}{need.package}", need)


def _is_met(need: Need, has: Callable[[str], bool]) -> bool:
    return any(has(PACKAGES[name].module) for name in need.packages)


def _missing(message: str, need: Need) -> AttemptFailed:
    return attempt_failed(
        Reason.PACKAGE_NOT_INSTALLED,
        f"{message}, but this trainer image lacks it",
        f"{need.instead}; or set spec.image to an image that also has {need.package}",
    )
