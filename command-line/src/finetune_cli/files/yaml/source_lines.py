# SPDX-License-Identifier: Apache-2.0
"""Reads YAML as kubectl does, and keeps the line of every value. No I/O here.

Stricter than kubectl in one respect: a duplicate key is an error, where kubectl silently uses the
last one.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml
from yaml.events import DocumentEndEvent

from finetune_cli.files.yaml.syntax import explain, explain_key
from finetune_cli.files.yaml.tree import Broken, Found, Node, Position, StrangeKey, TreeBuilder

# libyaml if PyYAML was built with it, which is nearly everywhere: Go's parser is a translation of
# it.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One document of a file."""

    root: Node
    found: tuple[Found, ...]
    """Its problems as YAML."""
    is_readable: bool = True
    """Whether there is a value to check."""

    @property
    def value(self) -> Any:
        return self.root.value

    def place_of(self, path: str) -> Position:
        """The position of the last key of a path; for a missing one, of the nearest parent."""
        node, rest, place = self.root, path, self.root.place
        while rest:
            key = _next_key(node, rest)
            if key is None:
                return place
            rest = rest[len(f"[{key}]" if isinstance(key, int) else key) :].removeprefix(".")
            place = node.children[key].place if isinstance(key, int) else node.keys[key]
            node = node.children[key]
        return place


def _next_key(node: Node, path: str) -> str | int | None:
    """The child that a path leads to; a key may itself contain dots."""
    for key in sorted(node.children, key=lambda key: -len(str(key))):
        name = f"[{key}]" if isinstance(key, int) else key
        if path.startswith(name) and path[len(name) : len(name) + 1] in ("", ".", "["):
            return key
    return None


def read_documents(content: bytes) -> Iterator[Document]:
    """The documents of a file, without empty ones; the last one reports where the YAML breaks
    off.
    """
    builder = TreeBuilder()
    try:
        text = _decode(content)
        for event in yaml.parse(text, _LOADER):
            builder.take(event)
            if isinstance(event, DocumentEndEvent) and builder.root is not None:
                if builder.root.value is not None or builder.found:
                    yield Document(root=builder.root, found=tuple(builder.found))
                builder = TreeBuilder()
        return
    except StrangeKey as error:
        place = error.found.place
        found = Broken(explain_key(text, place.line), place).found
    except Broken as error:
        found = error.found
    except yaml.MarkedYAMLError as error:
        message, line, column = explain(error, text)
        found = Broken(message, Position(line=line, column=column)).found
    root = Node(value=None, place=found.place)
    yield Document(root=root, found=(*builder.found, found), is_readable=False)


def _decode(content: bytes) -> str:
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        byte = content[error.start]
        message = f"not YAML: found the byte 0x{byte:02x}, which is not UTF-8 text"
        raise Broken(message, Position(line=line, column=1)) from None
    if control := _CONTROL.search(text):
        line = text.count("\n", 0, control.start()) + 1
        column = control.start() - text.rfind("\n", 0, control.start())
        message = f"not YAML: found the control character 0x{ord(control[0]):02x}"
        raise Broken(message, Position(line=line, column=column))
    return text
