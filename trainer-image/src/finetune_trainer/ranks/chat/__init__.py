# SPDX-License-Identifier: Apache-2.0
"""Checks that a chat template can be trained with, and which token ends its answers.

template   before the model is loaded: it exists, renders, and separates the assistant's words
           from others where only these are trained
ends       after that: answers end with a token that also ends generation, also in the saved model
rendering  rendering shared by both
"""

from collections.abc import Mapping
from typing import Any

from trl.data_utils import is_conversational, is_conversational_from_value


def is_chat(row: Mapping[str, Any]) -> bool:
    """Whether a row of the data is a conversation."""
    return bool(is_conversational(row) or is_conversational_from_value(row))
