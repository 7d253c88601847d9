# SPDX-License-Identifier: Apache-2.0
"""Tests a chat template on a conversation: refusals and their causes, and lost parts.

Pure except for the template.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from finetune_spec.config.problem import did_you_mean
from finetune_trainer.ranks.chat.probe import CONTENT, Part, Probe, probe_of
from finetune_trainer.ranks.chat.structure import Conversation
from finetune_trainer.ranks.chat.suspects import SUSPECTS, Suspect
from finetune_trainer.ranks.chat.weights import NotFound, spans_of, unlearnt

Write = Callable[[Conversation], str]
"""Renders a conversation as TRL does, and raises the template's errors."""

ROLES = ("system", "user", "assistant", "tool", "developer", "function", "ipython")
"""Roles in templates, the usual ones first."""

_OTHERS: Mapping[str, str] = {
    "human": "user",
    "gpt": "assistant",
    "bot": "assistant",
    "chatgpt": "assistant",
    "model": "assistant",
    "ai": "assistant",
    "observation": "tool",
    "function_response": "tool",
}
"""Their names in other tools."""

_QUOTED = re.compile(r"""(['"])([\w-]{1,64})\1""")
_SAID_CHARACTERS = 70
_KNOWN_SHOWN = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateRefusal:
    """Why a conversation cannot be rendered."""

    why: str
    remedy: str
    is_of_role: bool = False
    """Whether it has an unknown role."""
    turn: int | None = field(default=None, compare=False)
    """The turn that causes it, counted from 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialResult:
    """The result for all conversations of one structure."""

    refusal: TemplateRefusal | None = None
    lost: frozenset[Part] = frozenset()
    writes_none: bool = False
    """Whether null content is rendered as the word None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A chat template, and its known roles."""

    write: Write
    source: str

    @property
    def roles(self) -> tuple[str, ...]:
        """The accepted roles of conversations: those of all templates, and those that this one
        names.

        Many templates render any role, so that a misspelt one would be trained on.
        """
        named = {word for _, word in _QUOTED.findall(self.source)}
        return (*ROLES, *sorted(named - set(ROLES)))

    def try_on(self, conversation: Conversation) -> TrialResult:
        """The result for conversations like this one."""
        if refusal := self._unknown_role(conversation):
            return TrialResult(refusal=refusal)
        probe = probe_of(conversation)
        try:
            written = self.write(probe.conversation)
        except Exception as error:  # noqa: BLE001 - a template may raise anything, and TRL would
            return TrialResult(refusal=self._refusal(conversation, probe, error))
        if refusal := self._refused_weight(conversation):
            return TrialResult(refusal=refusal)
        return TrialResult(
            lost=probe.lost(written), writes_none=self._writes_none(probe.conversation, written)
        )

    def _unknown_role(self, conversation: Conversation) -> TemplateRefusal | None:
        known = self.roles
        for place, turn in enumerate(conversation.turns, start=1):
            role = turn.get("role")
            if role in known:
                continue
            meant = _OTHERS.get(str(role).strip().lower())
            hint = f", did you mean {meant}?" if meant else did_you_mean(str(role), ROLES)
            named = ", ".join(ROLES[:_KNOWN_SHOWN])
            return TemplateRefusal(
                why=f"the role {_short(repr(role))}, expected one of {named}{hint}",
                turn=place,
                remedy="write one of these roles, or set chat_template_path to a template that "
                "names it; dataset_format: sharegpt reads human and gpt",
                is_of_role=True,
            )
        return None

    def _refused_weight(self, conversation: Conversation) -> TemplateRefusal | None:
        try:
            if places := unlearnt(conversation):
                spans_of(conversation, places, self.write, ())
        except ValueError as error:
            return TemplateRefusal(
                why=f"the weight {_short(str(error))} of a turn, expected 0 or 1",
                remedy="give weight 0 to turns that must not be trained on, and 1 to others",
            )
        except NotFound:
            return TemplateRefusal(
                why="a turn of weight 0, whose words cannot be distinguished from others in "
                "the output of the chat template",
                remedy="end the conversations before such turns, or set chat_template_path to "
                "another template",
            )
        return None

    def _refusal(
        self, conversation: Conversation, probe: Probe, error: Exception
    ) -> TemplateRefusal:
        said = f'("{_short(_message(error))}")'
        if suspect := self._suspect(probe.conversation):
            what, turn = suspect.named(conversation)
            why = f"the chat template refuses {what} {said}"
            return TemplateRefusal(why=why, remedy=suspect.remedy, turn=turn)
        roles = _short(", ".join(str(turn.get("role")) for turn in conversation.turns))
        return TemplateRefusal(
            why=f"the chat template refuses turns of {roles} {said}",
            remedy="write only turns that the template has, or set chat_template_path to a "
            "template that has such turns",
        )

    def _suspect(self, conversation: Conversation) -> Suspect | None:
        """The first change with which the template renders the conversation."""
        for suspect in SUSPECTS:
            changed = suspect.without(conversation)
            if changed is not None and self._can_write(changed):
                return suspect
        return None

    def _can_write(self, conversation: Conversation) -> bool:
        try:
            self.write(conversation)
        except Exception:  # noqa: BLE001 - as above
            return False
        return True

    def _writes_none(self, conversation: Conversation, written: str) -> bool:
        if "None" not in written or not any(_is_null(turn) for turn in conversation.turns):
            return False
        turns = [{**turn, CONTENT: ""} if _is_null(turn) else turn for turn in conversation.turns]
        other = replace(conversation, turns=turns)
        try:
            return self.write(other).count("None") < written.count("None")
        except Exception:  # noqa: BLE001 - as above
            return False


def _is_null(turn: Mapping[str, Any]) -> bool:
    return turn.get(CONTENT, "") is None


def _message(error: Exception) -> str:
    words = " ".join(str(error).split())
    is_of_template = type(error).__module__.startswith("jinja2")
    return words if is_of_template and words else f"{type(error).__name__}: {words}"


def _short(text: str) -> str:
    return text if len(text) <= _SAID_CHARACTERS else f"{text[: _SAID_CHARACTERS - 1]}…"
