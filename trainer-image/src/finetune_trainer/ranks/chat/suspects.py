# SPDX-License-Identifier: Apache-2.0
"""Parts of conversations that chat templates refuse, and the remedies: the table `SUSPECTS`. Pure.

Each removes one part from a conversation. If a template renders the rest, that part was the cause.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import dropwhile
from typing import Any

from finetune_trainer.ranks.chat.structure import ChatTurn, Conversation

SYSTEM_ROLES = ("system", "developer")
_OTHER_TEMPLATE = "set chat_template_path to a template that has them"
_TOOL_ROLES = ("tool", "function", "ipython")


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspect:
    """One part that a template may refuse."""

    without: Callable[[Conversation], Conversation | None]
    """The conversation without it; None if it does not contain it."""
    what: str
    remedy: str
    is_it: Callable[[int, ChatTurn], bool] | None = None
    """Whether this turn, at this position, contains it."""

    def named(self, conversation: Conversation) -> tuple[str, int | None]:
        """Its name in this conversation, and the turn, counted from 1."""
        places = [
            (place, str(turn.get("role")))
            for place, turn in enumerate(conversation.turns, start=1)
            if self.is_it is not None and self.is_it(place - 1, turn)
        ]
        place, role = next(iter(places), (None, ""))
        return self.what.format(role=role, keys=_other_keys(conversation)), place


def _only(
    conversation: Conversation, is_kept: Callable[[int, ChatTurn], bool]
) -> Conversation | None:
    turns = [turn for place, turn in enumerate(conversation.turns) if is_kept(place, turn)]
    if not turns or len(turns) == len(conversation.turns):
        return None
    return conversation.with_turns(turns)


def _changed(
    conversation: Conversation, change: Callable[[ChatTurn], ChatTurn]
) -> Conversation | None:
    turns = [change(turn) for turn in conversation.turns]
    return None if turns == list(conversation.turns) else replace(conversation, turns=turns)


def _is_system(turn: ChatTurn) -> bool:
    return turn.get("role") in SYSTEM_ROLES


def _without_later_system(conversation: Conversation) -> Conversation | None:
    return _only(conversation, lambda place, turn: place == 0 or not _is_system(turn))


def _without_system(conversation: Conversation) -> Conversation | None:
    return _only(conversation, lambda _, turn: not _is_system(turn))


def _without_tools(conversation: Conversation) -> Conversation | None:
    return None if not conversation.tools else replace(conversation, tools=None)


def _without_calls(conversation: Conversation) -> Conversation | None:
    def is_kept(_: int, turn: ChatTurn) -> bool:
        return turn.get("role") not in _TOOL_ROLES and not turn.get("tool_calls")

    return _only(replace(conversation, tools=None), is_kept)


def _without_null(conversation: Conversation) -> Conversation | None:
    def change(turn: ChatTurn) -> ChatTurn:
        return {**turn, "content": ""} if turn.get("content", "") is None else turn

    return _changed(conversation, change)


def _without_parts(conversation: Conversation) -> Conversation | None:
    def change(turn: ChatTurn) -> ChatTurn:
        return {**turn, "content": "x"} if isinstance(turn.get("content"), list) else turn

    return _changed(conversation, change)


def _with_parts(conversation: Conversation) -> Conversation | None:
    def change(turn: ChatTurn) -> ChatTurn:
        content = turn.get("content")
        parts = [{"type": "text", "text": content}]
        return {**turn, "content": parts} if isinstance(content, str) else turn

    return _changed(conversation, change)


def _without_other_keys(conversation: Conversation) -> Conversation | None:
    def change(turn: ChatTurn) -> ChatTurn:
        return {name: value for name, value in turn.items() if name in ("role", "content")}

    return _changed(conversation, change)


def _without_options(conversation: Conversation) -> Conversation | None:
    return None if conversation.options == {} else replace(conversation, options={})


def _from_the_user_on(conversation: Conversation) -> Conversation | None:
    head = [turn for turn in conversation.turns[:1] if _is_system(turn)]
    rest = list(conversation.turns[len(head) :])
    turns = [*head, *dropwhile(lambda turn: turn.get("role") != "user", rest)]
    if len(turns) in (len(head), len(conversation.turns)):
        return None
    return conversation.with_turns(turns)


def _without_repeated_roles(conversation: Conversation) -> Conversation | None:
    turns = conversation.turns
    return _only(
        conversation,
        lambda place, turn: place == 0 or turn.get("role") != turns[place - 1].get("role"),
    )


def _to_the_last_answer(conversation: Conversation) -> Conversation | None:
    turns: list[Any] = list(conversation.turns)
    while turns and turns[-1].get("role") != "assistant":
        turns.pop()
    if not turns or len(turns) == len(conversation.turns):
        return None
    return conversation.with_turns(turns)


def _other_keys(conversation: Conversation) -> str:
    names = {
        name: None
        for turn in conversation.turns
        for name, value in turn.items()
        if name not in ("role", "content") and value is not None
    }
    return f"the keys {', '.join(names)[:60]} of turns" if names else "keys of turns that are null"


SUSPECTS = (
    Suspect(
        without=_without_later_system,
        what="the role {role} after other turns",
        is_it=lambda place, turn: place > 0 and _is_system(turn),
        remedy="put the system message first in each conversation",
    ),
    Suspect(
        without=_without_system,
        what="the role {role}",
        is_it=lambda _, turn: _is_system(turn),
        remedy="set merge_system_message: true to put it into the first turn of the user, or "
        "chat_template_path to a template that has the role",
    ),
    Suspect(
        without=_without_tools,
        what="the column tools",
        remedy=_OTHER_TEMPLATE,
    ),
    Suspect(
        without=_without_calls,
        what="tool_calls and tool results",
        is_it=lambda _, turn: turn.get("role") in _TOOL_ROLES or bool(turn.get("tool_calls")),
        remedy=_OTHER_TEMPLATE,
    ),
    Suspect(
        without=_without_null,
        what="content that is null, of the role {role}",
        is_it=lambda _, turn: turn.get("content", "") is None,
        remedy='write "" in place of null',
    ),
    Suspect(
        without=_without_parts,
        what="content in parts, of the role {role}",
        is_it=lambda _, turn: isinstance(turn.get("content"), list),
        remedy="give content as a string",
    ),
    Suspect(
        without=_with_parts,
        what="content that is a string, not a list of parts",
        remedy="set chat_template_path to a template for plain strings",
    ),
    Suspect(without=_without_other_keys, what="{keys}", remedy="leave these keys out"),
    Suspect(
        without=_without_options,
        what="the column chat_template_kwargs",
        remedy="give each row an object there, or leave the column out",
    ),
    Suspect(
        without=_from_the_user_on,
        what="a conversation that begins with the role {role}",
        is_it=lambda _, turn: not _is_system(turn),
        remedy="begin each conversation with a turn of the user, or set chat_template_path to a "
        "template that allows others first",
    ),
    Suspect(
        without=_without_repeated_roles,
        what="two turns of one role in succession",
        remedy="merge such turns into one, or set chat_template_path to a template that "
        "allows them",
    ),
    Suspect(
        without=_to_the_last_answer,
        what="a conversation that does not end with the assistant",
        remedy="end each conversation with a turn of the assistant",
    ),
)
"""The first key without which the rest can be rendered is named."""
