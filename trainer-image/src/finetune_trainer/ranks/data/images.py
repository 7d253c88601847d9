# SPDX-License-Identifier: Apache-2.0
"""Images of a dataset: paths and bytes become images for TRL's processor."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from accelerate import PartialState
from datasets import Dataset, Features, Image, List, Value

from finetune_contract.reasons import Reason
from finetune_trainer.failures.errors import attempt_failed

COLUMNS = ("image", "images")


def decode_images(data: Any, folder: Path | None) -> Any:
    """The split with `image` and `images` as images; paths are relative to the data files.

    Raises:
        AttemptFailed: a named image does not exist.
    """
    features = data.features
    if features is None:
        return data
    for name in COLUMNS:
        kind = features.get(name)
        if kind is None or _is_image(kind):
            continue
        if folder is not None and _holds_text(kind):
            with PartialState().main_process_first():
                options = {"desc": f"Finding {name}"} if isinstance(data, Dataset) else {}
                found = {"name": name, "folder": str(folder)}
                data = data.map(_with_whole_paths, fn_kwargs=found, features=features, **options)
        data = data.cast_column(name, List(Image()) if isinstance(kind, List) else Image())
    return data


def undecoded(data: Any) -> Any:
    """The split with its images as stored: shaping a row must not decode its images."""
    features = data.features or {}
    for name in COLUMNS:
        kind = features.get(name)
        if kind is not None and _is_image(kind):
            raw = Image(decode=False)
            data = data.cast_column(name, List(raw) if isinstance(kind, List) else raw)
    return data


def read_null_as_none(data: Any) -> Any:
    """The split with null instead of an image treated as no image, like an empty list.

    Such a split has a column `images`. For a stream it is unknown whether it contains null.
    """
    features = data.features or {}
    name = next((name for name in COLUMNS if name in features and _is_image(features[name])), None)
    if name is None or (isinstance(data, Dataset) and not _has_null(data.data.column(name))):
        return data
    raw = undecoded(data)
    kinds = {other: kind for other, kind in raw.features.items() if other != name}
    with PartialState().main_process_first():
        listed = raw.map(
            _without_null,
            fn_kwargs={"name": name},
            remove_columns=[] if name == "images" else [name],
            features=Features({**kinds, "images": List(Image(decode=False))}),
        )
    return listed.cast_column("images", List(Image()))


def _without_null(row: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = row[name] if isinstance(row[name], list) else [row[name]]
    return {"images": [image for image in found if image and any(image.values())]}


def _has_null(column: Any) -> bool:
    if column.null_count or not pa.types.is_list(column.type):
        return bool(column.null_count)
    return bool(pc.list_flatten(column).null_count)


def _is_image(kind: Any) -> bool:
    return isinstance(kind.feature if isinstance(kind, List) else kind, Image)


def _holds_text(kind: Any) -> bool:
    inner = kind.feature if isinstance(kind, List) else kind
    return isinstance(inner, Value) and inner.dtype in ("string", "large_string")


def _with_whole_paths(row: Mapping[str, Any], name: str, folder: str) -> dict[str, Any]:
    value = row[name]
    if isinstance(value, list):
        return {name: [_whole_path(path, folder) for path in value]}
    return {name: _whole_path(value, folder)}


def _whole_path(path: str | None, folder: str) -> str | None:
    if path is None or "://" in path:
        return path
    whole = Path(folder) / path
    if not whole.is_file():
        raise attempt_failed(
            Reason.IMAGE_NOT_FOUND,
            f"there is no image {path} next to the data files",
            "upload the images into the dataset's directory, with the file names in the rows",
        )
    return str(whole)
