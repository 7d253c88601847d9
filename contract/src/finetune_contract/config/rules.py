# SPDX-License-Identifier: Apache-2.0
"""Values that must go together: one function each, in the table `RULES`. No I/O here."""

from collections.abc import Iterator

from finetune_contract.config.problem import Problem
from finetune_contract.config.reading import Context, Reading


def check_precision(config: Reading, context: Context) -> Iterator[Problem]:
    if config["bf16"] and config["fp16"]:
        yield Problem(
            path=config.name("fp16"),
            message="found true beside bf16: true, expected one of them; bf16 where the GPU has it",
        )


RULES = (check_precision,)
