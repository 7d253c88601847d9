# SPDX-License-Identifier: Apache-2.0
"""A conversation with sentinels instead of words: a missing sentinel was left out. Pure."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from finetune_trainer.ranks.chat.structure import (
    COMPARED,
    ChatTurn,
    Conversation,
    is_mark,
    listed,
    segments_of,
    shortened,
)

CONTENT, TOOL_CALLS, TOOLS = "content", "tool_calls", "tools"
ASSISTANT = "assistant"

_UNMISSED = COMPARED | {"role", "name", "weight"}
"""Keys of turns that most templates leave out, and that contain no word of an answer."""
_OPENS, _CLOSES = "<think>", "</think>"


@dataclass(frozen=True, slots=True, order=True, kw_only=True)
class Part:
    """A part of a conversation that a template may leave out."""

    key: str
    role: str = ""
    is_reasoning: bool = False
    """Whether it is between <think> and </think>."""
    is_last: bool = False
    """Whether it is in the assistant's last turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A conversation with sentinels in place of its words."""

    conversation: Conversation
    sentinels: Mapping[str, Part]
    """Sentinel -> the part that it replaces."""

    def lost(self, written: str) -> frozenset[Part]:
        """The parts that are missing in a template's text."""
        return frozenset(part for word, part in self.sentinels.items() if word not in written)


def probe_of(conversation: Conversation) -> Probe:
    """The probe of a conversation, without rounds that only repeat others."""
    short = shortened(conversation)
    words = _Words()
    places = [place for place, turn in enumerate(short.turns) if turn.get("role") == ASSISTANT]
    last = places[-1] if places else None
    turns = [words.turn(turn, is_last=place == last) for place, turn in enumerate(short.turns)]
    tools = [words.tool(tool) for tool in listed(short.tools)]
    is_list = isinstance(short.tools, list)
    probe = replace(short, turns=turns, tools=tools if is_list else next(iter(tools), None))
    return Probe(conversation=probe, sentinels=words.sentinels)


def marked(turn: ChatTurn) -> tuple[ChatTurn, list[str]]:
    """The turn with sentinels instead of its words, and the sentinels in the order of its keys."""
    words = _Words()
    return words.turn(turn, is_last=True), list(words.sentinels)


@dataclass(slots=True)
class _Words:
    """Generates unique sentinels."""

    sentinels: dict[str, Part] = field(default_factory=dict)

    def turn(self, turn: ChatTurn, *, is_last: bool) -> ChatTurn:
        role = str(turn.get("role"))
        return {
            name: value
            if name in _UNMISSED
            else self._value(value, Part(key=name, role=role, is_last=is_last), name)
            for name, value in turn.items()
        }

    def tool(self, tool: Any) -> Any:
        """Only its name is checked: templates render schemas in different ways."""
        if not isinstance(tool, Mapping):
            return tool
        inner = tool.get("function")
        if isinstance(inner, Mapping):
            return {**tool, "function": self.tool(inner)}
        if not isinstance(tool.get("name"), str):
            return tool
        return {**tool, "name": self._new(Part(key=TOOLS))}

    def _value(self, value: Any, part: Part, key: str) -> Any:
        if isinstance(value, Mapping):
            return {name: self._value(each, part, name) for name, each in value.items()}
        if isinstance(value, list):
            return [self._value(each, part, key) for each in value]
        if not isinstance(value, str) or not value.strip() or key in COMPARED:
            return value
        if key == "arguments":
            return self._arguments(value, part)
        return self._text(value, part)

    def _arguments(self, text: str, part: Part) -> str:
        """JSON stays JSON: some templates parse it."""
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return self._text(text, part)
        return json.dumps(self._value(value, part, ""))

    def _text(self, text: str, part: Part) -> str:
        segments = segments_of(text)
        found = []
        for place, segment in enumerate(segments):
            if is_mark(segment) or not segment.strip():
                found.append(segment)
                continue
            is_reasoning = _is_reasoning(segments, place) and part.key == CONTENT
            found.append(self._new(replace(part, is_reasoning=is_reasoning)))
        return "".join(found)

    def _new(self, part: Part) -> str:
        word = f"Zq{len(self.sentinels)}qZ"
        self.sentinels[word] = part
        return word


def _is_reasoning(segments: Sequence[str], place: int) -> bool:
    """If only the end is marked, a template or a prompt has opened it."""
    before = [segment for segment in segments[:place] if is_mark(segment)]
    after = [segment for segment in segments[place:] if is_mark(segment)]
    return (before[-1:] == [_OPENS]) or (not before and after[:1] == [_CLOSES])
