# SPDX-License-Identifier: Apache-2.0
"""The form of a function's name, such as that of `metric_fn`. No I/O here."""

import re
from collections.abc import Iterator

from finetune_spec.config.problem import Problem, quoted

_FILE = re.compile(r"[^:]+\.py:[^\W\d]\w*")
_MODULE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")


def check_function_name(name: str, text: str) -> Iterator[Problem]:
    """`module:function` or `file.py:function`, with the file below the directory of the data."""
    file = text.partition(":")[0]
    if not _FILE.fullmatch(text) and not _MODULE.fullmatch(text):
        message = "expected module:function or file.py:function"
    elif file.endswith(".py") and (file.startswith(("/", "~")) or ".." in file.split("/")):
        message = "expected a file next to the data, by its relative path"
    else:
        return
    yield Problem(path=name, message=f"found {quoted(text)}, {message}")
