# SPDX-License-Identifier: Apache-2.0
"""Texts of a model, a row or a store cannot create a line of the trainer's log."""

import logging
import subprocess
import sys

import pytest

from finetune_trainer.failures.log_lines import LogLines
from support.terminal_orders import ALL_ORDERS, ORDERS, orders_in

FORGED = "2026-01-01 00:00:00,000 INFO outcome {}"


def logged(message: str, *values: object, error: BaseException | None = None) -> str:
    exc_info = None if error is None else (type(error), error, error.__traceback__)
    record = logging.LogRecord("x", logging.INFO, "", 0, message, values, exc_info)
    return LogLines("%(levelname)s %(message)s").format(record)


def test_an_ordinary_event_is_logged_unchanged() -> None:
    assert logged("phase %s", "Training") == "INFO phase Training"


@pytest.mark.parametrize("kind", ORDERS)
def test_a_value_emits_no_control_codes(kind: str) -> None:
    told = logged("fetched path=%s", ORDERS[kind])

    assert orders_in(told) == []
    assert told.startswith("INFO fetched path=")


def test_a_value_starts_no_line() -> None:
    assert logged("fetched path=%s", f"a\n{FORGED}").splitlines() == [
        "INFO fetched path=a",
        f"    {FORGED}",
    ]


def test_a_traceback_is_below_its_event_and_starts_no_line() -> None:
    try:
        raise ValueError(f"{ALL_ORDERS}\n{FORGED}")
    except ValueError as error:
        first, *others = logged("rank failed", error=error).splitlines()

    assert first == "INFO rank failed"
    assert f"    {FORGED}" in others
    assert all(line.startswith("    ") for line in others)


PROGRAM = """\
import logging
from finetune_trainer.failures.log_lines import set_up_log
set_up_log(logging.INFO, "%(levelname)s %(message)s")
logging.getLogger("of.a.library").warning("half \\ud800 \\x1b[2J\\nINFO forged")
"""


def test_library_messages_in_our_process_emit_no_control_codes_either() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, check=True)

    assert done.stderr == b"WARNING half    [2J\n    INFO forged\n"
