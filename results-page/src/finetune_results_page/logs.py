# SPDX-License-Identifier: Apache-2.0
"""Logs: one line for each event, with its fields, as the operator writes them."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

LOGGER = logging.getLogger("finetune_results_page")

FIELDS = "fields"


def say(event: str, /, **fields: object) -> None:
    """Logs one line: an event and its fields."""
    LOGGER.info(event, extra={FIELDS: fields})


class OneLine(logging.Formatter):
    """`2026-01-31T12:00:00.123Z INFO API server not reached error=...`."""

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        fields: dict[str, Any] = dict(getattr(record, FIELDS, {}))
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        told = "".join(f" {name}={json.dumps(str(value))}" for name, value in fields.items())
        # Log messages of libraries may contain any character; none can begin a line, or contain
        # terminal escapes.
        message = "".join(it if it.isprintable() else " " for it in record.getMessage())
        return f"{moment}.{int(record.msecs):03d}Z {record.levelname} {message}{told}"


def set_up_logs(level: str) -> None:
    """Our own events at this level, warnings of other libraries."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(OneLine())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    LOGGER.setLevel(level)
