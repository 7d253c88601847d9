# SPDX-License-Identifier: Apache-2.0
"""What runs and is seldom meant: one function each, in the table `ADVICE`. No I/O here."""

from collections.abc import Iterator

from finetune_contract.config.problem import Problem, warning
from finetune_contract.config.reading import Context, Reading

_LARGEST_USUAL_BATCH = 4096


def advise_on_effective_batch(config: Reading, context: Context) -> Iterator[Problem]:
    if context.world_size is None:
        return
    per_step = config["per_device_train_batch_size"] * config["gradient_accumulation_steps"]
    batch = per_step * context.world_size
    if batch > _LARGEST_USUAL_BATCH:
        yield warning(
            config.name("per_device_train_batch_size"),
            f"the effective batch is {batch}, and few data sets are large enough for one above "
            f"{_LARGEST_USUAL_BATCH}",
        )


ADVICE = (advise_on_effective_batch,)
