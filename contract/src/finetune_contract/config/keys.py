# SPDX-License-Identifier: Apache-2.0
"""Which keys a config may have, and which it must. No I/O here.

A check of this table takes the config as its user wrote it.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from finetune_contract.config.problem import Problem, did_you_mean, warning
from finetune_contract.config.schema import Schema
from finetune_contract.config.spellings import OLDER

OPERATOR_OWNED = {
    "output_dir": "set spec.output.uri instead",
    "resume_from_checkpoint": "every attempt resumes from the newest complete checkpoint",
}
"""Keys that would work against the operator, and what to do instead."""


def check_unknown_keys(config: Mapping[str, Any], schema: Schema) -> Iterator[Problem]:
    for key in config:
        if key not in schema.properties and key not in OLDER:
            hint = did_you_mean(key, [*schema.properties, *OLDER])
            yield Problem(path=key, message=f"not a key of TRL's SFT config{hint}")


def check_owned_keys(config: Mapping[str, Any], schema: Schema) -> Iterator[Problem]:
    for key, instead in OPERATOR_OWNED.items():
        if key in config:
            yield Problem(path=key, message=f"belongs to the operator: {instead}")


def check_older_spellings(config: Mapping[str, Any], schema: Schema) -> Iterator[Problem]:
    for old, new in OLDER.items():
        if old in config and new in config:
            yield Problem(path=old, message=f"an older spelling of {new}, which is set as well")
        elif old in config:
            yield warning(old, f"an older spelling, read as {new}")


def check_model_and_data(config: Mapping[str, Any], schema: Schema) -> Iterator[Problem]:
    if not config.get("model_name_or_path"):
        yield Problem(
            path="model_name_or_path",
            message="missing: the model to fine-tune, e.g. a hub name or an s3:// URI",
        )
    if not config.get("dataset_name") and not config.get("datasets"):
        yield Problem(
            path="dataset_name",
            message="missing: the data to train on, e.g. a hub name or an s3:// URI",
        )


KEY_CHECKS = (
    check_unknown_keys,
    check_owned_keys,
    check_older_spellings,
    check_model_and_data,
)
