# SPDX-License-Identifier: Apache-2.0
"""Files of texts -> tables of `datasets`, in which each text is the one that the file has.

The readers that `datasets` brings guess at types: an answer None or NA becomes null, 007 becomes 7,
1e5 becomes 100000.0, and a date becomes a timestamp. These guess at none, and take the place of
theirs, wherever the files are: here, on the hub, in a stream, in a part of a mixture. The door is
`take_over`.
"""

import json
from importlib import metadata
from typing import Any

_EDITION = "2"
"""Another number whenever the same file is read as another table: `datasets` keeps what it read."""

_MODULES = {"csv": "csv_files", "json": "json_files", "text": "text_files"}
"""The name of a reader of `datasets` -> the module here that has its place."""


def take_over() -> None:
    """Have `datasets` read CSV, JSON and text files with these readers from now on; idempotent.

    It has no public way to replace one: the table of its readers is read by `load_dataset` alone.
    """
    from datasets import arrow_writer
    from datasets.features import features
    from datasets.packaged_modules import _PACKAGED_DATASETS_MODULES as READERS
    from datasets.utils import json as own_json

    edition = f"finetune-{_EDITION}-{metadata.version('datasets')}"
    for name, module in _MODULES.items():
        READERS[name] = (f"{__name__}.{module}", edition)
    # Its own JSON rounds numbers to ten digits, and has none of more than 19.
    for module in (features, arrow_writer, own_json):
        module.ujson_loads, module.ujson_dumps = json.loads, _dumps


def _dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
