# SPDX-License-Identifier: Apache-2.0
"""Reads text files into tables of `datasets` that keep each text unchanged.

The readers that `datasets` brings guess at types: an answer None or NA becomes null, 007 becomes 7,
1e5 becomes 100000.0, and a date becomes a timestamp. These readers guess nothing, and replace
those of `datasets` for all files: local, on the hub, streamed, in a part of a mixture. The door is
`take_over`.
"""

import json
from importlib import metadata
from typing import Any

_EDITION = "2"
"""A new number whenever the same file is read into a different table: `datasets` caches what it
read.
"""

_MODULES = {"csv": "csv_files", "json": "json_files", "text": "text_files"}
"""The name of a reader of `datasets` -> the module here that replaces it."""


def take_over() -> None:
    """Makes `datasets` read CSV, JSON and text files with these readers; idempotent.

    It has no public way to replace one: only `load_dataset` reads the table of its readers.
    """
    from datasets import arrow_writer
    from datasets.features import features
    from datasets.packaged_modules import _PACKAGED_DATASETS_MODULES as READERS
    from datasets.utils import json as own_json

    edition = f"finetune-{_EDITION}-{metadata.version('datasets')}"
    for name, module in _MODULES.items():
        READERS[name] = (f"{__name__}.{module}", edition)
    # Its own JSON parser rounds numbers to ten digits, and cannot represent more than 19.
    for module in (features, arrow_writer, own_json):
        module.ujson_loads, module.ujson_dumps = json.loads, _dumps


def _dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
