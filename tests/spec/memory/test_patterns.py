# SPDX-License-Identifier: Apache-2.0
"""Expressions for the names of modules have the same meaning as in PEFT, and take bounded time."""

import random
import re

import pytest

from finetune_spec.memory.patterns import UnknownPattern, read_pattern
from support.hostile import quickly

NAMES = [
    f"model.layers.{layer}.{matrix}"
    for layer in (0, 3, 20, 31, 100)
    for matrix in ("self_attn.q_proj", "self_attn.v_proj", "mlp.up_proj", "mlp.gate_up_proj")
]
SHORT = ["", "a", "b", "ab", "ba", "aa", "aab", "abb", "1", "a1", "-", "a\n"]


@pytest.mark.parametrize(
    "pattern",
    [
        r".*\.(q|v)_proj",
        r"model\.layers\.(2[0-9]|3[01])\..*(q_proj|v_proj)",
        r".*layers\.\d+\.(?:self_attn|mlp)\.\w+",
        r"^.*(q|up)_proj$",
        r"[^.]+\.layers\.\d{2,3}\..{3,}?_proj",
        r".*[qv]_proj|.*\.mlp\..*",
        r"model.layers.3.+",
    ],
)
def test_usual_patterns_match_the_same_names_as_re(pattern: str) -> None:
    automaton = read_pattern(pattern)

    found = [name for name in NAMES if automaton.matches(name)]

    assert found == [name for name in NAMES if re.fullmatch(pattern, name)]
    assert found


def test_every_supported_pattern_matches_the_same_as_re() -> None:
    dice, known = random.Random(7), 0  # noqa: S311
    for _ in range(6000):
        pattern = "".join(dice.choice("ab(|)*+?.[]^-{1,2}\\d") for _ in range(dice.randint(1, 9)))
        try:
            expected, automaton = re.compile(pattern), read_pattern(pattern)
        except (re.error, UnknownPattern):
            continue
        known += 1
        for name in SHORT:
            assert automaton.matches(name) == bool(expected.fullmatch(name)), (pattern, name)
    assert known > 500


@pytest.mark.parametrize("pattern", ["(?!.*head).*", r"(a)\1", "(?i)Q_PROJ", "a**", r"\bq\b", "("])
def test_lookaround_patterns_are_unsupported(pattern: str) -> None:
    with pytest.raises(UnknownPattern):
        read_pattern(pattern)


@pytest.mark.parametrize("pattern", ["(a+)+b", "((a*)*)*b", "(a|a)*b", "(.*a){60}", "a{400}{400}"])
def test_exponential_patterns_are_matched_quickly_or_unsupported(pattern: str) -> None:
    def match() -> bool:
        try:
            return read_pattern(pattern).matches("a" * 3000)
        except UnknownPattern:
            return False

    assert quickly(match) is False
