# SPDX-License-Identifier: Apache-2.0
"""Any file is read with its lines, or refused in one sentence with the line."""

import json

import pytest

from finetune_cli.files.yaml.source_lines import Document, read_documents


def read(text: str | bytes) -> list[Document]:
    return list(read_documents(text.encode() if isinstance(text, str) else text))


def told(text: str | bytes) -> list[str]:
    return [
        f"{found.place.line}:{found.place.column}: {found.sentence}"
        for document in read(text)
        for found in document.found
    ]


JOB = """\
kind: FineTuneJob
spec:
  config:
    model_name_or_path: tiny
    datasets:
      - path: a
      - {path: b, split: train}
    env: {A.B: "1"}
---
kind: FineTuneJob
"""


@pytest.mark.parametrize(
    ("path", "place"),
    [
        pytest.param("spec", (2, 1), id="a section"),
        pytest.param("spec.config.model_name_or_path", (4, 5), id="a key"),
        pytest.param("spec.config.datasets[1]", (7, 9), id="an item"),
        pytest.param("spec.config.datasets[1].split", (7, 19), id="a key of an item"),
        pytest.param("spec.config.env.A.B", (8, 11), id="a key with a dot"),
        pytest.param(
            "spec.config.dataset_name", (3, 3), id="a missing key has the line of its section"
        ),
        pytest.param("spec.output.uri", (2, 1), id="a missing section at the one above"),
        pytest.param("metadata", (1, 1), id="a missing section of the root"),
        pytest.param("", (1, 1), id="the document"),
    ],
)
def test_every_path_has_a_line(path: str, place: tuple[int, int]) -> None:
    found = read(JOB)[0].place_of(path)

    assert (found.line, found.column) == place


def test_a_later_document_has_its_own_line_numbers() -> None:
    assert read(JOB)[1].place_of("kind").line == 10


def test_empty_documents_are_skipped() -> None:
    assert read("---\n---\n# nothing\n---\na: 1\n---\n") != []
    assert [document.value for document in read("---\n---\na: 1\n---\n")] == [{"a": 1}]
    assert read("") == []


def test_merged_keys_keep_the_line_where_they_are_defined() -> None:
    text = "base: &base {seed: 1, bf16: on}\nconfig:\n  <<: *base\n  seed: 2\n"
    (document,) = read(text)

    assert document.value["config"] == {"seed": 2, "bf16": True}
    assert document.found == ()
    assert document.place_of("config.bf16").line == 1
    assert document.place_of("config.seed").line == 4


def test_a_merge_below_a_key_overrides_it_as_in_kubectl() -> None:
    (document,) = read("base: &base {seed: 1}\nconfig:\n  seed: 2\n  <<: *base\n")

    assert document.value["config"] == {"seed": 1}


def test_the_first_of_several_merged_mappings_wins() -> None:
    (document,) = read("a: &a {x: 1}\nb: &b {x: 2, z: 3}\nc:\n  <<: [*a, *b]\n")

    assert document.value["c"] == {"x": 1, "z": 3}


def test_an_alias_has_the_value_of_its_anchor() -> None:
    (document,) = read("a: &a [1, 2]\nb: *a\n")

    assert document.value == {"a": [1, 2], "b": [1, 2]}


def test_keys_are_strings_as_in_json() -> None:
    (document,) = read("on: 1\n5: 2\n")

    assert document.value == {"true": 1, "5": 2}


def test_json_is_valid_yaml() -> None:
    text = json.dumps({"kind": "FineTuneJob", "spec": {"config": {"seed": 1}}}, indent="\t")

    assert read(text)[0].value == json.loads(text)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_every_encoding_that_kubectl_accepts_is_read(encoding: str) -> None:
    (document,) = read("run_name: café".encode(encoding))

    assert document.value == {"run_name": "café"}


def test_a_duplicate_key_is_reported_with_both_lines() -> None:
    assert told("config:\n  seed: 1\n  bf16: true\n  seed: 2\n") == [
        "4:3: config.seed: found twice, first in line 2, and only one of them takes effect"
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        pytest.param("a:\n\tb: 1", "2:1: found a tab, expected spaces", id="a tab"),
        pytest.param('a: "x\nb: 1\n', "1:4: found a quote that is never closed", id="a quote"),
        pytest.param("a: [1, 2\nb: 3", "1:4: found [ without its end", id="a bracket"),
        pytest.param("a: {b: 1\nc: 2", "1:4: found { without its end", id="a brace"),
        pytest.param("a: b: c", "1:5: found a colon where no key", id="two colons"),
        pytest.param("a: 1\n b: 2", "2:3: found a colon where no key", id="indentation"),
        pytest.param(
            "a:1\nb: 2", '1:1: found no space after the colon of a, expected "a: ', id="colon"
        ),
        pytest.param("a: 1\nb 2\nc: 3", "2:1: found a line without a colon", id="no colon"),
        pytest.param("a: @b", "1:4: found @ at the beginning of a value", id="reserved"),
        pytest.param("a: - b", "1:4: found a list after a key", id="a list behind a key"),
        pytest.param("- a\nb: 1", "2:1: found a key at the indentation of a list", id="list, key"),
        pytest.param('a: "\\q"', "1:5: found a backslash", id="backslash"),
        pytest.param("a: *b", "1:4: found *b, but there is no &b above it", id="unknown anchor"),
        pytest.param("a: &a {b: *a}", "1:11: found *a inside of &a", id="inside itself"),
        pytest.param("a: {{ x }}", "1:5: found {{, a template: fill it in first", id="a template"),
        pytest.param(
            "a:\n  [b]: c", "2:3: found a list or a mapping as a key", id="a list as a key"
        ),
        pytest.param("a: 1\nb=2\nc: 3", '2:1: found = after b, expected "b: value"', id="equals"),
        pytest.param(
            "a: 1\n<<<<<<< HEAD\nb: 2\n",
            "2:1: found a merge conflict marker",
            id="merge conflict",
        ),
        pytest.param("~: 1", "1:1: found null as a key", id="null key"),
        pytest.param("a: {<<: 3}", "1:9: found <<", id="merge of a number"),
        pytest.param(b"\x89PNG\r\n\x1a\n\0", "1:1: not YAML: found the byte 0x89", id="binary"),
        pytest.param(b"a: 1\nb: caf\xe9", "2:1: not YAML: found the byte 0xe9", id="latin 1"),
        pytest.param(b"a: 1\nb: \0", "2:4: not YAML: found the control character 0x00", id="NUL"),
        pytest.param("[" * 1_000_000, "1:101: nested more than 100 levels deep", id="deep"),
        pytest.param("a: 1}", "", id="a text with a brace"),
    ],
)
def test_unreadable_yaml_is_reported_in_one_sentence(text: str | bytes, sentence: str) -> None:
    found = told(text)

    assert len(found) == bool(sentence)
    assert "".join(found).startswith(sentence)
    assert "\n" not in "".join(found)


def test_aliases_that_multiply_are_refused_before_they_exhaust_memory() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]

    assert told("\n".join(lines)) == ["4:5: contains more than 100000 values"]


def test_documents_above_a_syntax_error_are_still_read() -> None:
    first, second = read("a: 1\n---\nb: [")

    assert first.value == {"a": 1}
    assert not second.is_readable
