# SPDX-License-Identifier: Apache-2.0
"""`weight: 0` of a turn, as in OpenAI's format: the model reads the turn, but is not trained on it.

Finds such turns in the text that a chat template rendered. Pure except for the template.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import takewhile

from finetune_trainer.ranks.chat.probe import CONTENT, marked
from finetune_trainer.ranks.chat.structure import ChatTurn, Conversation, is_learnt

Span = tuple[int, int]
Write = Callable[[Conversation], str]

_WORD = "Zq7qZ"


class NotFound(Exception):
    """The template renders a turn such that its words cannot be found."""


def unlearnt(conversation: Conversation) -> list[int]:
    """The positions of the turns that are not trained.

    Raises:
        ValueError: a weight is neither 0 nor 1.
    """
    return [place for place, turn in enumerate(conversation.turns) if not is_learnt(turn)]


def spans_of(
    conversation: Conversation, places: Sequence[int], write: Write, closing: Sequence[str]
) -> list[Span]:
    """The spans of these turns in the text, each with the token of `closing` that ends it.

    Raises:
        NotFound: one of them cannot be located.
    """
    try:
        text = write(conversation)
    except Exception:  # noqa: BLE001 - a template may raise anything
        raise NotFound from None
    return [_span_of(conversation, place, write, text, closing) for place in places]


def _span_of(
    conversation: Conversation, place: int, write: Write, text: str, closing: Sequence[str]
) -> Span:
    begin, end = _words_of(conversation, place, write, text)
    if conversation.turns[place].get("role") != "assistant":
        return begin, end
    following = len(text)
    if place + 1 < len(conversation.turns):
        following, _ = _words_of(conversation, place + 1, write, text)
    # The nearest token that ends a turn, before the next turn.
    ends = [at + len(token) for token in closing if (at := text.find(token, end, following)) >= 0]
    return begin, min(ends, default=end)


def _words_of(conversation: Conversation, place: int, write: Write, text: str) -> Span:
    """The span of a turn's words: the text before and after them is also rendered without them.

    Raises:
        NotFound: the text differs.
    """
    turn = conversation.turns[place]
    plain = {"role": turn.get("role"), CONTENT: _WORD}
    own, words = marked(turn)
    bare = _around(_with(conversation, place, plain), write, [_WORD])
    found = _around(_with(conversation, place, own), write, words) if words else None
    before, after = found or bare or ("", "")
    is_around = text.startswith(before) and text.endswith(after)
    if not (before and is_around and len(before) + len(after) <= len(text)):
        raise NotFound
    # The text that a template adds before calls and reasoning belongs to them.
    begin = len(before) if bare is None else _in_common(bare[0], before)
    return begin, len(text) - len(after)


def _in_common(one: str, other: str) -> int:
    pairs = zip(one, other, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _around(
    conversation: Conversation, write: Write, words: Sequence[str]
) -> tuple[str, str] | None:
    """The text that is rendered before the first of the words, and after the last."""
    try:
        written = write(conversation)
    except Exception:  # noqa: BLE001 - a template may raise anything
        return None
    found = [(at, at + len(word)) for word in words if (at := written.find(word)) >= 0]
    if not found:
        return None
    return written[: min(found)[0]], written[max(end for _, end in found) :]


def _with(conversation: Conversation, place: int, turn: ChatTurn) -> Conversation:
    turns = [*conversation.turns[:place], turn, *conversation.turns[place + 1 :]]
    return replace(conversation, turns=turns)
