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
            "help": "A system message that is put in front of every conversation that has none. "
            "For conversational data only, and for prompts that are conversations."
        },
    )
    merge_system_message: bool = field(
        default=False,
        metadata={
            "help": "Put the system message of each conversation in front of its first user turn, "
            "for chat templates that have no system role, such as Gemma's."
        },
    )
    dataset_format: Literal["alpaca", "sharegpt", "question_answer", "pairs"] | None = field(
        default=None,
        metadata={
            "help": "The shape of data that is not in one of TRL's own: alpaca (instruction, "
            "input, output), sharegpt (conversations of from and value), question_answer (question "
            "and answer, made into messages) or pairs (each row a list of prompt and completion)."
        },
    )
    dataset_columns: dict[str, Any] | str | None = field(
        default=None,
        metadata={
            "help": "Which column of the data is taken for which of TRL's (or of dataset_format's) "
            "columns, e.g. {prompt: question, completion: answer}."
        },
    )
    prompt_template: str | None = field(
        default=None,
        metadata={
            "help": "A template that the prompt is made by, with columns of the data in braces, "
            "e.g. 'Translate: {text}'."
        },
    )
    completion_template: str | None = field(
        default=None,
        metadata={
            "help": "A template that the completion is made by, with columns of the data in "
            "braces, e.g. '{answer}'. Needs prompt_template."
        },
    )
    max_rows_left_out: float = field(
        default=0.5,
        metadata={
            "help": "The share of the training rows that may be left out because they can't be "
            "trained on, from 0 to 1; where more would be, the run fails before its first step."
        },
    )
