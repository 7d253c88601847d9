# SPDX-License-Identifier: Apache-2.0
"""Raw objects: read ones (`Body`) and ones to create (`Manifest`), both plain dicts."""

from collections.abc import Mapping
from typing import Any

Body = Mapping[str, Any]
Manifest = dict[str, Any]
