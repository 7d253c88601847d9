# SPDX-License-Identifier: Apache-2.0
"""The schemas of TRL's SFT config, one for each version of TRL that a trainer image may have.

Each is generated from the dataclasses of that version by `make generate`; the newest is the one
that this project's own trainer image has.
"""

import json
import pkgutil
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

NEWEST = "1.16.0"

_FOLDER = "schemas"
"""Next to this module: a directory, or a part of the archive of `kubectl finetune`."""

_IMAGE_VERSION = re.compile(r"(?:^|[-_.:])trl[-_]?(\d+(?:\.\d+)+)(?!\w)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """The keys of a config in one version of TRL."""

    trl_version: str
    properties: Mapping[str, Mapping[str, Any]]
    """Key -> JSON Schema: `type` (a list), `description`, `default`, `enum`, `items` of lists."""

    def default(self, key: str) -> Any:
        return self.properties[key].get("default")

    def types(self, key: str) -> tuple[str, ...]:
        """The JSON types of a key, `null` last; empty if JSON Schema cannot describe its values."""
        return tuple(self.properties[key].get("type", ()))


@cache
def known_versions() -> tuple[str, ...]:
    """The versions of TRL with a schema, the newest first."""
    # Imported late: it takes as long to import as all the rules, and only this needs a list of
    # files.
    from importlib import resources

    names = (entry.name for entry in resources.files(__package__).joinpath(_FOLDER).iterdir())
    versions = [name[len("trl-") : -len(".json")] for name in names if name.endswith(".json")]
    return tuple(sorted(versions, key=_numbers, reverse=True))


@cache
def load_schema(version: str = NEWEST) -> Schema:
    """
    Raises:
        OSError: there is no schema for this version.
    """
    # None comes only from loaders that read no files, and those cannot load this package.
    document = json.loads(pkgutil.get_data(__package__, f"{_FOLDER}/trl-{version}.json") or b"")
    return Schema(trl_version=document["x-trl-version"], properties=document["properties"])


def version_of_image(image: str) -> str:
    """The version of TRL in an image's tag or name, else the newest.

    For example `registry/trainer:3-trl1.15.0`. A digest after the tag is ignored; a digest alone
    contains no version.
    """
    name_and_tag = image.split("@", 1)[0].rpartition("/")[2]
    found = _IMAGE_VERSION.findall(name_and_tag)
    return found[-1] if found else NEWEST


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
