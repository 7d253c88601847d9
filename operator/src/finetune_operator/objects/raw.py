# SPDX-License-Identifier: Apache-2.0
"""Raw objects: what was read (`Body`) and what is to be created (`Manifest`), both plain dicts."""

from collections.abc import Mapping
from typing import Any

Body = Mapping[str, Any]
Manifest = dict[str, Any]
