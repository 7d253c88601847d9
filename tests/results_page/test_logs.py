# SPDX-License-Identifier: Apache-2.0
"""The log of the results page: input of readers or the API server cannot create a line of it."""

import logging

import pytest

from finetune_results_page.logs import FIELDS, OneLine
from support.terminal_orders import ORDERS, orders_in

FORGED = "2026-01-01T00:00:00.000Z INFO served"


@pytest.mark.parametrize("kind", ORDERS)
def test_no_value_or_library_message_adds_control_codes_or_lines_to_the_log(kind: str) -> None:
    words = f"a{ORDERS[kind]}\n{FORGED}"
    record = logging.LogRecord("x", logging.INFO, "", 0, words, (), None)
    setattr(record, FIELDS, {"error": words})

    logged = OneLine().format(record)

    assert orders_in(logged, allowed="") == []
    assert len(logged.splitlines()) == 1
