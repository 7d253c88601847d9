# SPDX-License-Identifier: Apache-2.0
"""A word of YAML has the same value as in kubectl.

Each row was verified with kubectl 1.35.4, which needs no server for it:
`kubectl annotate --local -o json -f - x=y`.
"""

import json
from typing import Any

import pytest

from finetune_cli.files.yaml.source_lines import read_documents


def read(text: str) -> Any:
    (document,) = read_documents(f"key: {text}".encode())
    assert document.found == ()
    return document.value["key"]


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("1e-4", "0.0001"),
        ("2.0e-4", "0.0002"),
        ("5e-5", "5e-05"),
        ("1E5", "100000"),
        ("1.e5", "100000"),
        ("+1e3", "1000"),
        (".5", "0.5"),
        ("-.5", "-0.5"),
        ("1.", "1"),
        ("8.0", "8"),
        ("-0.0", "0"),
        ("2.50", "2.5"),
        ("1e22", "1e+22"),
        ("99999999999999999999", "1e+20"),
        ("9223372036854775807", "9223372036854775807"),
        ("1_000", "1000"),
        ("1_0.5", "10.5"),
        ("1e1_0", "10000000000"),
        ("1_", "1"),
        ("_1", '"_1"'),
        ("017", "15"),
        ("-017", "-15"),
        ("0o17", "15"),
        ("08", "8"),
        ("0x1F", "31"),
        ("0X1f", "31"),
        ("0b11", "3"),
        ("+5", "5"),
        ("00", "0"),
        ("1,000", '"1,000"'),
        ("10k", '"10k"'),
        ("1e", '"1e"'),
        ("1e400", '"1e400"'),
        ("0o9", '"0o9"'),
        ("1.2.3", '"1.2.3"'),
        ("1:30", '"1:30"'),
        ("2026-01-02", '"2026-01-02"'),
        ("2026-01-02T10:00:00Z", '"2026-01-02T10:00:00Z"'),
        ("'1e-4'", '"1e-4"'),
        ('"on"', '"on"'),
        ("=", '"="'),
        ("!!str 5", '"5"'),
        ("!!float 5", "5"),
        ('!!int "5"', "5"),
        ('!!bool "yes"', "true"),
    ],
)
def test_numbers_and_strings_are_parsed_as_kubectl_does(text: str, sent: str) -> None:
    assert json.dumps(read(text)) == sent


@pytest.mark.parametrize(
    "text", ["y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"]
)
def test_every_yaml_1_1_word_for_true_is_true(text: str) -> None:
    assert read(text) is True


@pytest.mark.parametrize(
    "text", ["n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"]
)
def test_every_yaml_1_1_word_for_false_is_false(text: str) -> None:
    assert read(text) is False


@pytest.mark.parametrize("text", ["", "~", "null", "Null", "NULL"])
def test_every_yaml_spelling_of_null_is_null(text: str) -> None:
    assert read(text) is None


@pytest.mark.parametrize("text", ["tRUE", "oN", "nO", "True.", "off.", "none", "None"])
def test_other_words_are_strings(text: str) -> None:
    assert read(text) == text


@pytest.mark.parametrize("text", [".inf", "-.inf", "+.Inf", ".INF", ".nan", ".NaN"])
def test_a_value_that_json_cannot_represent_is_refused(text: str) -> None:
    (document,) = read_documents(f"key: {text}".encode())

    assert [str(found.problem) for found in document.found] == [
        f"key: found {text}, expected a finite number: JSON has no other"
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("!!python/object:os.system x", "found the tag"),
        ("!Ref x", "found the tag !Ref, expected a plain value"),
        ("!!int x", 'found "x" with the tag !!int, which it is not'),
        ("!!set {a}", "found the tag"),
    ],
)
def test_tags_without_a_json_equivalent_are_refused(text: str, sentence: str) -> None:
    (document,) = read_documents(f"key: {text}".encode())

    assert sentence in document.found[0].problem.message
