# SPDX-License-Identifier: Apache-2.0
"""Conversations: whether a chat template can be trained with, and by what its answers end.

template   before the model is loaded: it is there, can be rendered, and tells the assistant's words
           from others where only these are trained
ends       then: answers end by a token that ends generation too, also in what is saved
rendering  what both look at
"""

from collections.abc import Mapping
from typing import Any

from trl.data_utils import is_conversational, is_conversational_from_value


def is_chat(row: Mapping[str, Any]) -> bool:
    """Whether a row of the data is a conversation."""
    return bool(is_conversational(row) or is_conversational_from_value(row))
