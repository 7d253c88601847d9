# SPDX-License-Identifier: Apache-2.0
"""Notes on parts that a chat template leaves out of the conversations it renders. Pure."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from finetune_contract.notes import Note, NoteReason, warning
from finetune_trainer.ranks.chat.probe import CONTENT, TOOL_CALLS, TOOLS, Part
from finetune_trainer.ranks.chat.trial import TrialResult

_REASONING_KEYS = ("reasoning_content", "reasoning", "thinking")
_OTHER_TEMPLATE = "set chat_template_path to a template that writes"
_KEYS_SHOWN = 5


@dataclass(slots=True, kw_only=True)
class Losses:
    """The lost parts, and the number of rows of a split."""

    split: str
    rows: int
    _found: Counter[str] = field(default_factory=Counter)
    _keys: Counter[str] = field(default_factory=Counter)

    def note(self, result: TrialResult, rows: int) -> None:
        """Counts rows of one structure."""
        if result.writes_none:
            self._found[
                'content that is null is written as the word None in {rows}: write "" in its place'
            ] += rows
        sentences = {sentence for part in result.lost if (sentence := _sentence(part, result))}
        self._found.update(dict.fromkeys(sentences, rows))
        keys = {part.key for part in result.lost if not _sentence(part, result)}
        self._keys.update(dict.fromkeys(keys, rows))

    def notes(self) -> Iterator[Note]:
        for sentence, rows in sorted(self._found.items(), key=lambda found: (-found[1], found[0])):
            counted = f"{rows} of {self.rows} rows of {self.split}"
            yield warning(NoteReason.TEMPLATE_LEAVES_OUT, sentence.format(rows=counted))
        if self._keys:
            names = ", ".join(name for name, _ in self._keys.most_common(_KEYS_SHOWN))
            yield warning(
                NoteReason.NO_EFFECT,
                f"keys of turns that the chat template does not write have no effect: {names}",
            )


def _sentence(part: Part, result: TrialResult) -> str:
    """The message about a part, with {rows} in it; empty for keys that are only listed."""
    if part.key == TOOL_CALLS:
        return (
            "the chat template leaves out tool_calls in {rows}: turns with tool calls are trained "
            f"without them; {_OTHER_TEMPLATE} them"
        )
    if part.key == TOOLS:
        return f"the chat template leaves out the column tools in {{rows}}; {_OTHER_TEMPLATE} it"
    if part.is_reasoning or part.key in _REASONING_KEYS:
        return _of_reasoning(part, result)
    if part.key == CONTENT:
        role = part.role[:40].replace("{", "").replace("}", "")
        return (
            f"the chat template leaves out the turns of the role {role} in {{rows}}; "
            f"{_OTHER_TEMPLATE} it"
        )
    return ""


def _of_reasoning(part: Part, result: TrialResult) -> str:
    name = f"the key {part.key}" if part.key in _REASONING_KEYS else "reasoning (<think>)"
    of_last = any(
        other.is_last
        for other in result.lost
        if (other.key, other.is_reasoning) == (part.key, part.is_reasoning)
    )
    if of_last:
        return f"the chat template leaves out {name} in {{rows}}; {_OTHER_TEMPLATE} it"
    return (
        f"the chat template leaves out {name} of all turns but the last in {{rows}}; to train on "
        "it, put each such turn at the end of a separate conversation"
    )
