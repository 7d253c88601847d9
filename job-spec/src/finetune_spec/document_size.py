# SPDX-License-Identifier: Apache-2.0
"""A config must fit into the ConfigMap that takes it to the trainer. No I/O here."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from finetune_spec.config import Problem

LARGEST_BYTES = 1024 * 1024 - 16 * 1024
"""A ConfigMap holds 1 MiB; the rest is for what else the run document says."""


def check_size(config: Mapping[str, Any], path: str) -> Iterator[Problem]:
    """As the run document spells it: indented, and in ASCII."""
    try:
        size = len(json.dumps(config, indent=2, default=str))
    except (RecursionError, ValueError):
        # Too deep, which another rule says.
        return
    if size > LARGEST_BYTES:
        yield Problem(
            path=path,
            message=f"found {size:,} bytes of JSON, expected at most {LARGEST_BYTES:,}, what a "
            "ConfigMap holds: put long lists and texts into files and name those",
        )
