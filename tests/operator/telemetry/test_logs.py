# SPDX-License-Identifier: Apache-2.0
import logging

import pytest

from finetune_operator.telemetry.logs import FIELDS, LONGEST_TEXT, OneLine
from support.terminal_orders import ALL_ORDERS, ORDERS, orders_in


def line(message: str, *, error: BaseException | None = None, **fields: object) -> str:
    exc_info = None if error is None else (type(error), error, error.__traceback__)
    record = logging.LogRecord("x", logging.INFO, "", 0, message, (), exc_info)
    record.created, record.msecs = 0.123, 123
    setattr(record, FIELDS, fields)
    return OneLine().format(record)


def test_an_event_and_its_fields_are_one_line() -> None:
    assert line("decided", job="team/balloon", reason="so it is", empty="") == (
        '1970-01-01T00:00:00.123Z INFO decided job=team/balloon reason="so it is" empty=""'
    )


def test_a_traceback_is_in_the_same_line() -> None:
    with pytest.raises(ZeroDivisionError) as raised:
        print(1 / 0)

    logged = line("failed", error=raised.value)

    assert "\n" not in logged
    assert "ZeroDivisionError" in logged


@pytest.mark.parametrize("sign", ["x", "\n", "\x1b", "\u202e", "\ud800"])
def test_no_text_of_a_client_makes_a_line_of_megabytes(sign: str) -> None:
    """Any pod in the cluster can send a review with a name of that size."""
    long = sign * 3_000_000

    for logged in (line("refused", job=f"first{long}last"), line(f"first{long}last")):
        assert len(logged) < 8 * LONGEST_TEXT
        assert "first" in logged
        assert "last" in logged


FORGED = "2026-01-01T00:00:00.000Z INFO decided job=team/other phase=Succeeded"


@pytest.mark.parametrize("kind", ORDERS)
def test_a_value_emits_no_control_codes_and_starts_no_line(kind: str) -> None:
    logged = line("decided", job=f"a{ORDERS[kind]}\n{FORGED}", bare=ORDERS[kind])

    assert orders_in(logged, allowed="") == []
    assert len(logged.splitlines()) == 1
    assert logged.startswith("1970-01-01T00:00:00.123Z INFO decided job=")


def test_a_library_message_starts_no_line_either() -> None:
    logged = line(f"watching{ALL_ORDERS}\n{FORGED}")

    assert orders_in(logged, allowed="") == []
    assert len(logged.splitlines()) == 1


def test_the_message_of_a_traceback_starts_no_line() -> None:
    with pytest.raises(ValueError, match="INFO") as raised:
        raise ValueError(f"{ALL_ORDERS}\n{FORGED}")

    logged = line("failed", error=raised.value)

    assert orders_in(logged, allowed="") == []
    assert len(logged.splitlines()) == 1


def test_a_value_cannot_imitate_another_field() -> None:
    assert line("decided", job="a phase=Succeeded") == (
        '1970-01-01T00:00:00.123Z INFO decided job="a phase=Succeeded"'
    )
