# SPDX-License-Identifier: Apache-2.0
"""Tokens without a row in the embedding: an IndexError on a CPU, a device-side assert on a GPU.

Some published tokenizers have such tokens, which is harmless while no text contains one.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow.compute as pc
from datasets import Dataset

from finetune_contract.reasons import Reason
from finetune_trainer.failures.errors import attempt_failed
from finetune_trainer.ranks.data.measuring import lists_of

_NAMED = 5


def require_rows_of_embedding(data: Any, model: Any, tokenizer: Any) -> None:
    """Checks tokenized data; a stream, and data that are tokenized batch by batch, cannot be
    checked.

    Raises:
        AttemptFailed: they contain a token without a row.
    """
    if not isinstance(data, Dataset) or "input_ids" not in data.column_names:
        return
    rows = model.config.get_text_config().vocab_size
    beyond = sorted({token for tokens in _beyond(data, rows) for token in tokens})
    if not beyond:
        return
    words = [repr(word) for word in tokenizer.convert_ids_to_tokens(beyond[:_NAMED])]
    more = f" and {len(beyond) - _NAMED} more" if len(beyond) > _NAMED else ""
    raise attempt_failed(
        Reason.INVALID_CONFIG,
        f"model_name_or_path: the data contains {', '.join(words)}{more}, for which the "
        f"tokenizer has ids from {beyond[0]} on, but the model's embedding has only {rows} rows",
        "list these tokens in added_tokens to extend the embedding, or name a model that was "
        "saved after resize_token_embeddings",
    )


def _beyond(data: Dataset, rows: int) -> Iterator[list[int]]:
    for lists in lists_of(data, "input_ids"):
        tokens = lists.flatten()
        if len(tokens) and pc.max(tokens).as_py() >= rows:
            yield np.unique(tokens.filter(pc.greater_equal(tokens, rows)).to_numpy(False)).tolist()
