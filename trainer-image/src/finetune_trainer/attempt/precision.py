# SPDX-License-Identifier: Apache-2.0
"""Whether a full model is published in another precision than its base. Pure except for reading.

TRL's default is float32: the result of training a bfloat16 base is then twice as large without a
request.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from finetune_contract.documents import InvalidDocument, parse_object
from finetune_contract.notes import Note, NoteReason, warning

CONFIG = "config.json"
_KEYS = ("dtype", "torch_dtype")


def notes_of_precision(base: Mapping[str, Any] | None, folder: Path) -> Iterator[Note]:
    """A note if the model in the directory differs; adapters have no precision."""
    wanted = dtype_of(base or {})
    published = dtype_of(_read(folder / CONFIG))
    if wanted is None or published is None or published == wanted:
        return
    yield warning(
        NoteReason.OTHER_PRECISION,
        f"the base model is in {wanted}, but the published artifact is in {published}: set "
        f"dtype: {wanted} to publish it like the base model, or dtype: {published} to keep this",
    )


def dtype_of(config: Mapping[str, Any]) -> str | None:
    """The dtype in a `config.json`; None if it has none, or if the model is quantized."""
    if config.get("quantization_config"):
        return None
    texts = config.get("text_config")
    for part in (config, texts if isinstance(texts, Mapping) else {}):
        for key in _KEYS:
            if isinstance(part.get(key), str):
                return str(part[key]).removeprefix("torch.")
    return None


def _read(file: Path) -> Mapping[str, Any]:
    try:
        return parse_object(file.read_bytes(), file.name)
    except (OSError, InvalidDocument):
        return {}
