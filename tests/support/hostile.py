# SPDX-License-Identifier: Apache-2.0
"""Values that an attacker writes, and the time that a check may take for them."""

import resource
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

Result = TypeVar("Result")

MOST_SECONDS = 0.05
"""CPU seconds for one check: the operator handles nothing else meanwhile."""

MOST_BYTES = 2**30
"""Address space in addition to that of the process."""

TRIES = 3


def nested(levels: int, holder: str = "list") -> Any:
    value: Any = "deep"
    for _ in range(levels):
        value = [value] if holder == "list" else {"a": value}
    return value


VALUES: Mapping[str, Any] = {
    **{f"100 kB of {sign!r}": sign * 100_000 for sign in ("a", " ", "-", "+", "\x00", "\u00e9")},
    **{f"30 kB of {sign!r}": sign * 30_000 for sign in ("a", " ", "1", "(", "1-", ":", "a@", "a.")},
    "a mapping in a text": "{" * 9_000,
    "lists in a text": '{"a":' + "[" * 9_000,
    "an exponential expression": "(a+)+" * 20 + "b",
    "an expression in an expression": "(" * 300,
    "a split with a long number": f"train[:{'9' * 5_000}]",
    "9,000 lists": nested(9_000),
    "9,000 mappings": nested(9_000, "mapping"),
    "1,100 mappings": nested(1_100, "mapping"),
    "40 lists": nested(40),
    "20,000 numbers": list(range(20_000)),
    "5,000 texts": [f"text {number}" for number in range(5_000)],
    "5,000 keys": {f"key_{number}": number for number in range(5_000)},
    "a prime batch": 1_000_000_000_039,
    "10^18": 10**18,
    "2^63": 2**63,
    "-2^63": -(2**63),
    "10^400": 10**400,
    "10^5000": 10**5_000,
    "1e308": 1e308,
    "the largest float": sys.float_info.max,
    "NaN": float("nan"),
    "Infinity": float("inf"),
    "half a pair": "\ud800",
    "half a pair as a key": {"\udfff": 1},
    "a null byte": "\x00",
    "an empty text": "",
    "an empty list": [],
    "an empty mapping": {},
    "null": None,
    "true": True,
    "minus one": -1,
    "a share": 0.5,
}
"""By name. Each can come from a request, or from a file."""

BEYOND = frozenset(name for name in VALUES if name.startswith(("100 kB", "9,000", "1,100", "10^")))
BEYOND |= {
    "1e308",
    "the largest float",
    "NaN",
    "Infinity",
    "half a pair",
    "half a pair as a key",
    "40 lists",
}
BEYOND -= {"10^18"}
"""Those that are refused everywhere."""


def some(is_long: bool, place: int) -> list[str]:
    """The names of all values, or of a few, different ones at each place."""
    names = list(VALUES)
    return names if is_long else [names[(place * 5 + step * 7) % len(names)] for step in range(5)]


def quickly(check: Callable[[], Result]) -> Result:
    """The result of a check; fails if each of three tries exceeds the CPU limit, and with a
    MemoryError if one exceeds the memory limit.
    """
    least = float("inf")
    for _ in range(TRIES):
        begin = time.process_time()
        with _little_memory():
            result = check()
        least = min(least, time.process_time() - begin)
        if least <= MOST_SECONDS:
            return result
    pytest.fail(f"took {least * 1000:.0f} ms of CPU, expected {MOST_SECONDS * 1000:.0f} at most")


@contextmanager
def _little_memory() -> Iterator[None]:
    """A text multiplied by a number of tokens once took 21 GiB, and the kernel killed other
    processes.
    """
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (held + MOST_BYTES, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def placed(document: Any, value: Any) -> Iterator[tuple[str, Any]]:
    """The document with the value in each of its places in turn, with that path."""
    if isinstance(document, Mapping):
        for key, inner in document.items():
            yield key, {**document, key: value}
            for path, changed in placed(inner, value):
                yield f"{key}.{path}", {**document, key: changed}
    elif isinstance(document, list):
        for number, inner in enumerate(document):
            for path, changed in placed(inner, value):
                others = [*document[:number], changed, *document[number + 1 :]]
                yield f"{number}.{path}", others
