# SPDX-License-Identifier: Apache-2.0
"""The output of both commands."""

import io
import subprocess
import sys

import pytest

from finetune_cli.terminal.output import relay, say, show
from support.terminal_orders import ALL_ORDERS, orders_in


def relayed(*parts: bytes) -> str:
    """The output for a process that prints these, one after the other."""

    class Parts(io.BufferedReader):
        def __init__(self) -> None:
            super().__init__(io.BytesIO())
            self.left = list(parts)

        def read1(self, size: int = -1) -> bytes:
            del size
            return self.left.pop(0) if self.left else b""

    shown = io.StringIO()
    relay(Parts(), shown)
    return shown.getvalue()


def test_printed_text_contains_no_terminal_control_codes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    say(f"a{ALL_ORDERS}z")

    told = capsys.readouterr().out
    assert told[0] + told[-2:] == "az\n"
    assert orders_in(told) == []


def test_a_character_the_terminal_cannot_encode_is_shown_as_an_escape() -> None:
    held = io.BytesIO()
    terminal = io.TextIOWrapper(held, encoding="ascii")

    show("\u00e9\n", terminal)

    assert held.getvalue() == b"\\xe9\n"


@pytest.mark.parametrize(
    ("parts", "shown"),
    [
        ((b"one\n", b"two\n"), "one\ntwo\n"),
        ((b"caf\xc3", b"\xa9\n"), "caf\u00e9\n"),
        ((b"\x1b", b"[2J"), " [2J"),
        ((b"\xc2", b"\x9b2J"), " 2J"),
        ((b"10 %\r20 %\r", b"\ndone\n"), "10 %\n20 %\ndone\n"),
        ((b"a\tb\n",), "a\tb\n"),
        ((b"\xff\xfe\n",), "\ufffd\ufffd\n"),
        ((b"cut \xe2\x80",), "cut \ufffd"),
    ],
    ids=str,
)
def test_relayed_output_is_shown_unchanged_wherever_it_is_split(
    parts: tuple[bytes, ...], shown: str
) -> None:
    assert relayed(*parts) == shown


PROGRAM = """\
from finetune_cli.terminal.output import show_unforeseen_errors_so
show_unforeseen_errors_so()
raise ValueError("x\\x1b[2J\\u202e\\nSucceeded after 3 steps.")
"""


def test_an_unexpected_error_is_shown_with_its_traceback_and_without_control_codes() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)

    assert done.returncode == 1
    assert done.stderr.startswith("Traceback")
    assert "ValueError: x [2J" in done.stderr
    assert orders_in(done.stderr) == []
    assert not [it for it in done.stderr.splitlines() if it.startswith("Succeeded")]
