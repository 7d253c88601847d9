# SPDX-License-Identifier: Apache-2.0
import logging

import pytest

from finetune_operator.telemetry.logs import FIELDS, OneLine


def line(message: str, *, error: BaseException | None = None, **fields: object) -> str:
    exc_info = None if error is None else (type(error), error, error.__traceback__)
    record = logging.LogRecord("x", logging.INFO, "", 0, message, (), exc_info)
    record.created, record.msecs = 0.123, 123
    setattr(record, FIELDS, fields)
    return OneLine().format(record)


def test_event_and_fields_are_one_line() -> None:
    assert line("decided", job="team/balloon", reason="so it is", empty="") == (
        '1970-01-01T00:00:00.123Z INFO decided job=team/balloon reason="so it is" empty=""'
    )


def test_traceback_is_in_the_same_line() -> None:
    with pytest.raises(ZeroDivisionError) as raised:
        print(1 / 0)

    logged = line("failed", error=raised.value)

    assert "\n" not in logged
    assert "ZeroDivisionError" in logged
