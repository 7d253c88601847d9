# SPDX-License-Identifier: Apache-2.0
"""From what a config names to what TRL trains on: load, shape, split, account, check.

- `loading`: which data, and which split of it (`sources` opens one, `mixtures` puts several
  together, `list_rows` reads what `datasets` can't, `diagnosis` tells why a file can't be read).
- `readers`: what files hold, as the texts that they hold, in place of the readers of `datasets`.
- `shaping`: rows in shapes of their own become TRL's (`shapes` one row, `texts` what is a text,
  `columns` which are there, `images`), and `system_message` goes before them.
- `questions`: held-out rows without an answer, which are asked and not evaluated on.
- `fitting`: rows that the chat template cannot write are left out (`refusals` says why).
- `preparation`: tokenized rows are measured, and those that teach nothing left out.
- `effects`: which keys have none.
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
    """The data set that the config names, in the shape that it asks for.

    Raises:
        AttemptFailed: it cannot be had, or has not that shape.
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
