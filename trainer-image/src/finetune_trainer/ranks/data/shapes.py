# SPDX-License-Identifier: Apache-2.0
"""One row in a custom format -> one in TRL's. Pure: no dataset, no torch here.

Each format takes a row and returns the columns that TRL reads, or raises `Unfit` for a row without
anything to train on, or one on which TRL would fail.
"""

import difflib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from finetune_spec.config.parse.data_formats import columns_of_template, fill_template
from finetune_trainer.ranks.data.texts import Row as Row
from finetune_trainer.ranks.data.texts import Unfit as Unfit
from finetune_trainer.ranks.data.texts import joined, kind_of, needed, text_for_template, text_of

Turn = dict[str, Any]

USER, ASSISTANT, SYSTEM, TOOL = "user", "assistant", "system", "tool"
FUNCTION_CALL = "function_call"

ROLES: Mapping[str, str] = {
    "human": USER,
    "user": USER,
    "gpt": ASSISTANT,
    "assistant": ASSISTANT,
    "bot": ASSISTANT,
    "chatgpt": ASSISTANT,
    "model": ASSISTANT,
    "system": SYSTEM,
    "developer": "developer",
    "tool": TOOL,
    "observation": TOOL,
    "function_response": TOOL,
    "function_call": FUNCTION_CALL,
    "tool_call": FUNCTION_CALL,
}
"""The speaker in ShareGPT data -> the role in chat templates."""


SPOKEN = ("prompt", "completion", "messages", "conversations")
"""The columns other than the text that TRL tokenizes."""


def question_answer(row: Row) -> dict[str, Any]:
    return {
        "messages": [
            *_system(row),
            _turn(USER, needed(row, "question")),
            _turn(ASSISTANT, needed(row, "answer")),
        ]
    }


def alpaca(row: Row) -> dict[str, Any]:
    texts = [text_of(row.get(name), name) for name in ("instruction", "input")]
    asked = [text for text in texts if text.strip()]
    if not asked:
        raise Unfit("instruction is empty")
    return {
        "messages": [
            *_system(row),
            *_history(row.get("history")),
            _turn(USER, "\n\n".join(asked)),
            _turn(ASSISTANT, needed(row, "output")),
        ]
    }


def sharegpt(row: Row) -> dict[str, Any]:
    turns = row.get("conversations")
    if not isinstance(turns, Sequence) or isinstance(turns, str) or not turns:
        raise Unfit("conversations is empty")
    messages = [_turn_of_sharegpt(turn) for turn in turns]
    has_own = messages[0]["role"] == SYSTEM
    return {"messages": messages if has_own else [*_system(row), *messages]}


def pairs(row: Row) -> dict[str, Any]:
    pair = row.get("pair")
    if not isinstance(pair, Sequence) or isinstance(pair, str) or len(pair) != 2:
        raise Unfit("a pair is not a list of two")
    return _prompt_completion(text_of(pair[0], "prompt"), text_of(pair[1], "completion"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Templates:
    """Prompt and completion by templates; without one the completion is a column."""

    prompt: str
    completion: str | None

    @property
    def columns(self) -> tuple[str, ...]:
        named = (columns_of_template(text) for text in (self.prompt, self.completion or ""))
        own = () if self.completion is not None else ("completion",)
        return (*own, *(name for names in named for name in names))

    def __call__(self, row: Row) -> dict[str, Any]:
        if self.completion is not None:
            completion = _fill(self.completion, row)
        else:
            completion = text_of(row.get("completion"), "completion")
        return _prompt_completion(_fill(self.prompt, row), completion)


FORMATS: Mapping[str, Callable[[Row], dict[str, Any]]] = {
    "alpaca": alpaca,
    "sharegpt": sharegpt,
    "question_answer": question_answer,
    "pairs": pairs,
}


def as_turns(row: Row) -> dict[str, Any]:
    """A prompt and its completion as texts -> the same as a conversation of two turns."""
    prompt, completion = row.get("prompt"), row.get("completion")
    if not isinstance(prompt, str) or not isinstance(completion, str):
        return dict(row)
    spoken = {"prompt": [_turn(USER, prompt)], "completion": [_turn(ASSISTANT, completion)]}
    return {**row, **spoken}


def sound(row: Row, text_field: str) -> dict[str, Any]:
    """A row in one of TRL's own formats, with valid texts.

    Raises:
        Unfit: TRL would fail on it, or train on the word None.
    """
    changed = dict(row)
    if isinstance(tools := row.get("tools"), str) and not _is_json(tools):
        raise Unfit("tools is not JSON")
    for name in (*SPOKEN, text_field):
        if name not in row:
            continue
        value = row[name]
        if value is None:
            raise Unfit(f"{name} is null")
        if isinstance(value, Mapping):
            raise Unfit(f"{name} is an object, neither a string nor turns")
        if not isinstance(value, list):
            changed[name] = text_of(value, name)
        elif not value:
            raise Unfit(f"{name} is empty")
        elif why := next(filter(None, map(_why_no_turn, value)), ""):
            raise Unfit(f"{name} has {why}")
        elif "image" not in row and "images" not in row:
            changed[name] = [_in_one(turn) for turn in value]
    return changed


def _prompt_completion(prompt: str, completion: str) -> dict[str, Any]:
    for name, text in (("prompt", prompt), ("completion", completion)):
        if not text.strip():
            raise Unfit(f"{name} is empty")
    return {"prompt": prompt, "completion": completion}


def _fill(template: str, row: Row) -> str:
    """The template with the row's values; empty if none of its columns has one."""
    values = {
        name: text_for_template(row.get(name), name) for name in columns_of_template(template)
    }
    return fill_template(template, values) if any(values.values()) else ""


def _turn(role: str, content: str) -> Turn:
    return {"role": role, "content": content}


def _system(row: Row) -> Iterator[Turn]:
    if (message := text_of(row.get("system"), "system")).strip():
        yield _turn(SYSTEM, message)


def _history(turns: Any) -> Iterator[Turn]:
    for turn in turns or ():
        if not isinstance(turn, Sequence) or isinstance(turn, str) or len(turn) != 2:
            raise Unfit("history is not a list of question and answer")
        yield _turn(USER, text_of(turn[0], "history"))
        yield _turn(ASSISTANT, text_of(turn[1], "history"))


def _turn_of_sharegpt(turn: Any) -> Turn:
    if not isinstance(turn, Mapping):
        raise Unfit("a turn has no from and value")
    speaker = text_of(turn.get("from", turn.get("role")), "the speaker of a turn")
    role = ROLES.get(speaker.strip().lower())
    if role is None:
        raise Unfit(f"a turn is from {speaker!r}, which is not a supported role")
    content = text_of(joined(turn.get("value", turn.get("content"))), "a turn")
    if not content.strip() and role != SYSTEM:
        raise Unfit("a turn is empty")
    said = _turn(role, content) if role != FUNCTION_CALL else _calls(content)
    weight = turn.get("weight")
    return said if weight is None else {**said, "weight": weight}


def _calls(content: str) -> Turn:
    """A function call written as JSON -> the turn in which the assistant calls it."""
    try:
        calls = json.loads(content)
    except (ValueError, RecursionError):
        raise Unfit("a function_call is not JSON") from None
    calls = calls if isinstance(calls, list) else [calls]
    if not all(isinstance(call, Mapping) and "name" in call for call in calls):
        raise Unfit("a function_call names no function")
    functions = [{"name": c["name"], "arguments": c.get("arguments") or {}} for c in calls]
    return {
        "role": ASSISTANT,
        "content": "",
        "tool_calls": [{"type": "function", "function": function} for function in functions],
    }


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _why_no_turn(turn: Any) -> str:
    """The problem of one turn; empty if a chat template can render it."""
    if not isinstance(turn, Mapping):
        return f"{kind_of(turn)} where a turn with role and content was expected"
    role = turn.get("role", turn.get("from"))
    if not isinstance(role, str):
        return "a turn without a role"
    if role not in KNOWN_ROLES and (near := nearest_role(role)):
        # A role that is similar to none of these may be one of the template's own.
        return f"a turn of {role!r}, which may be meant for {near}"
    content = turn.get("content", turn.get("value"))
    if content is None and not turn.get("tool_calls"):
        return "a turn without content"
    if isinstance(content, Mapping):
        return "a turn whose content is an object"
    if isinstance(content, list):
        if not all(isinstance(block, Mapping) for block in content):
            return "a turn whose content is a list, but not of blocks"
    elif content is not None and not isinstance(content, str):
        return f"a turn whose content is {kind_of(content)}, expected a string"
    return ""


def _in_one(turn: Turn) -> Turn:
    """The turn with its content as a text, if its parts are all texts."""
    return turn if "content" not in turn else {**turn, "content": joined(turn["content"])}


KNOWN_ROLES = frozenset({*ROLES, *ROLES.values(), "function", "ipython"})


def nearest_role(role: str) -> str:
    """The role that this one is a misspelling of, if any."""
    word = role.strip().lower()
    near = difflib.get_close_matches(word, (USER, ASSISTANT, SYSTEM, TOOL), n=1, cutoff=0.8)
    return near[0] if near else ""
