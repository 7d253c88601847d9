# SPDX-License-Identifier: Apache-2.0
"""`--set key=value`: overrides values of the YAML before it is checked.

Like Helm's: the value is YAML, null removes a key, dots lead into mappings (`\\.` is a dot in a
key) and `[0]` into lists. A key that does not begin with a field of a job or schedule belongs to
the config.
"""

import argparse
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from finetune_cli.files.yaml.source_lines import Document, read_documents
from finetune_cli.files.yaml.tree import Node, Position
from finetune_contract.reasons import Reason
from finetune_spec.schedule import TEMPLATE
from finetune_spec.shape import SCHEDULE_KIND
from finetune_trainer.failures.errors import attempt_failed

Path = tuple[str | int, ...]

_OF_A_RESOURCE = ("apiVersion", "kind", "metadata", "spec")
_PART = re.compile(r"((?:\\.|[^.\[\]\\])+)((?:\[\d+\])*)(?:\.|$)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """One `--set`."""

    path: Path
    node: Node
    """The value, marked as not coming from a line of a file."""


def add_option(command: argparse.ArgumentParser) -> None:
    """Adds `--set` to a command of `finetune`."""
    command.add_argument(
        "--set",
        action="append",
        default=[],
        dest="settings",
        metavar="KEY=VALUE",
        help="set a key of the config (learning_rate=1e-4) or of the job "
        "(spec.resources.gpusPerNode=0) instead of the value in the file; can be repeated",
    )


def parse_overrides(settings: Sequence[str]) -> tuple[Override, ...]:
    """
    Raises:
        AttemptFailed: one does not have the form key=value, or its value is not YAML.
    """
    return tuple(_parse(setting) for setting in settings)


def apply_overrides(document: Document, overrides: Sequence[Override]) -> Document:
    """The document with the overrides of the command line.

    Raises:
        AttemptFailed: a path leads through a value that has no keys.
    """
    root = document.root
    if not isinstance(root.value, dict):
        return document
    is_resource = any(key in root.value for key in _OF_A_RESOURCE)
    template = TEMPLATE.split(".") if root.value.get("kind") == SCHEDULE_KIND else ()
    for override in overrides:
        path = override.path
        if is_resource and path[0] not in _OF_A_RESOURCE:
            path = (*template, "spec", "config", *path)
        root = _with(root, path, override.node)
    return replace(document, root=root)


def _parse(setting: str) -> Override:
    key, equals, text = setting.partition("=")
    path = tuple(_parts(key))
    if not equals or not path:
        raise attempt_failed(
            Reason.INVALID_JOB,
            f"--set {setting}: expected key=value",
            "write for example --set learning_rate=1e-4",
        )
    place = Position(line=1, column=1, origin=f"--set {key}")
    documents = list(read_documents(text.encode()))
    found = [one for document in documents for one in document.found]
    if found or len(documents) > 1:
        why = found[0].sentence if found else "found several documents, expected one value"
        raise attempt_failed(
            Reason.INVALID_JOB, f"--set {key}: {why}", "put the value in quotes if it is a string"
        )
    node = documents[0].root if documents else Node(value=None, place=place)
    return Override(path=path, node=_moved(node, place))


def _parts(key: str) -> Iterator[str | int]:
    """The steps of a path; empty if it has none."""
    position = 0
    while position < len(key):
        if (found := _PART.match(key, position)) is None:
            return
        yield re.sub(r"\\(.)", r"\1", found[1])
        yield from (int(index) for index in re.findall(r"\d+", found[2]))
        position = found.end()


def _moved(node: Node, place: Position) -> Node:
    children = {key: _moved(child, place) for key, child in node.children.items()}
    return replace(node, place=place, keys=dict.fromkeys(node.keys, place), children=children)


def _with(node: Node, path: Path, new: Node) -> Node:
    """A copy of the node with another one at the path; null removes it."""
    step, rest = path[0], path[1:]
    expected: Any = list if isinstance(step, int) else dict
    if not isinstance(node.value, expected):
        raise _dead_end(step, new.place)
    child = node.children.get(step)
    if rest:
        empty: Any = [] if isinstance(rest[0], int) else {}
        below = child if child is not None and child.value is not None else None
        new = _with(below or Node(value=empty, place=new.place), rest, new)
    if isinstance(step, int):
        return _with_item(node, step, new)
    children = {key: one for key, one in node.children.items() if key != step}
    keys = {key: place for key, place in node.keys.items() if key != step}
    values = {key: value for key, value in node.value.items() if key != step}
    if new.value is not None:
        children[step], values[step] = new, new.value
        keys[step] = new.place if child is None or not rest else node.keys[step]
    return replace(node, value=values, keys=keys, children=children)


def _with_item(node: Node, index: int, new: Node) -> Node:
    if index > len(node.value):
        raise _dead_end(index, new.place)
    values = [*node.value[:index], new.value, *node.value[index + 1 :]]
    return replace(node, value=values, children={**node.children, index: new})


def _dead_end(step: str | int, place: Position) -> Exception:
    return attempt_failed(
        Reason.INVALID_JOB,
        f"{place.origin}: there is nothing to set {step} in",
        "name a key of a mapping, as in spec.resources.nodes, or the next place of a list",
    )
