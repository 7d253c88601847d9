# SPDX-License-Identifier: Apache-2.0
"""Logs: one line for each decision, an event with its fields, no prose."""

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Any

from finetune_contract.printable import on_one_line
from finetune_operator.telemetry.metrics import WatchErrors

LOGGER = logging.getLogger("finetune_operator")

FIELDS = "fields"

LONGEST_TEXT = 16 * 1024
"""Characters of a message and of a field: enough for the beginning and the end of a traceback."""


def say(event: str, /, *, level: int = logging.INFO, **fields: object) -> None:
    """Logs one line: an event and its fields; a field that is None is left out."""
    known = {name: value for name, value in fields.items() if value is not None}
    LOGGER.log(level, event, extra={FIELDS: known})


def say_error(event: str, error: BaseException, /, **fields: object) -> None:
    """Logs an unexpected error: with its traceback, in one line as well."""
    trace = "".join(traceback.format_exception(error))
    say(event, level=logging.ERROR, **fields, error=repr(error), traceback=trace)


class OneLine(logging.Formatter):
    """`2026-01-31T12:00:00.123Z INFO decided job=team/balloon phase=Running`."""

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        fields: dict[str, Any] = dict(getattr(record, FIELDS, {}))
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        told = "".join(f" {name}={_render(value)}" for name, value in fields.items())
        message = on_one_line(_shortened(record.getMessage()))
        return f"{moment}.{int(record.msecs):03d}Z {record.levelname} {message}{told}"


def set_up_logs(level: str) -> None:
    """Our own events at this level, warnings of other libraries."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(OneLine())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    LOGGER.setLevel(level)
    # kopf logs every event of every object there.
    logging.getLogger("kopf.objects").setLevel(logging.ERROR)
    logging.getLogger(WatchErrors.LOGGER).addHandler(WatchErrors(level=logging.ERROR))


def _shortened(text: str) -> str:
    """Any pod in the cluster can send a review of megabytes, with a name of that size."""
    if len(text) <= LONGEST_TEXT:
        return text
    half = LONGEST_TEXT // 2
    return f"{text[:half]}...{text[-half:]}"


def _render(value: object) -> str:
    text = _shortened(str(value))
    # Quoting escapes all non-ASCII characters: a value cannot begin a line or contain terminal
    # escapes.
    is_plain = text.isprintable() and text and not any(it in text for it in ' "=')
    return text if is_plain else json.dumps(text)
