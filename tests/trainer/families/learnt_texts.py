# SPDX-License-Identifier: Apache-2.0
"""The texts of conversations that are learned, with a chat template and a tokenizer of a family."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetune_trainer.inputs.chat_templates import file_of
from trainer.families.tokenizers import a_model, a_tokenizer
from trainer.prepared_data import Prepared, prepare

Runs = Sequence[str]
"""Each text of a row whose consecutive tokens count, without the text of the template."""

_QUOTED = re.compile(r"<[|\uff5c][^<>\s'\"{}+]{1,60}[|\uff5c]>|</?[a-z_]{3,20}>|\[/?[A-Z_]{3,20}\]")
"""Texts that templates write as special tokens."""
_BEGINNINGS = ("<|begin_of_text|>", "<bos>", "<\uff5cbegin\u2581of\u2581sentence\uff5c>")


@dataclass(frozen=True, slots=True, kw_only=True)
class Learnt:
    """The texts that the trainer would train on, row by row."""

    prepared: Prepared

    @property
    def runs(self) -> Sequence[Runs]:
        rows = self.prepared.trainer.train_dataset
        return [[self._words(run) for run in _runs(row["labels"])] for row in rows]

    @property
    def endings(self) -> Sequence[Sequence[bool]]:
        """For each run of tokens, whether it contains the token that ends a turn."""
        from finetune_trainer.ranks.chat.rendering import closing_of

        tokenizer = self.prepared.trainer.processing_class
        closing = {*tokenizer.convert_tokens_to_ids([*closing_of(tokenizer).tokens])}
        rows = self.prepared.trainer.train_dataset
        return [[bool(closing & {*run}) for run in _runs(row["labels"])] for row in rows]

    def _words(self, ids: Sequence[int]) -> str:
        tokenizer = self.prepared.trainer.processing_class
        return str(tokenizer.decode(ids, skip_special_tokens=True)).strip()


def learnt(
    place: Path, template: str, kind: str, rows: Sequence[Mapping[str, Any]], **config: Any
) -> Learnt:
    """Uses a template that a config may name. The tokenizer has its tokens.

    Raises:
        AttemptFailed: as a rank does.
    """
    file = file_of(template)
    assert file is not None, template
    tokenizer = a_tokenizer(kind, _QUOTED.findall(file.read_text()))
    for each in _BEGINNINGS:
        if each in tokenizer.get_vocab():
            tokenizer.bos_token = each
    model = a_model(place / "model", tokenizer)
    options = {"chat_template_path": str(file), "max_length": None, **config}
    return Learnt(prepared=prepare(place, model, rows, **options))


def _runs(labels: Sequence[int]) -> Sequence[Sequence[int]]:
    found: list[list[int]] = [[]]
    for label in labels:
        if label != -100:
            found[-1].append(label)
        elif found[-1]:
            found.append([])
    return [run for run in found if run]
