# SPDX-License-Identifier: Apache-2.0
"""Free ports on 127.0.0.1.

They are below those that the kernel uses for connections, one of which may be taken between the
choice and the listening. A row of ports belongs to one process until it ends, because its users may
listen only seconds later: the process holds the last port of the row.
"""

import random
import socket

_ROW = 10
_FIRST_PORTS = range(11_000, 22_000, _ROW)
_CHANCE = random.SystemRandom()
"""No test's seed chooses the ports."""
_held: list[socket.socket] = []
"""The last port of each row of this process."""


def free_ports(number: int, *, offset: int = 0) -> range:
    """A row of at most nine, each also free at `offset` above it.

    Raises:
        RuntimeError: there is none.
    """
    for first in _CHANCE.sample(_FIRST_PORTS, len(_FIRST_PORTS)):
        row = range(first, first + number)
        if (holder := _bind(first + _ROW - 1)) is None:
            continue
        if all(_is_free(port) and _is_free(port + offset) for port in row):
            _held.append(holder)
            return row
        holder.close()
    raise RuntimeError(f"There is no row of {number} free ports on 127.0.0.1.")


def _is_free(port: int) -> bool:
    if (holder := _bind(port)) is None:
        return False
    holder.close()
    return True


def _bind(port: int) -> socket.socket | None:
    holder = socket.socket()
    try:
        holder.bind(("127.0.0.1", port))
    except OSError:
        holder.close()
        return None
    return holder
