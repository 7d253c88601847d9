# SPDX-License-Identifier: Apache-2.0
"""The columns that each `dataset_format` reads, and those that a template names. No I/O here.

The trainer and the checks both use these tables; neither has a list of its own.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from string import Formatter

DATA_SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".txt", ".arrow")
"""Kinds of files that the trainer reads; JSON lines, CSV and text also compressed."""

_NEVER_COMPRESSED = (".parquet", ".arrow")
"""They are compressed internally."""

COMPRESSIONS = (".gz", ".bz2", ".xz", ".zst")

_AS_CSV = "save each sheet as a CSV file with a header, and name that"
_UNPACKED = "unpack it, and name the directory or the file that is in it"
_COMPRESSED = "unpack it, or compress it with gzip, bzip2, xz or zstandard"
_AS_LINES = "write its rows as JSON lines, a file that ends in .jsonl"
_AS_TEXT = "write its text as .txt, one line for each row, or as JSON lines"

OTHER_FILES: Mapping[str, tuple[str, str]] = {
    **dict.fromkeys((".xlsx", ".xls", ".xlsm", ".ods"), ("a spreadsheet", _AS_CSV)),
    **dict.fromkeys((".zip", ".tar", ".tgz", ".tar.gz", ".7z", ".rar"), ("an archive", _UNPACKED)),
    **dict.fromkeys((".docx", ".doc", ".pdf", ".html", ".md"), ("a document", _AS_TEXT)),
    **dict.fromkeys((".pkl", ".pickle", ".pt"), ("a pickle, which may run code", _AS_LINES)),
    **dict.fromkeys((".db", ".sqlite", ".sqlite3", ".duckdb"), ("a database", _AS_LINES)),
    **dict.fromkeys((".yaml", ".yml", ".toml", ".xml"), ("not a table of rows", _AS_LINES)),
    **dict.fromkeys((".avro", ".orc", ".feather", ".h5", ".hdf5", ".npy", ".npz", ".tfrecord"),
                    ("a table in an unsupported format", _AS_LINES)),
    **dict.fromkeys((".lz4", ".br", ".snappy", ".lzma", ".z"),
                    ("compressed in an unsupported format", _COMPRESSED)),
    **dict.fromkeys(
        tuple(f"{kind}{packed}" for kind in (".parquet", ".arrow") for packed in COMPRESSIONS),
        ("a compressed table in a format that is only supported uncompressed", _UNPACKED)),
    **dict.fromkeys((".bin", ".idx"), ("data that another trainer has tokenized", _AS_LINES)),
}  # fmt: skip
"""Suffixes of common data files that are not supported -> the kind of file, and the alternative."""

TRL_COLUMNS = ("messages", "prompt", "completion", "text", "tools", "image", "images")
"""The columns for `dataset_columns` without a `dataset_format`: TRL's own columns."""

KEPT_COLUMNS = ("tools", "image", "images", "chat_template_kwargs")
"""The columns that TRL reads in addition to a conversation or a prompt; every format keeps them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """The columns that a `dataset_format` reads."""

    needed: tuple[str, ...]
    also: tuple[str, ...] = ()
    """Columns that are read if the data has them."""

    @property
    def columns(self) -> tuple[str, ...]:
        return (*self.needed, *self.also)


FORMATS: Mapping[str, Format] = {
    "alpaca": Format(needed=("instruction", "output"), also=("input", "system", "history")),
    "sharegpt": Format(needed=("conversations",), also=("system",)),
    "question_answer": Format(needed=("question", "answer"), also=("system",)),
    "pairs": Format(needed=("pair",)),
}


_COLUMN = re.compile(r"[^{}\[\]!:]+")


def columns_of_template(template: str) -> tuple[str, ...]:
    """The columns that a template names in braces, each once.

    Raises:
        ValueError: it is not a valid template; the message is for users.
    """
    literal = "write {{ and }} for literal braces"
    try:
        parts = list(Formatter().parse(template))
    except ValueError:
        raise ValueError(f"a template whose braces do not match: {literal}") from None
    names = []
    for _, name, form, conversion in parts:
        if name is None:
            continue
        if not name.strip():
            raise ValueError(
                f"empty braces, expected the name of a column in them, such as {{question}}: "
                f"{literal}"
            )
        if form or conversion or not _COLUMN.fullmatch(name):
            raise ValueError(f"{{{name}...}}, expected only the name of a column there: {literal}")
        names.append(name)
    return tuple(dict.fromkeys(names))


def fill_template(template: str, values: Mapping[str, str]) -> str:
    """The template with the values of its columns; for one that `columns_of_template` accepts."""
    filled = []
    for text, name, _, _ in Formatter().parse(template):
        filled.append(text)
        if name is not None:
            filled.append(values[name])
    return "".join(filled)


def suffix_of(name: str) -> str | None:
    """The suffix by which the trainer reads a data file, such as `.jsonl`; None without one."""
    low = name.lower()
    for compression in COMPRESSIONS:
        low = low.removesuffix(compression)
    found = next((suffix for suffix in DATA_SUFFIXES if low.endswith(suffix)), None)
    return found if found not in _NEVER_COMPRESSED or name.lower().endswith(found) else None


def why_not_read(name: str) -> tuple[str, str] | None:
    """The kind of an unsupported file, and the alternative; None if the file may be supported."""
    if suffix_of(name) is not None:
        return None
    low = name.lower()
    suffixes = sorted(OTHER_FILES, key=len, reverse=True)
    return next((OTHER_FILES[suffix] for suffix in suffixes if low.endswith(suffix)), None)


def unknown_file(name: str) -> tuple[str, str]:
    """The message for a file without a reader: the problem, and the alternative."""
    sentence = f"{name} has an unsupported file type"
    if (known := why_not_read(name)) is not None:
        return f"{sentence}: it is {known[0]}", known[1]
    return sentence, f"rename it according to its content: {', '.join(DATA_SUFFIXES)}"
