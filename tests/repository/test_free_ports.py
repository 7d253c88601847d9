# SPDX-License-Identifier: Apache-2.0
"""The ports of concurrent tests: no two processes get the same ones."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from testbed import ports

HOLDER = "from testbed.ports import free_ports; print(free_ports(2)[0], flush=True); input()"


@contextmanager
def another_process() -> Iterator[int]:
    """Has a row of ports, and does not listen yet; returns the first port."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline())
        process.communicate("\n", timeout=30)


def test_a_row_belongs_to_one_process_until_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    with another_process() as taken:
        monkeypatch.setattr(ports, "_FIRST_PORTS", range(taken, taken + 1))

        with pytest.raises(RuntimeError, match="no row of 2 free ports"):
            ports.free_ports(2)

    assert ports.free_ports(2)[0] == taken
    with pytest.raises(RuntimeError, match="no row"):
        ports.free_ports(2)


def test_a_row_with_a_port_in_use_is_left_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    (first,) = ports.free_ports(1)
    monkeypatch.setattr(ports, "_FIRST_PORTS", range(first + 2, first + 3))
    with socket.socket() as used:
        used.bind(("127.0.0.1", first + 3))

        with pytest.raises(RuntimeError, match="no row"):
            ports.free_ports(2)
