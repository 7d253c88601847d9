# SPDX-License-Identifier: Apache-2.0
"""The log of our processes. No value in it can contain terminal escapes, or look like a separate
line: parts of the text come from models, rows and stores.

Output of a user's function or a library is not changed.
"""

import logging

from finetune_contract.printable import indented


class LogLines(logging.Formatter):
    """One line for each event; continuation lines, such as a traceback, are indented."""

    def format(self, record: logging.LogRecord) -> str:
        return indented(super().format(record))


def set_up_log(level: int, line: str) -> None:
    """Logs to standard error, which must already hide secrets."""
    handler = logging.StreamHandler()
    handler.setFormatter(LogLines(line))
    logging.basicConfig(level=level, handlers=[handler])
