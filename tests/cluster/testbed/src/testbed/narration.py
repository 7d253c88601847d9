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
    """Name a step when it begins and print its duration when it ends."""
    print(f"{title} ... ", end="", file=sys.stderr, flush=True)
    begin = time.monotonic()
    try:
        yield
    except BaseException:
        say("failed")
        raise
    say(f"{time.monotonic() - begin:.1f} s")
