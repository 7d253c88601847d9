# SPDX-License-Identifier: Apache-2.0
"""Locations of models and data: hub names, paths, URIs, web addresses. No I/O here."""

import re
from collections.abc import Iterator

from finetune_spec.config.parse.data_formats import DATA_SUFFIXES, suffix_of, why_not_read
from finetune_spec.config.problem import Problem, did_you_mean, quoted, warning
from finetune_spec.config.suggest.misreadings import NULL_WORDS

SCHEMES = ("s3", "gs", "az", "hf", "file")
"""The schemes from which the trainer fetches models and data."""

WEB_SCHEMES = ("https", "http")
"""The schemes from which it fetches single data files."""

_HUB_NAME = re.compile(r"(\b[\w\-.]{1,96}\b/)?\b[\w\-.]{1,96}\b", re.ASCII)
_LONGEST_NAME = 200
"""Characters that fit into a sentence."""

_PATH_BEGINNINGS = ("/", "./", "../", "~")
_WEB_ADDRESS = re.compile(r"https?://[^/]+/(?:datasets/)?([\w\-.]+/[\w\-.]+)(?:/.*)?", re.ASCII)
_WITH_REVISION = re.compile(r"([\w\-.]+/[\w\-.]+)[@:]([\w\-./]+)", re.ASCII)


def check_place(name: str, text: str) -> Iterator[Problem]:
    """A model or a dataset: a hub name, a path or a URI."""
    scheme, has_scheme, _ = text.partition("://")
    if message := _wrong_place(text, scheme.lower() if has_scheme else ""):
        yield Problem(path=name, message=f"found {quoted(text)}, {message}")
    elif not has_scheme and not _is_hub_name(text) and not text.startswith(_PATH_BEGINNINGS):
        yield warning(
            name,
            f"{quoted(text)} can only be a directory on the trainer's file system, because hub "
            f"names have the form org/name: write {_as_folder(text)} if it is",
        )


def _as_folder(text: str) -> str:
    return f"./{text}" if len(text) <= _LONGEST_NAME else "./ in front of it"


def check_data_place(name: str, text: str) -> Iterator[Problem]:
    """A dataset: the same as for a model, or the web address of one file."""
    scheme, has_scheme, _ = text.partition("://")
    is_of_web = has_scheme and scheme.lower() in WEB_SCHEMES and text == text.strip()
    if not is_of_web and (why := why_not_read(text)) is not None and _is_file(text):
        yield Problem(path=name, message=f"found {quoted(text)}, {why[0]}: {why[1]}")
        return
    if not is_of_web:
        yield from check_place(name, text)
        return
    # The rest may be a secret: no message shows it.
    address = text.split("?")[0].split("#")[0]
    if suffix_of(address) is not None:
        return
    if (why := why_not_read(address)) is not None:
        yield Problem(path=name, message=f"found a web address of {why[0]}: {why[1]}")
        return
    if "@" not in address and _WEB_ADDRESS.fullmatch(address):
        yield from check_place(name, address)
    else:
        yield Problem(
            path=name,
            message="found a web address that is not a data file, expected one that ends in "
            f"{', '.join(DATA_SUFFIXES)}",
        )


def _is_file(text: str) -> bool:
    """Whether a name with a suffix means a file, not a dataset of the hub."""
    return "://" in text or text.startswith(_PATH_BEGINNINGS) or "/" not in text


def _wrong_place(text: str, scheme: str) -> str:
    if text.lower() in NULL_WORDS or text != text.strip():
        return "expected a hub name, a path or an s3:// URI, without surrounding whitespace"
    if web := _WEB_ADDRESS.fullmatch(text):
        return f"expected a hub name, a path or an s3:// URI, did you mean {web[1]}?"
    if scheme and scheme not in SCHEMES:
        hint = did_you_mean(scheme, SCHEMES) or f", expected one of {', '.join(SCHEMES)}"
        return f"whose scheme is not supported{hint}"
    if revised := _WITH_REVISION.fullmatch(text):
        return f"expected {revised[1]}: a revision is not part of a name"
    return ""


def check_hub_name(name: str, text: str) -> Iterator[Problem]:
    if not _is_hub_name(text):
        yield Problem(
            path=name,
            message=f"found {quoted(text)}, expected a hub name, such as org/name: letters, "
            "digits, -, _ and . with at most one /",
        )


def _is_hub_name(text: str) -> bool:
    """The rule of huggingface_hub."""
    is_plain = "--" not in text and ".." not in text and not text.endswith(".git")
    return bool(_HUB_NAME.fullmatch(text)) and is_plain
