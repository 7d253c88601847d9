# SPDX-License-Identifier: Apache-2.0
"""From what a config names to what TRL trains on: load, shape, split, account, check.

- `loading`: which data, and which split of it (`sources` opens one, `mixtures` puts several
  together, `list_rows` reads what `datasets` can't, `diagnosis` tells why a file can't be read).
- `readers`: what files hold, as the texts that they hold, in place of the readers of `datasets`.
- `shaping`: rows in shapes of their own become TRL's (`shapes` one row, `texts` what is a text,
  `columns` which are there, `images`), and `system_message` goes before them.
- `fitting`: rows that the chat template cannot write are left out (`refusals` says why).
- `preparation`: tokenized rows are measured, and those that teach nothing left out.
- `effects`: which keys have none.
"""

from dataclasses import replace

from finetune_trainer.ranks.arguments import Arguments
from finetune_trainer.ranks.data.images import read_null_as_none
from finetune_trainer.ranks.data.loading import Loaded, load_data
from finetune_trainer.ranks.data.system_message import add_system_message, merge_system_messages


def prepare_data(arguments: Arguments) -> Loaded:
    """The data set that the config names, in the shape that it asks for.

    Raises:
        AttemptFailed: it cannot be had, or has not that shape.
    """
    loaded = load_data(arguments)
    if message := arguments.data.system_message:
        dataset = add_system_message(loaded.dataset, message, list(loaded.dataset))
        loaded = replace(loaded, dataset=dataset)
    if arguments.data.merge_system_message:
        loaded = replace(loaded, dataset=merge_system_messages(loaded.dataset))
    splits = {name: read_null_as_none(data) for name, data in loaded.dataset.items()}
    return replace(loaded, dataset=type(loaded.dataset)(splits))
