# SPDX-License-Identifier: Apache-2.0
"""Secrets inside a key of a config: in a mapping, a list of them, or JSON as text.

Every user who may read the job can read them. No I/O here, and no message shows a value.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from finetune_contract.documents import value_in
from finetune_contract.limits import MAX_DEPTH
from finetune_spec.config.parse.schema import Schema
from finetune_spec.config.problem import Problem
from finetune_spec.config.suggest.owned import IN_PLAIN_SIGHT

_NAME = re.compile(
    r"(^|_)(token|api_?key|secret|secret_?access_?key|access_?key|account_?key|sas_?key|password"
    r"|passwd|passphrase|connection_?string|private_?key)$",
    re.IGNORECASE,
)
_VOCABULARY = re.compile(
    r"(^|_)(bos|eos|pad|unk|sep|cls|mask|image|video|audio|vision|stop|start|end)_token$",
    re.IGNORECASE,
)


def check_nested_secrets(config: Mapping[str, Any], schema: Schema) -> Iterator[Problem]:
    """Top-level keys are checked where the key is known, and so is `env`."""
    for key, value in config.items():
        if key != "env":
            yield from _below(str(key), value, 1)


def _below(path: str, value: Any, depth: int) -> Iterator[Problem]:
    if depth > MAX_DEPTH or isinstance(value, int | float):
        return
    if isinstance(value, str):
        value = value_in(value)
    if isinstance(value, list | tuple):
        for place, item in enumerate(value):
            yield from _below(f"{path}[{place}]", item, depth + 1)
    elif isinstance(value, Mapping):
        for name, item in value.items():
            where = f"{path}.{name}"
            if isinstance(item, str) and item and _is_secret(str(name)):
                yield Problem(path=where, message=IN_PLAIN_SIGHT)
            else:
                yield from _below(where, item, depth + 1)


def _is_secret(name: str) -> bool:
    return _NAME.search(name) is not None and _VOCABULARY.search(name) is None
