# SPDX-License-Identifier: Apache-2.0
"""Dataclasses as JSON objects and back, with the field's path in every error. No I/O here.

One policy for all documents: a field that the class does not have is ignored, so that a newer
writer can add some. A field with a default may be missing, and null counts as missing. A renamed
field is also read by its former name: it has `metadata=formerly(...)`. Irregular parts of a
document are handled in its class. Values that a pod may write without limit are cut before they are
read: such a field has `metadata=bounded_by(...)`.
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from functools import cache
from operator import attrgetter
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from finetune_contract.documents import InvalidDocument, kind_of, parse_object
from finetune_contract.limits import MAX_COUNT

Value = TypeVar("Value")
Read = Callable[[Any], Any]
"""Raises an InvalidDocument that begins with the rest of the path: ` is missing`, `.uid is ...`."""
Spell = Callable[[str], str]

_SCALARS = frozenset({str, int, float, bool})


def camel_case(name: str) -> str:
    """The name of `processes_per_node` on the wire: `processesPerNode`."""
    first, *others = name.split("_")
    return first + "".join(map(str.capitalize, others))


def bounded_by(bound: Read) -> dict[str, Read]:
    """Field metadata: `bound` returns the part to read of the raw value, of any type."""
    return {"bound": bound}


def first_of(count: int) -> dict[str, Read]:
    """Field metadata: the first items of a list, up to this number."""
    return bounded_by(lambda value: value[:count] if isinstance(value, list) else value)


def formerly(name: str) -> dict[str, str]:
    """Field metadata: the field's name on the wire in documents of an older writer."""
    return {"formerly": name}


def read(kind: type[Value], text: str | bytes, name: str, spell: Spell = camel_case) -> Value:
    """The document in a text; `spell` returns a field's name on the wire, `str` Python's own.

    Raises:
        InvalidDocument: a field is missing or mistyped, or the text is not a document.
    """
    return read_object(kind, parse_object(text, name), spell=spell)


def read_object(
    kind: type[Value], document: Any, path: str = "", spell: Spell = camel_case
) -> Value:
    """The document in a JSON value at this path.

    Raises:
        InvalidDocument: a field is missing or mistyped.
    """
    hint: Any = kind
    try:
        return _reader(hint, spell)(document)  # type: ignore[no-any-return] # of `kind`, as its reader is built
    except InvalidDocument as error:
        raise InvalidDocument(f"{path}{error}".removeprefix(".")) from None


def require_counts(value: Any, path: str = "") -> None:
    """
    Raises:
        InvalidDocument: an integer among the fields, or those of a part, is too large for an int64.
    """
    for field in fields(value):
        found, place = getattr(value, field.name), f"{path}.{camel_case(field.name)}"
        if is_dataclass(found):
            require_counts(found, place)
        elif type(found) is int and not -MAX_COUNT < found <= MAX_COUNT:
            named = place.removeprefix(".")
            raise InvalidDocument(f"{named} is {str(found)[:60]}, expected at most 2^62")


def document_of(value: Any, *, nulls: bool = True) -> dict[str, Any]:
    """The JSON object for a dataclass; without `nulls`, None is left out."""
    kind: Any = type(value)
    names, attributes, nested = _shape(kind)
    document = dict(zip(names, attributes(value), strict=True))
    for name in nested:
        document[name] = _written(document[name], nulls)
    return document if nulls else {name: it for name, it in document.items() if it is not None}


def _written(value: Any, nulls: bool) -> Any:
    # The frequent case comes first: a check of an abstract class is slow.
    kind: Any = type(value)
    if value is None or kind in _SCALARS:
        return value
    if kind is dict:
        return {name: _written(item, nulls) for name, item in value.items()}
    if kind is tuple or kind is list:
        return [_written(item, nulls) for item in value]
    if isinstance(value, Enum):
        return value.value
    if is_dataclass(kind):
        return document_of(value, nulls=nulls)
    return _written(dict(value), nulls) if isinstance(value, Mapping) else value


@cache
def _shape(kind: type) -> tuple[tuple[str, ...], Callable[[Any], Any], tuple[str, ...]]:
    """Names on the wire, the getter of their values, and the non-scalar names."""
    hints = _hints(kind)
    names = [field.name for field in fields(kind)]
    nested = [camel_case(name) for name in names if hints[name] not in _SCALARS]
    # For a single name, attrgetter returns no tuple.
    attributes = attrgetter(*names) if len(names) > 1 else lambda value: (getattr(value, *names),)
    return tuple(map(camel_case, names)), attributes, tuple(nested)


@cache
def _reader(hint: Any, spell: Spell) -> Read:
    """The reader for values of this type."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return lambda value: value
    if hint in _SCALARS:
        return _scalar_reader(hint)
    if origin in (tuple, list):
        length = len(arguments) if Ellipsis not in arguments and origin is tuple else None
        return _list_reader(origin, _reader(arguments[0], spell), length)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        is_free = arguments[1] is Any
        return _require_object if is_free else _mapping_reader(_reader(arguments[1], spell))
    if isinstance(hint, type) and issubclass(hint, Enum):
        return _enum_reader(hint)
    if is_dataclass(hint):
        return _object_reader(hint, spell)
    raise TypeError(f"the codec reads no {hint}")


def _mismatch(value: Any, expected: str) -> InvalidDocument:
    return InvalidDocument(f" is {kind_of(value)} ({value!r:.60}), expected {expected}")


def _scalar_reader(kind: type) -> Read:
    def read_scalar(value: Any) -> Any:
        # By type: a bool is an int in Python, but `"step": true` is an error.
        if type(value) is kind:
            return value
        if kind is float and type(value) is int:
            with suppress(OverflowError):
                return float(value)
        raise _mismatch(value, kind.__name__)

    return read_scalar


def _enum_reader(kind: type[Enum]) -> Read:
    members = {member.value: member for member in kind}

    def read_enum(value: Any) -> Any:
        if type(value) is not str or value not in members:
            raise InvalidDocument(f" is {value!r:.60}, expected one of {', '.join(members)}")
        return members[value]

    return read_enum


def _list_reader(kind: type, read_item: Read, length: int | None) -> Read:
    def read_list(value: Any) -> Any:
        if type(value) is not list or length not in (None, len(value)):
            raise _mismatch(value, f"list{'' if length is None else f' of {length}'}")
        try:
            return kind([read_item(item) for item in value])
        except InvalidDocument:
            raise _placed(enumerate(value), read_item, "[{}]") from None

    return read_list


def _mapping_reader(read_item: Read) -> Read:
    def read_mapping(value: Any) -> Any:
        _require_object(value)
        try:
            return {name: read_item(item) for name, item in value.items()}
        except InvalidDocument:
            raise _placed(value.items(), read_item, ".{:.60}") from None

    return read_mapping


def _placed(items: Iterable[tuple[Any, Any]], read_item: Read, place: str) -> InvalidDocument:
    """The first error with its position, searched only after an error."""
    for key, item in items:
        try:
            read_item(item)
        except InvalidDocument as error:
            return InvalidDocument(f"{place.format(key)}{error}")
    raise AssertionError("what could not be read can be read")


def _require_object(value: Any) -> Any:
    if type(value) is not dict:
        raise InvalidDocument(f" is {value!r:.60}, expected an object")
    return value


def _object_reader(kind: Any, spell: Spell) -> Read:
    hints = _hints(kind)
    parts = [
        (
            field.name,
            spell(field.name),
            hints[field.name] if hints[field.name] in _SCALARS and not field.metadata else None,
            _reader(hints[field.name], spell),
            field.metadata.get("bound"),
            field.metadata.get("formerly", ""),
            field.default is MISSING and field.default_factory is MISSING,
        )
        for field in fields(kind)
    ]

    def read_fields(value: Any) -> Any:
        document, known, wire = _require_object(value), {}, ""
        try:
            for attribute, wire, plain, read_field, bound, former, is_required in parts:
                found = document.get(wire)
                if found is None and former:
                    found = document.get(former)
                # Most fields are plain, and calls cost time.
                if type(found) is plain:
                    known[attribute] = found
                elif found is not None:
                    known[attribute] = read_field(bound(found) if bound else found)
                elif is_required:
                    raise InvalidDocument(" is missing")
        except InvalidDocument as error:
            raise InvalidDocument(f".{wire}{error}") from None
        return kind(**known)

    return read_fields


def _hints(kind: Any) -> dict[str, Any]:
    """The types of each field other than null, which counts as missing."""
    hints = get_type_hints(kind)
    for name, hint in hints.items():
        if get_origin(hint) in (Union, UnionType):
            (hints[name],) = (argument for argument in get_args(hint) if argument is not NoneType)
    return hints
