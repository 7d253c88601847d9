# SPDX-License-Identifier: Apache-2.0
"""Turns the data of a config into TRL's format: load, shape, split, account, check.

- `loading`: loads data and splits (`sources` opens one, `mixtures` combines several
  sources, `list_rows` reads files that `datasets` cannot, `diagnosis` explains read errors).
- `readers`: readers that keep the exact texts of files, in place of those of `datasets`.
- `shaping`: maps custom rows to TRL's format (`shapes` one row, `texts` the definition of a text,
  `columns` the columns, `images`), and prepends `system_message`.
- `questions`: held-out rows without an answer, used as prompts and not for evaluation.
- `fitting`: leaves out rows that the chat template cannot render (`refusals` has the reasons).
- `preparation`: measures tokenized rows and leaves out rows without a trained token.
- `effects`: keys without an effect.
"""

from dataclasses import replace

from finetune_trainer.ranks.arguments import Arguments
from finetune_trainer.ranks.data.images import read_null_as_none
from finetune_trainer.ranks.data.loading import Loaded, load_data
from finetune_trainer.ranks.data.system_message import (
    add_system_message,
    merge_in_question,
    merge_system_messages,
    with_system_message,
)


def prepare_data(arguments: Arguments) -> Loaded:
    """The dataset that the config names, in the format that it requires.

    Raises:
        AttemptFailed: it cannot be loaded, or has a different format.
    """
    loaded = load_data(arguments)
    if message := arguments.data.system_message:
        dataset = add_system_message(loaded.dataset, message, list(loaded.dataset))
        questions = tuple(with_system_message(each, message) for each in loaded.questions)
        loaded = replace(loaded, dataset=dataset, questions=questions)
    if arguments.data.merge_system_message:
        questions = tuple(merge_in_question(each) for each in loaded.questions)
        dataset = merge_system_messages(loaded.dataset)
        loaded = replace(loaded, dataset=dataset, questions=questions)
    splits = {name: read_null_as_none(data) for name, data in loaded.dataset.items()}
    return replace(loaded, dataset=type(loaded.dataset)(splits))
