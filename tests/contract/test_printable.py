# SPDX-License-Identifier: Apache-2.0
"""How an untrusted text is shown."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_contract.printable import indented, on_one_line, printable
from support.terminal_orders import ORDERS, orders_in

RULES = (printable, on_one_line, indented)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("kind", ORDERS)
def test_printable_text_contains_no_terminal_control_codes(
    rule: Callable[[str], str], kind: str
) -> None:
    shown = rule(f"a{ORDERS[kind]}z")

    assert orders_in(shown) == []
    assert shown[0] + shown[-1] == "az"
    shown.encode()


@given(st.text())
@pytest.mark.parametrize("rule", RULES)
def test_no_generated_text_keeps_control_codes(rule: Callable[[str], str], text: str) -> None:
    assert orders_in(rule(text), allowed="\n\t") == []


@pytest.mark.parametrize(
    "text", ["", "plain", "Größe, 大きさ, حجم", "naïve café", "2 ≤ 3 → ok", "🎈"]
)
def test_printable_characters_of_any_script_are_kept(text: str) -> None:
    assert [rule(text) for rule in RULES] == [text] * 3


def test_newlines_and_tabs_are_kept_where_they_are_allowed() -> None:
    assert printable("a\tb\nc") == "a\tb\nc"


@given(st.text())
def test_a_part_of_a_line_never_starts_a_new_line(text: str) -> None:
    assert on_one_line(text).splitlines() in ([], [on_one_line(text)])


def test_a_continuation_line_is_indented_unlike_our_own_lines() -> None:
    assert indented("failed\nSucceeded after 3 steps.\n  artifact  s3://x").splitlines() == [
        "failed",
        "    Succeeded after 3 steps.",
        "      artifact  s3://x",
    ]
