# SPDX-License-Identifier: Apache-2.0
"""The log of a process of ours. No value in it gives a terminal orders, or looks like a line of its
own: models, rows and stores decide over what is told of them.

What a user's function or a library prints besides is theirs, and is not changed.
"""

import logging

from finetune_contract.printable import indented


class LogLines(logging.Formatter):
    """One line for each event; what follows it, such as a traceback, is indented."""

    def format(self, record: logging.LogRecord) -> str:
        return indented(super().format(record))


def set_up_log(level: int, line: str) -> None:
    """To standard error, which must hide secrets by then."""
    handler = logging.StreamHandler()
    handler.setFormatter(LogLines(line))
    logging.basicConfig(level=level, handlers=[handler])
