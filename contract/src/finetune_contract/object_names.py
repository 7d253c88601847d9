# SPDX-License-Identifier: Apache-2.0
"""Names of Kubernetes objects, which anyone who may edit a status can write. No I/O here."""

import re

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
_LONGEST = 253


def is_object_name(text: str) -> bool:
    """Whether an object of Kubernetes can have this name: a status may contain any other."""
    return len(text) <= _LONGEST and _NAME.fullmatch(text) is not None
