# SPDX-License-Identifier: Apache-2.0
"""Older spellings of TRL's keys: they work, with a warning. No I/O here."""

from collections.abc import Mapping
from typing import Any

OLDER: Mapping[str, str] = {
    "torch_dtype": "dtype",
    "max_seq_length": "max_length",
}
"""What people still write -> what TRL calls it today."""


def modernize(config: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """The config with today's spellings, and today's spelling -> the older one that was used.

    Where both spellings are there the newer one counts.
    """
    modern = {key: value for key, value in config.items() if key not in OLDER}
    used = {}
    for old, new in OLDER.items():
        if old in config and new not in config:
            modern[new] = config[old]
            used[new] = old
    return modern, used
