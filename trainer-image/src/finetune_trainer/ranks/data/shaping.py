# SPDX-License-Identifier: Apache-2.0
"""Rows in custom formats -> rows that TRL reads, for data on disk and for streams."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow.compute as pc
from accelerate import PartialState
from datasets import Dataset, Features, IterableDataset, Json, List, Value

from finetune_contract.reasons import Reason
from finetune_spec.config.parse.data_formats import FORMATS, KEPT_COLUMNS
from finetune_trainer.failures.errors import attempt_failed
from finetune_trainer.ranks.arguments.data import DataArguments
from finetune_trainer.ranks.data import columns, shapes
from finetune_trainer.ranks.data.images import undecoded
from finetune_trainer.ranks.data.texts import kind_of
from finetune_trainer.ranks.data.workers import Workers, alone

WHY = "why it is skipped"
"""A column that exists while rows are shaped."""

_TEXT = Value("string")
_TURNS = List({"role": _TEXT, "content": _TEXT})
_CALLING_TURNS = List(Json())
"""Turns with different keys, for example in the arguments of their calls."""

_FAMILIES = (("messages",), ("prompt", "completion"))
"""Columns that TRL reads together; next to others of TRL's own it would not read these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shaped:
    """A split in a format that TRL reads."""

    data: Dataset | IterableDataset
    dropped: Mapping[str, int] = field(default_factory=dict)
    """Rows that were left out, by reason; unknown for a stream."""
    unread: tuple[str, ...] = ()
    """Columns of the data that `dataset_format` does not read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shaping:
    """The config's keys about the format of the rows."""

    data: DataArguments
    text_field: str
    workers: Workers = alone
    wants_turns: bool = False
    """Whether a chat template is requested: prompts and completions become turns for it."""

    @property
    def columns(self) -> Mapping[str, str]:
        """TRL's column, or the format's -> the column of the data."""
        given = self.data.dataset_columns or {}
        return json.loads(given) if isinstance(given, str) else given

    @property
    def is_declared(self) -> bool:
        data = self.data
        return bool(data.dataset_format or data.prompt_template or data.dataset_columns)


def shape_split(data: Any, shaping: Shaping, split: str) -> Shaped:
    """The split without empty rows and rows on which TRL would fail.

    Raises:
        AttemptFailed: it has no format that the config or TRL defines.
    """
    first = next(iter(data), None)
    if first is None:
        raise attempt_failed(Reason.EMPTY_DATASET, f"the split {split} has no rows", "add examples")
    names = list(data.column_names or first)
    first = {name: first.get(name) for name in names}
    if shaping.is_declared:
        columns.require_declared(names, shaping.data, shaping.columns)
        rows = declared(shaping, first)
        shaped = _shape(data, rows, split, shaping.workers)
        return replace(shaped, unread=_unread(rows, names))
    columns.require_readable(first, shaping.text_field)
    if "input_ids" in names:
        return Shaped(data=data)
    if _is_of_roles(first.get("conversations")) and "messages" not in names:
        data = data.rename_column("conversations", "messages")
        names = ["messages" if name == "conversations" else name for name in names]
    if isinstance(data, Dataset) and not _needs_care(data, shaping.text_field):
        return Shaped(data=data)
    same = {name: name for name in names}
    return _shape(data, Rows(taken=same, text_field=shaping.text_field), split, shaping.workers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """The mapping of each row. A value, so that `datasets` recognizes it in its cache."""

    taken: Mapping[str, str]
    """Column of the shaped row, or of the format's -> column of the data."""
    text_field: str = "text"
    format: str | None = None
    templates: shapes.Templates | None = None
    speaks: bool = False
    """Whether a prompt and its completion become turns, for a chat template or a system message."""
    mixed: Mapping[str, bool] = field(default_factory=dict)
    """Columns with texts in some rows and conversations in others, and whether the first row's is
    one: only rows of the same kind are kept, because TRL reads all rows in the same way.
    """

    def __call__(self, row: shapes.Row) -> dict[str, Any]:
        try:
            return {**self._shaped(row), WHY: None}
        except shapes.Unfit as unfit:
            return {**dict.fromkeys(self.outputs), WHY: str(unfit)}

    def _shaped(self, row: shapes.Row) -> dict[str, Any]:
        named = {target: row.get(source) for target, source in self.taken.items()}
        kept = {name: named[name] for name in KEPT_COLUMNS if name in named}
        if self.templates is not None:
            shaped = self.templates({**row, **named})
        elif self.format is not None:
            shaped = shapes.FORMATS[self.format](named)
        else:
            shaped = shapes.sound(named, self.text_field)
            for name, has_turns in self.mixed.items():
                if isinstance(shaped.get(name), list) is not has_turns:
                    raise shapes.Unfit(f"{name} is {kind_of(shaped[name])}, unlike the first row's")
        spoken = shapes.as_turns(shaped) if self.speaks else shaped
        return {**kept, **spoken}

    @property
    def texts(self) -> tuple[str, ...]:
        """The columns of the data whose values are texts, or conversations."""
        if self.templates is not None:
            targets = self.templates.columns
        elif self.format is not None:
            targets = tuple(name for name in self.taken if name not in KEPT_COLUMNS)
        else:
            targets = (*shapes.SPOKEN, self.text_field)
        return tuple(self.taken.get(name, name) for name in targets)

    @property
    def outputs(self) -> tuple[str, ...]:
        if self.format is None and self.templates is None:
            return tuple(self.taken)
        made: tuple[str, ...] = ("prompt", "completion")
        if self.templates is None and self.format != "pairs":
            made = ("messages",)
        return (*made, *(name for name in KEPT_COLUMNS if name in self.taken))

    def feature(self, name: str, given: Features) -> Any:
        """The type of a resulting column."""
        if self.format is not None and name == "messages":
            return _CALLING_TURNS if self.format == "sharegpt" else _TURNS
        source = given.get(self.taken.get(name, ""))
        if self.mixed.get(name):
            return _CALLING_TURNS
        if name in ("prompt", "completion", self.text_field):
            is_text = self.format is not None or self.templates is not None
            if is_text or isinstance(source, Value | Json):
                is_spoken = self.speaks and name != self.text_field
                return _TURNS if is_spoken else _TEXT
        has_parts = name in shapes.SPOKEN and "image" not in given and "images" not in given
        return _CALLING_TURNS if has_parts and _has_parts(source) else source


def declared(shaping: Shaping, first: Mapping[str, Any]) -> Rows:
    data, mapping = shaping.data, shaping.columns
    kept = {name: name for name in KEPT_COLUMNS if name in first}
    speaks = bool(data.system_message) or shaping.wants_turns
    if data.prompt_template is not None:
        templates = shapes.Templates(
            prompt=data.prompt_template, completion=data.completion_template
        )
        own = {"completion": "completion"} if "completion" in first else {}
        return Rows(taken={**kept, **own, **mapping}, templates=templates, speaks=speaks)
    if data.dataset_format is not None:
        shape = FORMATS[data.dataset_format]
        own = {name: name for name in shape.columns if name in first}
        if data.dataset_format == "pairs" and not own:
            own = {"pair": next(iter(first))}
        taken = {**kept, **own, **mapping}
        return Rows(taken=taken, format=data.dataset_format, speaks=speaks)
    wanted = set(mapping) - set(KEPT_COLUMNS)
    family = next((names for names in _FAMILIES if wanted & set(names)), tuple(wanted))
    if not wanted:
        family = tuple(first)
    own = {name: name for name in family if name in first}
    return Rows(taken={**kept, **own, **mapping}, text_field=shaping.text_field, speaks=speaks)


def _unread(rows: Rows, names: Sequence[str]) -> tuple[str, ...]:
    """A template names its columns; a format has fixed ones."""
    return () if rows.format is None else tuple(sorted(set(names) - set(rows.taken.values())))


def _shape(data: Any, rows: Rows, split: str, workers_for: Workers) -> Shaped:
    names = list(data.column_names or next(iter(data)))
    options: dict[str, Any] = {"remove_columns": names}
    given = data.features
    data = undecoded(data)
    if given is not None:
        kinds = {name: given.get(name) for name in rows.texts}
        columns.require_texts(
            {name: kind.dtype for name, kind in kinds.items() if isinstance(kind, Value)}, split
        )
        rows = replace(rows, mixed=_mixed(rows, given, next(iter(data))))
        typed = {name: rows.feature(name, given) for name in rows.outputs}
        options["features"] = Features({**typed, WHY: _TEXT})
    if not isinstance(data, Dataset):
        shaped = data.map(rows, **options)
        return Shaped(data=shaped.filter(_is_fit).remove_columns(WHY))
    with PartialState().main_process_first():
        shaped = data.map(rows, desc=f"Shaping {split}", num_proc=workers_for(len(data)), **options)
    reasons = shaped.data.column(WHY)
    dropped = {
        str(each["values"]): each["counts"].as_py()
        for each in pc.value_counts(reasons)
        if each["values"].is_valid
    }
    if dropped and sum(dropped.values()) == len(shaped):
        raise _nothing_left(split, dropped)
    if dropped:
        shaped = shaped.select(pc.is_null(reasons).to_numpy().nonzero()[0])
    return Shaped(data=shaped.remove_columns(WHY), dropped=dropped)


def _mixed(rows: Rows, given: Features, first: Mapping[str, Any]) -> Mapping[str, bool]:
    if rows.format is not None or rows.templates is not None:
        return {}
    sources = {name: rows.taken.get(name, "") for name in (*shapes.SPOKEN, rows.text_field)}
    return {
        name: isinstance(first.get(source), list)
        for name, source in sources.items()
        if isinstance(given.get(source), Json)
    }


def _has_parts(kind: Any) -> bool:
    """Whether a column has conversations whose content is not a text, but a list of parts."""
    turn = getattr(kind, "feature", None)
    return isinstance(turn, Mapping) and isinstance(turn.get("content"), List)


def _is_fit(row: Mapping[str, Any]) -> bool:
    return row[WHY] is None


def _nothing_left(split: str, dropped: Mapping[str, int]) -> Exception:
    reasons = ", ".join(f"{reason} ({count} rows)" for reason, count in dropped.items())
    return attempt_failed(
        Reason.EMPTY_DATASET,
        f"no row of {split} can be trained on: {reasons}",
        "change the data as these reasons describe, or set dataset_columns to the intended columns",
    )


def _is_of_roles(turns: Any) -> bool:
    return (
        isinstance(turns, list)
        and bool(turns)
        and isinstance(turns[0], Mapping)
        and "role" in turns[0]
    )


def _needs_care(data: Dataset, text_field: str) -> bool:
    """Whether a row may have null where TRL requires a text, without reading each row."""
    if data.features.get("tools") == _TEXT:
        return True
    for name in (*shapes.SPOKEN, text_field):
        if name not in data.column_names:
            continue
        kind, column = data.features[name], data.data.column(name)
        if column.null_count or _may_be_empty(kind, column):
            return True
    return False


def _may_be_empty(kind: Any, column: Any) -> bool:
    if isinstance(kind, Value):
        return kind.dtype not in ("string", "large_string")
    turn = getattr(kind, "feature", None)
    if not isinstance(turn, Mapping):
        return True
    if pc.any(pc.equal(pc.list_value_length(column), 0)).as_py():
        return True
    contents = [name for name in ("content", "value") if name in turn]
    if any(turn[name] != _TEXT for name in contents):
        return True
    flat = pc.list_flatten(column)
    speakers = [name for name in ("role", "from") if name in turn]
    if not speakers or not contents:
        return True
    roles = pc.unique(pc.struct_field(flat, speakers[0])).to_pylist()
    if flat.null_count or not shapes.KNOWN_ROLES.issuperset(roles):
        return True
    return any(pc.struct_field(flat, name).null_count for name in contents)
