# SPDX-License-Identifier: Apache-2.0
"""Says what takes time, and how long it took. All of it goes to stderr; stdout is for answers."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager


def say(sentence: str) -> None:
    """Print a sentence for the person who waits."""
    print(sentence, file=sys.stderr, flush=True)


@contextmanager
def step(title: str) -> Iterator[None]:
    """Name a step when it begins and print its duration when it ends: on one line for a person at a
    terminal, on two in a log, which may be read line by line."""
    is_line = sys.stderr.isatty()
    print(f"{title} ... ", end="" if is_line else "\n", file=sys.stderr, flush=True)
    begin, again = time.monotonic(), "" if is_line else f"{title}: "
    try:
        yield
    except BaseException:
        say(f"{again}failed")
        raise
    say(f"{again}{time.monotonic() - begin:.1f} s")
