# SPDX-License-Identifier: Apache-2.0
"""Our own config keys for shaping data, which TRL's SFT lacks."""

from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass
class DataArguments:
    """TRL's parser reads it next to its own, so it is a plain dataclass like them."""

    system_message: str | None = field(
        default=None,
        metadata={
            "help": "A system message to prepend to every conversation without one. Applies to "
            "conversational data and to prompts that are conversations."
        },
    )
    merge_system_message: bool = field(
        default=False,
        metadata={
            "help": "Prepend the system message of each conversation to its first user turn, for "
            "chat templates without a system role, such as Gemma's."
        },
    )
    dataset_format: Literal["alpaca", "sharegpt", "question_answer", "pairs"] | None = field(
        default=None,
        metadata={
            "help": "The format of data that is not in one of TRL's own formats: alpaca "
            "(instruction, input, output), sharegpt (conversations of from and value), "
            "question_answer (question and answer, made into messages) or pairs (each row a "
            "list of prompt and completion)."
        },
    )
    dataset_columns: dict[str, Any] | str | None = field(
        default=None,
        metadata={
            "help": "Mapping from the columns of TRL (or of dataset_format) to the columns of the "
            "data, e.g. {prompt: question, completion: answer}."
        },
    )
    prompt_template: str | None = field(
        default=None,
        metadata={
            "help": "Template of the prompt, with columns of the data in braces, e.g. 'Translate: "
            "{text}'."
        },
    )
    completion_template: str | None = field(
        default=None,
        metadata={
            "help": "Template of the completion, with columns of the data in braces, e.g. "
            "'{answer}'. Requires prompt_template."
        },
    )
    max_rows_left_out: float = field(
        default=0.5,
        metadata={
            "help": "Maximum share of training rows that may be skipped because they cannot be "
            "trained on, from 0 to 1. If it is exceeded, the run fails before its first step."
        },
    )
