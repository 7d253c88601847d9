# SPDX-License-Identifier: Apache-2.0
"""Reads the requirements locks."""

import re
from pathlib import Path


def pinned(lock: Path) -> dict[str, str]:
    """The versions in a requirements lock."""
    return dict(re.findall(r"^([a-z0-9][\w.-]*)==([^\s;\\]+)", lock.read_text(), re.MULTILINE))
