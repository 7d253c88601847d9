# SPDX-License-Identifier: Apache-2.0
"""Datasets with several configurations, such as languages: which one to use, and its config key.

The error of `datasets` is written for callers of `load_dataset`.
"""

import ast
import re
from collections.abc import Iterator
from contextlib import contextmanager

from finetune_contract.reasons import Reason
from finetune_spec.config.problem import did_you_mean
from finetune_trainer.failures.errors import attempt_failed

_NONE_CHOSEN = re.compile(r"Config name is missing\.\s+Please pick one .*?: (\[.*?\])", re.DOTALL)
_NO_SUCH = re.compile(r"BuilderConfig '(.*)' not found\. Available: (\[.*?\])", re.DOTALL)
_SHOWN = 20
_DEFAULT = "default"


@contextmanager
def telling_which(key: str) -> Iterator[None]:
    """Raises:
    AttemptFailed: `key` selects none of several configurations, or one that does not exist.
    """
    try:
        yield
    except ValueError as error:
        text = str(error)
        if (found := _NONE_CHOSEN.search(text)) is not None:
            names = _names(found[1])
            raise attempt_failed(
                Reason.DATASET_CONFIG_NOT_FOUND,
                f"the dataset has several configurations: {_listed(names)}",
                f"set {key}: {names[0]}, or another of them",
            ) from None
        if (found := _NO_SUCH.search(text)) is not None:
            raise _no_such(key, found[1], _names(found[2])) from None
        raise


def _no_such(key: str, wanted: str, names: list[str]) -> Exception:
    if names == [_DEFAULT]:
        return attempt_failed(
            Reason.DATASET_CONFIG_NOT_FOUND,
            f"{key} is {wanted}, but the dataset has no configurations",
            f"leave {key} out",
        )
    hint = did_you_mean(wanted, names)
    return attempt_failed(
        Reason.DATASET_CONFIG_NOT_FOUND,
        f"{key} is {wanted}, but the dataset has only {_listed(names)}",
        f"set {key} to one of them{hint}",
    )


def _names(listed: str) -> list[str]:
    return [str(name) for name in ast.literal_eval(listed)]


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
