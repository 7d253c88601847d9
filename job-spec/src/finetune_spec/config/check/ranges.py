# SPDX-License-Identifier: Apache-2.0
"""Ranges of numbers, and valid but suspicious numbers. No I/O here.

A range contains the numbers that make sense for a key. It applies even if other keys disable this
one, and even if a library accepts a senseless number by accident: TRL trains with `max_length: -5`,
and cuts five tokens off each example.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from finetune_spec.config.check.values import is_number
from finetune_spec.config.parse.schema import Schema
from finetune_spec.config.problem import Problem, quoted, warning


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """The numbers that make sense for a key."""

    words: str
    """The expected values, as in `expected {words}`."""
    minimum: float | None = None
    above: float | None = None
    """An exclusive minimum."""
    maximum: float | None = None
    below: float | None = None
    """An exclusive maximum."""
    is_whole_above_one: bool = False
    """Whether a number above 1 is a count and one below 1 a fraction."""

    def holds(self, number: float) -> bool:
        return (
            (self.minimum is None or number >= self.minimum)
            and (self.above is None or number > self.above)
            and (self.maximum is None or number <= self.maximum)
            and (self.below is None or number < self.below)
            and not (self.is_whole_above_one and number > 1 and number % 1 != 0)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Oddity:
    """Numbers that are valid but do not have the effect that they suggest."""

    key: str
    odd: Range
    words: str
    """The effect of such a number, as in `found -1, which {words}`."""


NOT_NEGATIVE = Range(words="0 or more", minimum=0)
AT_LEAST_ONE = Range(words="at least 1", minimum=1)
BETA = Range(words="at least 0 and below 1", minimum=0, below=1)
STEPS = Range(
    words="a whole number of steps, or a share of all steps between 0 and 1",
    is_whole_above_one=True,
)

_LARGEST_SEED = 2**32 - 1
"""NumPy's limit."""
_SMALLEST_TORCH_SEED = -(2**63)
_LARGEST_TORCH_SEED = 2**64 - 1

RANGES: Mapping[str, Range] = {
    "adam_beta1": BETA,
    "adam_beta2": BETA,
    "adam_epsilon": NOT_NEGATIVE,
    "data_seed": Range(
        words="between -2^63 and 2^64 - 1",
        minimum=_SMALLEST_TORCH_SEED,
        maximum=_LARGEST_TORCH_SEED,
    ),
    "dataloader_num_workers": NOT_NEGATIVE,
    "dataloader_prefetch_factor": AT_LEAST_ONE,
    "dataset_num_proc": NOT_NEGATIVE,
    "ddp_timeout": Range(words="at least 1 second", minimum=1),
    "early_stopping_patience": AT_LEAST_ONE,
    "early_stopping_threshold": NOT_NEGATIVE,
    "eval_accumulation_steps": AT_LEAST_ONE,
    "eval_sample_max_tokens": AT_LEAST_ONE,
    "eval_sample_seconds": NOT_NEGATIVE,
    "eval_steps": STEPS,
    "gradient_accumulation_steps": AT_LEAST_ONE,
    "learning_rate": NOT_NEGATIVE,
    "logging_steps": Range(
        words="a whole number of steps from 1 on, or a share of all steps between 0 and 1",
        above=0,
        is_whole_above_one=True,
    ),
    "lora_alpha": AT_LEAST_ONE,
    # With 1 no part of the adapter is trained.
    "lora_dropout": Range(words="at least 0 and below 1", minimum=0, below=1),
    "lora_r": AT_LEAST_ONE,
    "max_length": Range(words="at least 1, or null for no limit", minimum=1),
    "max_rows_left_out": Range(words="a share of the rows from 0 to 1", minimum=0, maximum=1),
    "neftune_noise_alpha": NOT_NEGATIVE,
    "num_eval_samples": NOT_NEGATIVE,
    "num_layers_unfrozen": Range(
        words="at least 1: leave the key out to train all layers, as -1 does in trlX", minimum=1
    ),
    "pad_to_multiple_of": AT_LEAST_ONE,
    "per_device_eval_batch_size": AT_LEAST_ONE,
    "per_device_train_batch_size": AT_LEAST_ONE,
    "save_minutes": Range(words="more than 0 minutes", above=0),
    "save_steps": STEPS,
    "seed": Range(words="between 0 and 2^32 - 1", minimum=0, maximum=_LARGEST_SEED),
    "test_split_size": Range(
        words="a share of the rows between 0 and 1, or a whole number of rows",
        above=0,
        is_whole_above_one=True,
    ),
    "torch_empty_cache_steps": AT_LEAST_ONE,
    "warmup_steps": NOT_NEGATIVE,
    "weight_decay": NOT_NEGATIVE,
}
"""Key -> its range; other values are refused. Editors get these too, through the JSON Schema."""

_NEGATIVE = Range(words="", below=0)
_NOT_POSITIVE = Range(words="", maximum=0)

ODDITIES = (
    Oddity(key="eval_delay", odd=_NEGATIVE, words="delays nothing"),
    Oddity(key="eval_steps", odd=_NEGATIVE, words="is read as a share of all steps"),
    Oddity(key="label_smoothing_factor", odd=_NEGATIVE, words="sharpens instead of smoothing"),
    Oddity(
        key="label_smoothing_factor",
        odd=Range(words="", minimum=1),
        words="leaves nothing of the labels: 0.1 is typical",
    ),
    Oddity(key="max_grad_norm", odd=_NEGATIVE, words="clips nothing, as 0 does"),
    Oddity(
        key="max_steps",
        odd=Range(words="", minimum=0, maximum=0),
        words="trains a single step: -1, the default, leaves the number to num_train_epochs",
    ),
    Oddity(key="router_aux_loss_coef", odd=_NEGATIVE, words="rewards an unbalanced load"),
    Oddity(key="save_steps", odd=_NOT_POSITIVE, words="saves no checkpoint before the end"),
    Oddity(key="save_total_limit", odd=_NOT_POSITIVE, words="keeps all checkpoints, as null does"),
)


def check_range(key: str, name: str, value: Any, schema: Schema) -> Iterator[Problem]:
    if key in RANGES:
        yield from check_number(name, value, RANGES[key])


def check_number(name: str, value: Any, allowed: Range) -> Iterator[Problem]:
    if is_number(value) and not allowed.holds(value):
        yield Problem(path=name, message=f"found {quoted(value)}, expected {allowed.words}")


def advise_on_odd_number(key: str, name: str, value: Any, schema: Schema) -> Iterator[Problem]:
    for oddity in ODDITIES:
        if oddity.key == key and is_number(value) and oddity.odd.holds(value):
            yield warning(name, f"found {quoted(value)}, which {oddity.words}")


RANGE_CHECKS = (check_range, advise_on_odd_number)
