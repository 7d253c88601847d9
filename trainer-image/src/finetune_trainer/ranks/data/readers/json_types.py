# SPDX-License-Identifier: Apache-2.0
"""The types of a table's columns, from rows of JSON, and the values as they are stored.

Nothing is guessed from the look of a text. Values with different keys, such as turns of which one
calls a tool, are kept as JSON.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa
from datasets import Features, Json, LargeList, List, Value
from datasets.table import table_cast

from finetune_trainer.ranks.data.readers.json_rows import JsonRow, Spelled, plain, spelled
from finetune_trainer.ranks.data.readers.tables import BrokenData

TEXT = Value("string")
_ALIKE = "give all rows the same columns, with values of the same kind; null where one has none"
_INTEGERS = range(-(2**63), 2**63)
_EXACT = 2**53
"""Up to this value a float can represent every integer."""


class _DifferentTypes(Exception):
    """For values that no type of Arrow can represent unchanged."""


def table_of(rows: Sequence[JsonRow], features: Features | None) -> pa.Table:
    """The rows as a table with these types, or with their own if there are none yet.

    Raises:
        BrokenData: they have other columns, or values that do not fit the types.
    """
    columns = {name: [row.get(name) for row in rows] for name in dict.fromkeys(_names(rows))}
    if features is None:
        features = Features({name: type_of_column(values) for name, values in columns.items()})
    if surplus := next((name for name in columns if name not in features), None):
        raise BrokenData(f"a row has the column {surplus}, which the rows before it lack", _ALIKE)
    absent = [None] * len(rows)
    arrays = {
        name: _array(columns.get(name, absent), feature, name) for name, feature in features.items()
    }
    return table_cast(pa.table(arrays), features.arrow_schema)


def type_of_column(values: Sequence[Any]) -> Any:
    """Single values are texts; lists and objects have the types of their contents."""
    if not any(isinstance(value, list | dict) for value in values):
        return TEXT
    try:
        return _type_of(values)
    except _DifferentTypes:
        return Json()


def _type_of(values: Sequence[Any], *, in_object: bool = False) -> Any:
    present = [value for value in values if value is not None]
    if not present:
        return Value("null")
    if all(isinstance(value, list) for value in present):
        return List(_type_of([each for value in present for each in value], in_object=in_object))
    if all(isinstance(value, dict) for value in present):
        return _type_of_objects(present)
    if any(isinstance(value, list | dict) for value in present):
        raise _DifferentTypes
    return _type_of_scalars(present, in_object=in_object)


def _type_of_objects(objects: Sequence[JsonRow]) -> Any:
    names = set(objects[0])
    if not names or any(set(each) != names for each in objects):
        return Json()
    try:
        return {
            name: _type_of([each[name] for each in objects], in_object=True) for name in objects[0]
        }
    except _DifferentTypes:
        return Json()


def _type_of_scalars(values: Sequence[Any], *, in_object: bool) -> Any:
    kinds = {type(value) for value in values}
    if kinds == {str}:
        return TEXT
    if kinds == {bool}:
        return Value("bool")
    numbers = [plain(value) for value in values] if kinds == {Spelled} else []
    if numbers and (kind := _type_of_numbers(numbers)) is not None:
        return kind
    if in_object or str not in kinds:
        raise _DifferentTypes
    # A prompt and its completion, of which one is a number.
    return TEXT


def _type_of_numbers(numbers: Sequence[Any]) -> Any:
    """None if one is too large for a number of Arrow's."""
    if all(isinstance(number, int) and number in _INTEGERS for number in numbers):
        return Value("int64")
    if all(isinstance(number, int | float) and abs(number) <= _EXACT for number in numbers):
        return Value("float64")
    return None


def _array(values: Sequence[Any], feature: Any, name: str) -> pa.Array:
    kind = _storage(feature)
    try:
        if kind is None:
            return pa.array([plain(value) for value in values])
        return pa.array([_stored(value, feature) for value in values], kind)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        raise BrokenData(
            f"{name} does not have the same type in all rows ({error})", _ALIKE
        ) from error
    except UnicodeEncodeError as error:
        raise BrokenData(
            f"{name} contains an incomplete character: a surrogate without its pair",
            "write the complete character, or remove it",
        ) from error


def _storage(feature: Any) -> pa.DataType | None:
    """The type in which values are stored before they are cast; None for one that Arrow infers."""
    if isinstance(feature, Json):
        return pa.string()
    if isinstance(feature, List | LargeList):
        inner = _storage(feature.feature)
        return None if inner is None else pa.list_(inner)
    if isinstance(feature, dict):
        fields = {name: _storage(inner) for name, inner in feature.items()}
        return None if None in fields.values() else pa.struct(list(fields.items()))
    if isinstance(feature, Value):
        is_text = feature.dtype in ("string", "large_string")
        is_simple = is_text or feature.dtype in ("int64", "float64", "bool", "null")
        return feature.pa_type if is_simple else None
    return None


def _stored(value: Any, feature: Any) -> Any:
    if value is None:
        return None
    if isinstance(feature, Json):
        return json.dumps(plain(value), ensure_ascii=False)
    if isinstance(feature, List | LargeList):
        if not isinstance(value, list):
            raise BrokenData("a value where other rows have a list", _ALIKE)
        return [_stored(each, feature.feature) for each in value]
    if isinstance(feature, dict):
        return _stored_object(value, feature)
    if feature.dtype in ("string", "large_string"):
        return spelled(value)
    return plain(value)


def _stored_object(value: Any, feature: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BrokenData("a value where other rows have an object", _ALIKE)
    if surplus := next((name for name in value if name not in feature), None):
        raise BrokenData(f"an object has {surplus}, which those of the rows before it lack", _ALIKE)
    return {name: _stored(value.get(name), inner) for name, inner in feature.items()}


def _names(rows: Iterable[JsonRow]) -> Iterable[str]:
    return (name for row in rows for name in row)
