# SPDX-License-Identifier: Apache-2.0
"""The training text equals the text in the file, whatever it looks like and wherever it is.

Checked by decoding a trainer's token ids with SmolLM2's own tokenizer.
"""

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.prepared_data import prepare
from trainer.ranks.data.test_data_shapes import arguments

pytestmark = pytest.mark.slow  # importing datasets and torch

Pair = tuple[str, str]
Pairs = Sequence[Pair]

END = "<|im_end|>"
LOOKS_LIKE_SOMETHING_ELSE = (
    *("None", "NA", "N/A", "n/a", "nan", "NaN", "null", "NULL", "<NA>", "-", "#N/A", "nil"),
    *("007", "1e5", "+5", "1.10", "-0", "0x1F", "1_000", "1,5", "1e999", "Infinity", "٣", "½"),
    *("True", "true", "FALSE", "yes", "on"),
    *("2024-01-01", "2024-01-01T10:00:00Z", "2024-01-01 10:00:00", "12:30", "1 day"),
    *("b'x'", "[1, 2]", '{"a": 1}', '"quoted"', "'", '"', "a,b", "a\tb", "a\nb", "a\r\nb", "\\N"),
    *(
        " blank before",
        "blank behind ",
        "é",
        "e\u0301",
        "a\u2028b",
        "\ufeff",
        "🚢",
        "\x00",
        "\\u0041",
    ),
)
TEXTS = st.one_of(
    st.sampled_from(LOOKS_LIKE_SOMETHING_ELSE),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12),
).filter(str.strip)
TABLES = st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=8)


def table(pairs: Pairs, *, separator: str = ",", quoting: Any = csv.QUOTE_MINIMAL) -> bytes:
    written = io.StringIO()
    writer = csv.writer(written, delimiter=separator, quoting=quoting, lineterminator="\r\n")
    writer.writerows([("prompt", "completion"), *pairs])
    return written.getvalue().encode()


def rows(pairs: Pairs) -> list[dict[str, str]]:
    return [{"prompt": prompt, "completion": completion} for prompt, completion in pairs]


def lines(made: Sequence[Any]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in made).encode()


def spoken(pairs: Pairs) -> list[Any]:
    roles = ("user", "assistant")
    return [
        {"messages": [{"role": r, "content": c} for r, c in zip(roles, pair, strict=True)]}
        for pair in pairs
    ]


def in_parts(pairs: Pairs) -> list[Any]:
    turns = spoken(pairs)
    for row in turns:
        for turn in row["messages"]:
            words = turn["content"]
            parts = (words[:1], words[1:])
            turn["content"] = [{"type": "text", "text": part} for part in parts]
    return turns


def parquet(pairs: Pairs) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    written = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows(pairs)), written)
    return written.getvalue()


def zstandard(pairs: Pairs) -> bytes:
    import pyarrow as pa

    written = pa.BufferOutputStream()
    with pa.CompressedOutputStream(written, "zstd") as stream:
        stream.write(table(pairs))
    return bytes(written.getvalue())


FILES: Mapping[str, tuple[str, Callable[[Pairs], bytes]]] = {
    "CSV": ("train.csv", table),
    "CSV, all in quotes": ("train.csv", lambda pairs: table(pairs, quoting=csv.QUOTE_ALL)),
    "tab-separated": ("train.tsv", lambda pairs: table(pairs, separator="\t")),
    "JSON lines": ("train.jsonl", lambda pairs: lines(rows(pairs))),
    "a JSON list": ("train.json", lambda pairs: json.dumps(rows(pairs), indent=1).encode()),
    "Parquet": ("train.parquet", parquet),
    "Zstandard": ("train.csv.zst", zstandard),
}
SHAPES: Mapping[str, Mapping[str, Any]] = {
    "as TRL has it": {},
    "by templates": {"prompt_template": "{prompt}", "completion_template": "{completion}"},
    "by columns": {"dataset_columns": {"prompt": "prompt", "completion": "completion"}},
}
PLACES = ("on disk", "as a stream", "in a mixture")


@dataclass(frozen=True)
class Reader:
    """The decoded token ids of a trainer, for a file and its config."""

    place: Path
    trainer: Any
    numbers: Iterator[int] = field(default_factory=count)

    def __call__(self, name: str, body: bytes, **config: Any) -> list[str]:
        from finetune_trainer.ranks.data import prepare_data

        folder = self.place / str(next(self.numbers))
        folder.mkdir()
        file = folder / name
        file.write_bytes(body)
        given = {key: value(file) if callable(value) else value for key, value in config.items()}
        data = prepare_data(arguments(folder, file, **given)).dataset["train"]
        trainer, tokenizer = self.trainer, self.trainer.processing_class
        tokens = trainer._prepare_dataset(data, tokenizer, trainer.args, False, None, "train")
        return [self._decoded(row["input_ids"]) for row in tokens]

    def through(self, text: str) -> str:
        """The text after the tokenizer: some bytes are not in SmolLM2's vocabulary."""
        return self._decoded(self.trainer.processing_class(text)["input_ids"])

    def _decoded(self, tokens: list[int]) -> str:
        tokenizer = self.trainer.processing_class
        text: str = tokenizer.decode(tokens, clean_up_tokenization_spaces=False)
        return text


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Reader:
    place = tmp_path_factory.mktemp("texts")
    return Reader(place, prepare(place, tiny_model, rows([("When?", "At 7.")])).trainer)


@pytest.mark.parametrize(
    ("kind", "shape", "place"),
    [
        *((kind, "as TRL has it", "on disk") for kind in FILES),
        *(("CSV", shape, "on disk") for shape in SHAPES if shape != "as TRL has it"),
        *((kind, "as TRL has it", place) for kind in ("CSV", "JSON lines") for place in PLACES[1:]),
    ],
)
def test_every_text_that_resembles_another_type_is_trained_unchanged(
    kind: str, shape: str, place: str, read: Reader
) -> None:
    name, write = FILES[kind]
    words = LOOKS_LIKE_SOMETHING_ELSE
    pairs = [(f"{word}?", word) for word in words] + [(word, f"{word}.") for word in words]

    found = read(name, write(pairs), **SHAPES[shape], **_where(place))

    assert found == [f"{prompt}{completion}{END}" for prompt, completion in pairs]


@pytest.mark.parametrize("place", PLACES)
@given(pairs=TABLES, kind=st.sampled_from(list(FILES)), shape=st.sampled_from(list(SHAPES)))
def test_token_ids_of_any_table_decode_to_the_texts_of_the_file(
    place: str, read: Reader, pairs: list[Pair], kind: str, shape: str
) -> None:
    name, write = FILES[kind]

    found = read(name, write(pairs), **SHAPES[shape], **_where(place))

    assert found == [read.through(f"{prompt}{completion}{END}") for prompt, completion in pairs]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("write", [spoken, in_parts], ids=["as texts", "in parts"])
@given(pairs=TABLES)
def test_every_turn_of_any_conversation_is_trained_as_written_in_the_file(
    place: str, write: Callable[[Pairs], list[Any]], read: Reader, pairs: Pairs
) -> None:
    found = read("train.jsonl", lines(write(pairs)), **_where(place))

    turns = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n{}<|im_end|>\n"
    system = (
        "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face"
    )
    whole = [f"{system}{END}\n{turns.format(*pair)}" for pair in pairs]
    assert found == [read.through(text) for text in whole]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(b'{"prompt": "a", "completion": 1.10}', "a1.10", id="a number"),
        pytest.param(b'{"prompt": "a", "completion": 1E5}', "a1E5", id="a number with an exponent"),
        pytest.param(b'{"prompt": -0, "completion": true}', "-0true", id="zero, and a truth value"),
        pytest.param(
            b'{"prompt": 123456789012345678901234567890, "completion": "a"}',
            "123456789012345678901234567890a",
            id="a number that is too large for a machine",
        ),
        pytest.param(
            b'{"prompt": "1.10", "completion": 2.50}\n{"prompt": 3.0, "completion": "007"}',
            "1.102.50",
            id="numbers among texts",
        ),
    ],
)
def test_a_json_value_is_trained_as_spelled_in_the_file(
    body: bytes, expected: str, read: Reader
) -> None:
    assert read("train.jsonl", body + b"\n")[0] == f"{expected}{END}"


def test_a_tool_call_argument_keeps_all_its_digits(tmp_path: Path) -> None:
    from finetune_trainer.ranks.data import prepare_data

    arguments_of_call = {"x": 52.520008123456789, "y": 1e-12, "n": 12345678901234567890123}
    calls = [{"type": "function", "function": {"name": "f", "arguments": arguments_of_call}}]
    turns = [{"role": "user", "content": "Where?"}, {"role": "assistant", "tool_calls": calls}]
    file = tmp_path / "train.jsonl"
    file.write_bytes(lines([{"messages": turns}]))

    (row,) = prepare_data(arguments(tmp_path, file)).dataset["train"]

    assert row["messages"][1]["tool_calls"] == calls


def test_parquet_integers_are_trained_as_their_digits(
    read: Reader,
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    written = io.BytesIO()
    pq.write_table(pa.table({"prompt": ["a", "b"], "completion": [7, 2**60]}), written)

    assert read("train.parquet", written.getvalue()) == [f"a7{END}", f"b{2**60}{END}"]


def _where(place: str) -> Mapping[str, Any]:
    """The keys for a place; the writer of the file fills in the path."""
    match place:
        case "as a stream":
            return {"dataset_streaming": True, "max_steps": 1}
        case "in a mixture":
            return {"dataset_name": None, "datasets": lambda file: [{"path": str(file)}]}
    return {}
