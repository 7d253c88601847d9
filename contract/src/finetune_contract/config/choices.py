# SPDX-License-Identifier: Apache-2.0
"""Values that are one of a few names. No I/O here."""

from collections.abc import Iterator
from typing import Any

from finetune_contract.config.problem import Problem, did_you_mean, quoted
from finetune_contract.config.schema import Schema


def check_choice(key: str, name: str, value: Any, schema: Schema) -> Iterator[Problem]:
    choices = schema.properties[key].get("enum")
    if not choices or value in choices:
        return
    named = [choice for choice in choices if isinstance(choice, str)]
    hint = did_you_mean(str(value), named) or f", expected one of {', '.join(named)}"
    if value is False and "no" in named:
        hint = ': write "no" in quotes, since YAML reads the bare word as false'
    yield Problem(path=name, message=f"found {quoted(value)}{hint}")


CHOICE_CHECKS = (check_choice,)
