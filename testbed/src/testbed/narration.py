# SPDX-License-Identifier: Apache-2.0
"""Reports slow steps and their duration. Everything is written to stderr; stdout is for results."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager


def say(sentence: str) -> None:
    """Prints a sentence for the waiting user."""
    print(sentence, file=sys.stderr, flush=True)


@contextmanager
def step(title: str) -> Iterator[None]:
    """Prints the title of a step when it begins and its duration when it ends: on one line in a
    terminal, on two in a log, which may be read line by line.
    """
    is_line = sys.stderr.isatty()
    print(f"{title} ... ", end="" if is_line else "\n", file=sys.stderr, flush=True)
    begin, again = time.monotonic(), "" if is_line else f"{title}: "
    try:
        yield
    except BaseException:
        say(f"{again}failed")
        raise
    say(f"{again}{time.monotonic() - begin:.1f} s")
