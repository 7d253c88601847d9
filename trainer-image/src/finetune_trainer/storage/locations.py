# SPDX-License-Identifier: Apache-2.0
"""The meaning of a name in a config: a store's location, a path, or a hub name. No I/O here."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

STORE_SCHEMES = ("s3", "gs", "az")
FILE_SCHEME = "file"
HUB_SCHEME = "hf"
WEB_SCHEMES = ("https", "http")


def scheme_of(name: str) -> str | None:
    """The scheme of a URI; None for a path or a hub name."""
    scheme, separator, _ = name.partition("://")
    return scheme.lower() if separator else None


def is_in_store(name: str) -> bool:
    return scheme_of(name) in STORE_SCHEMES


def is_on_the_web(name: str) -> bool:
    return scheme_of(name) in WEB_SCHEMES


def path_of(name: str) -> Path | None:
    """The path; None if the name is not a path.

    `models/llama` may be a local directory or a name on the hub: such names are left to
    transformers and datasets, which look for the directory first.
    """
    if scheme_of(name) == FILE_SCHEME:
        parts = urlsplit(name)
        return Path(unquote(parts.netloc + parts.path))
    if scheme_of(name) is None and name.startswith(("/", "./", "../", "~")):
        return Path(name).expanduser()
    return None


def hub_name(name: str) -> str:
    """The name without `hf://`, as required by transformers and datasets.

    A file or directory inside a dataset keeps it: `ranks/data/sources.py` parses it.
    """
    if scheme_of(name) != HUB_SCHEME:
        return name
    place = hub_place(name)
    return place.repository if not place.path and not place.revision else name


@dataclass(frozen=True, slots=True, kw_only=True)
class HubPlace:
    """The parts of an `hf://` URI."""

    repository: str
    revision: str | None
    path: str
    """Inside the repository; empty for all of it."""


def hub_place(uri: str) -> HubPlace:
    """Parses `hf://datasets/org/name@revision/path`; the first and the last part are optional."""
    rest = uri.partition("://")[2].removeprefix("datasets/").removeprefix("models/").strip("/")
    owner, _, below = rest.partition("/")
    name, _, path = below.partition("/")
    name, _, revision = name.partition("@")
    repository = f"{owner}/{name}" if name else owner
    return HubPlace(repository=repository, revision=revision or None, path=path)


def join(uri: str, *parts: str) -> str:
    """A location below another one."""
    return "/".join([uri.rstrip("/"), *(part.strip("/") for part in parts if part.strip("/"))])
