# SPDX-License-Identifier: Apache-2.0
"""The structure of a conversation: everything a chat template can see except its words. Pure.

A template renders all conversations of one structure in the same way, so one is tested for all.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any

ChatTurn = Mapping[str, Any]

COMPARED = frozenset({"id", "tool_call_id", "type"})
"""Keys whose values templates compare with others, or whose length they check."""

_NAMED_BY_USERS = frozenset({"arguments", "properties"})
"""Objects whose keys are names set by users: no template contains them."""

_MARK = re.compile(r"(</?think>)")
_PERIODS = (1, 2, 3, 4)
"""How many turns may form a repeated round, such as question, call, result and answer."""
_REPEATS = 2
_ROLE_CHARACTERS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """The input of a chat template from a row."""

    turns: Sequence[ChatTurn]
    prompt_turns: int = 0
    """How many of them are the prompt, if prompt and completion are separate columns."""
    tools: Any = None
    options: Any = field(default_factory=dict)
    """`chat_template_kwargs`."""

    def with_turns(self, turns: Sequence[ChatTurn]) -> "Conversation":
        """The same with other turns; a prompt, if there is one, is all but the last of them."""
        prompt = max(len(turns) - 1, 0) if self.prompt_turns else 0
        return replace(self, turns=turns, prompt_turns=prompt)


def conversation_of(row: Mapping[str, Any]) -> Conversation | None:
    """The conversation in a row, in the form that TRL gives to a template; None without one.

    Rows with images are skipped: they are rendered during training.
    """
    if not {"input_ids", "image", "images"}.isdisjoint(row):
        return None
    prompt, completion = row.get("prompt"), row.get("completion")
    turns, prompt_turns = row.get("messages") or row.get("conversations"), 0
    if isinstance(prompt, list) and isinstance(completion, list):
        turns, prompt_turns = [*prompt, *completion], len(prompt)
    if not isinstance(turns, list) or not all(isinstance(turn, Mapping) for turn in turns):
        return None
    tools = row.get("tools")
    return Conversation(
        turns=[_of_roles(turn) for turn in turns],
        prompt_turns=prompt_turns,
        tools=json.loads(tools) if isinstance(tools, str) else tools,
        options=row.get("chat_template_kwargs", {}),
    )


def _of_roles(turn: ChatTurn) -> ChatTurn:
    """As in TRL, before it renders a row."""
    names = {"from": "role", "value": "content"}
    return {names.get(name, name): value for name, value in turn.items()}


def shortened(conversation: Conversation) -> Conversation:
    """Without rounds that only repeat the structure of the two before them."""
    border = conversation.prompt_turns
    prompt, rest = (
        _without_repeats(turns, structure_of)
        for turns in (conversation.turns[:border], conversation.turns[border:])
    )
    return replace(conversation, turns=[*prompt, *rest], prompt_turns=len(prompt))


def digest_of(conversation: Conversation) -> int:
    """Equal for all conversations of one structure: a number of 64 bits, and never 0."""
    short = shortened(conversation)
    tools = sorted({repr(structure_of(tool)) for tool in listed(short.tools)})
    whole = (
        [structure_of(turn) for turn in short.turns],
        short.prompt_turns,
        short.tools is None,
        tools,
        json.dumps(short.options, sort_keys=True, default=str),
    )
    digest = blake2b(repr(whole).encode(errors="replace"), digest_size=8).digest()
    return int.from_bytes(digest, signed=True) or 1


def listed(tools: Any) -> list[Any]:
    """Tools as a list; a template may be given a single one, and TRL does not define it."""
    return tools if isinstance(tools, list) else [] if tools is None else [tools]


def structure_of(value: Any, key: str = "") -> Any:
    """The structure of a value without its words."""
    if isinstance(value, Mapping):
        if key in _NAMED_BY_USERS:
            return ("object", *sorted({repr(structure_of(each)) for each in value.values()}))
        # Arrow gives each object of a column the keys of all: null counts as absent.
        return tuple((name, structure_of(value[name], name)) for name in sorted(value))
    if isinstance(value, list):
        return ("list", *_without_repeats([structure_of(each, key) for each in value], _same))
    if key == "weight" and value is not None:
        return _known_weight(value)
    if isinstance(value, str):
        return _structure_of_text(value, key)
    if value is None or isinstance(value, bool):
        return value
    return "number"


def is_learnt(turn: ChatTurn) -> bool:
    """Whether a turn is trained: `weight` is 0 for one that is not.

    Raises:
        ValueError: it is neither 0 nor 1.
    """
    if (weight := turn.get("weight")) is None:
        return True
    known = _known_weight(weight)
    if known is None:
        raise ValueError(f"{weight!r}")
    return bool(known)


def _known_weight(weight: Any) -> int | None:
    """0 or 1; a table of texts has it as one."""
    try:
        number = float(weight)
    except (TypeError, ValueError):
        return None
    return int(number) if number in (0, 1) else None


def _structure_of_text(text: str, key: str) -> Any:
    if key in ("role", "type"):
        return text[:_ROLE_CHARACTERS]
    if key in COMPARED:
        return "id", len(text), text.isalnum()
    if not text.strip():
        return "empty"
    if key == "arguments":
        return "object" if text.lstrip().startswith("{") else "text"
    kinds = [part if is_mark(part) else bool(part.strip()) for part in segments_of(text)]
    return ("text", *_without_repeats(kinds, _same))


def segments_of(text: str) -> list[str]:
    """A text split at each `<think>` and `</think>`, including these marks."""
    return _MARK.split(text)


def is_mark(segment: str) -> bool:
    return _MARK.fullmatch(segment) is not None


def _same(value: Any) -> Any:
    return value


def _without_repeats(values: Sequence[Any], key: Callable[[Any], Any]) -> list[Any]:
    kept: list[Any] = []
    keys: list[Any] = []
    for value in values:
        kept.append(value)
        keys.append(key(value))
        for period in _PERIODS:
            begin = len(keys) - period * (_REPEATS + 1)
            if begin >= 0 and keys[begin : begin + period * _REPEATS] == keys[begin + period :]:
                del kept[-period:], keys[-period:]
                break
    return kept
