# SPDX-License-Identifier: Apache-2.0
"""Turns the parser's events into values with their lines. No I/O, no recursion here."""

from dataclasses import dataclass, field
from typing import Any, cast

from yaml.error import Mark
from yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    Event,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
)

from finetune_cli.files.yaml.scalars import TAG_PREFIX, UnreadableScalar, value_of
from finetune_contract.printable import on_one_line
from finetune_spec.config import Problem

MAX_DEPTH = 100
MAX_VALUES = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """A position, with both numbers counted from 1."""

    line: int
    column: int
    origin: str = ""
    """Its source if not the file, such as `--set seed`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A problem and its position."""

    problem: Problem
    place: Position

    @property
    def sentence(self) -> str:
        """The problem with its path, if it has one."""
        return str(self.problem) if self.problem.path else self.problem.message

    def told_in(self, file: str) -> str:
        """The line in the common format of compilers, which editors can jump to."""
        severity = "warning: " if self.problem.is_warning else ""
        where = self.place.origin or f"{file}:{self.place.line}:{self.place.column}"
        return on_one_line(f"{where}: {severity}{self.sentence}")


@dataclass(slots=True, kw_only=True)
class Node:
    """A value with the positions of its contents."""

    value: Any
    place: Position
    keys: dict[str, Position] = field(default_factory=dict)
    """The positions of a mapping's keys."""
    children: dict[str | int, "Node"] = field(default_factory=dict)
    size: int = 1
    """Number of values in it; those of aliases count each time."""
    height: int = 1

    def add(self, key: str | int, child: "Node") -> None:
        self.children[key] = child
        self.size += child.size
        self.height = max(self.height, child.height + 1)


class Broken(Exception):
    """The rest of the file cannot be parsed."""

    def __init__(self, message: str, place: Position) -> None:
        super().__init__(message)
        self.found = Found(problem=Problem(path="", message=message), place=place)


class StrangeKey(Broken):
    """A list or a mapping in place of a key."""


@dataclass(slots=True, kw_only=True)
class _Open:
    """A collection whose end has not been reached yet."""

    node: Node
    path: str
    is_mapping: bool
    anchor: str | None
    key: tuple[str, Position] | None = None
    merges: bool = False
    """Whether the key is `<<`."""
    own_keys: set[str] = field(default_factory=set)
    """Keys that did not come from a merge: merged ones can be overridden."""


class TreeBuilder:
    """Builds one document from the parser's events, without recursion."""

    def __init__(self) -> None:
        self.root: Node | None = None
        self.found: list[Found] = []
        self._open: list[_Open] = []
        self._anchors: dict[str, Node | None] = {}
        """None for a value whose end has not been reached yet."""

    def take(self, event: Event) -> None:
        if isinstance(event, ScalarEvent):
            self._take_scalar(event)
        elif isinstance(event, AliasEvent):
            self._place(self._alias(event), None)
        elif isinstance(event, CollectionStartEvent):
            self._begin(event)
        elif isinstance(event, CollectionEndEvent):
            done = self._open.pop()
            self._place(done.node, done.anchor)

    def _begin(self, event: CollectionStartEvent) -> None:
        self._refuse_as_key(event)
        tag = (event.tag or "").removeprefix(TAG_PREFIX)
        if tag not in ("", "!", "map", "seq"):
            self._tell(f"found the tag {event.tag}, expected a plain value", _place_of(event))
        is_mapping = isinstance(event, MappingStartEvent)
        node = Node(value={} if is_mapping else [], place=_place_of(event))
        opened = _Open(node=node, path=self._path(), is_mapping=is_mapping, anchor=event.anchor)
        if event.anchor:
            self._anchors[event.anchor] = None
        self._open.append(opened)
        if len(self._open) > MAX_DEPTH:
            raise Broken(f"nested more than {MAX_DEPTH} levels deep", _place_of(event))

    def _take_scalar(self, event: ScalarEvent) -> None:
        place = _place_of(event)
        top = self._open[-1] if self._open else None
        if top is not None and top.is_mapping and top.key is None:
            top.merges = event.value == "<<" and event.implicit[0]
            top.key = self._key(event), place
            return
        try:
            value = value_of(event)
        except UnreadableScalar as error:
            self._tell(str(error), place)
            value = event.value
        self._place(Node(value=value, place=place), event.anchor)

    def _key(self, event: ScalarEvent) -> str:
        try:
            value = value_of(event)
        except UnreadableScalar as error:
            raise Broken(f"{error}, as a key", _place_of(event)) from None
        if value is None:
            raise Broken("found null as a key, expected a name", _place_of(event))
        # As in JSON, whose keys are texts: kubectl sends `on:` as "true".
        return str(value).lower() if isinstance(value, bool) else str(value)

    def _alias(self, event: AliasEvent) -> Node:
        self._refuse_as_key(event)
        if event.anchor not in self._anchors:
            message = f"found *{event.anchor}, but there is no &{event.anchor} above it"
            raise Broken(f"{message}: put a string that begins with * in quotes", _place_of(event))
        node = self._anchors[event.anchor]
        if node is None:
            raise Broken(f"found *{event.anchor} inside of &{event.anchor}", _place_of(event))
        if len(self._open) + node.height > MAX_DEPTH:
            raise Broken(f"nested more than {MAX_DEPTH} levels deep", _place_of(event))
        return node

    def _place(self, node: Node, anchor: str | None) -> None:
        """Puts a finished value into its container."""
        if anchor:
            self._anchors[anchor] = node
        if not self._open:
            self.root = node
            return
        top = self._open[-1]
        if not top.is_mapping:
            top.node.add(len(top.node.value), node)
            top.node.value.append(node.value)
        elif top.merges:
            self._merge(top, node)
        elif top.key is not None:
            self._set(top, *top.key, node)
        top.key, top.merges = None, False
        if top.node.size > MAX_VALUES:
            raise Broken(f"contains more than {MAX_VALUES} values", node.place)

    def _set(self, top: _Open, key: str, place: Position, node: Node) -> None:
        if key in top.own_keys:
            first = top.node.keys[key].line
            message = f"found twice, first in line {first}, and only one of them takes effect"
            self._tell(message, place)
        top.own_keys.add(key)
        top.node.keys[key] = place
        top.node.add(key, node)
        top.node.value[key] = node.value

    def _merge(self, top: _Open, node: Node) -> None:
        """As in Go's yaml.v2: values above `<<` are overridden too."""
        parts = list(node.children.values()) if isinstance(node.value, list) else [node]
        for part in reversed(parts):
            if not isinstance(part.value, dict):
                raise Broken("found << with a value that is not a mapping", node.place)
            top.node.keys.update(part.keys)
            top.node.value.update(part.value)
            for key, child in part.children.items():
                top.node.add(key, child)

    def _refuse_as_key(self, event: NodeEvent) -> None:
        top = self._open[-1] if self._open else None
        if top is not None and top.is_mapping and top.key is None:
            raise StrangeKey("found a key that is not text", _place_of(event))

    def _tell(self, message: str, place: Position) -> None:
        self.found.append(Found(problem=Problem(path=self._path(), message=message), place=place))

    def _path(self) -> str:
        """The path of the next value."""
        if not self._open:
            return ""
        top = self._open[-1]
        if not top.is_mapping:
            return f"{top.path}[{len(top.node.value)}]"
        key = top.key[0] if top.key else ""
        return f"{top.path}.{key}" if top.path else key


def _place_of(event: Event) -> Position:
    # The parser gives every event a mark; only its type allows None.
    mark = cast("Mark", event.start_mark)
    return Position(line=mark.line + 1, column=mark.column + 1)
