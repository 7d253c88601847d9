# SPDX-License-Identifier: Apache-2.0
"""Free ports on 127.0.0.1.

They are below those that the kernel uses for connections, one of which may be taken between the
choice and the listening. No test's seed chooses them: concurrent tests use different ones.
"""

import random
import socket

_ROW = 10
_FIRST_PORTS = range(11_000, 22_000, _ROW)
_CHANCE = random.SystemRandom()
_given: set[int] = set()
"""First ports given out by this process: their users may not listen yet."""


def free_ports(number: int, *, offset: int = 0) -> range:
    """A row of at most ten, each also free at `offset` above it.

    Raises:
        RuntimeError: there is none.
    """
    for first in _CHANCE.sample(_FIRST_PORTS, len(_FIRST_PORTS)):
        row = range(first, first + number)
        if first not in _given and all(_is_free(port) and _is_free(port + offset) for port in row):
            _given.add(first)
            return row
    raise RuntimeError(f"There is no row of {number} free ports on 127.0.0.1.")


def _is_free(port: int) -> bool:
    with socket.socket() as candidate:
        try:
            candidate.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
