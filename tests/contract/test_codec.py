# SPDX-License-Identifier: Apache-2.0
"""The codec: one reader for all documents, which reports the position of an error."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_contract.codec import bounded_by, document_of, formerly, read, read_object
from finetune_contract.documents import InvalidDocument, parse_object, version_of
from finetune_contract.limits import MAX_DEPTH


class Colour(StrEnum):
    RED = "Red"
    BLUE = "Blue"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wheel:
    spoke_count: int
    width: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Car:
    name: str
    front_wheel: Wheel
    is_new: bool = False
    colour: Colour = Colour.RED
    price: float | None = None
    wheels: tuple[Wheel, ...] = ()
    size: tuple[int, int] = (0, 0)
    seats: list[str] = field(default_factory=list)
    prices: Mapping[str, float] = field(default_factory=dict)
    spares: Mapping[str, Wheel] = field(default_factory=dict)
    extras: Mapping[str, Any] = field(default_factory=dict)
    note: str = field(default="", metadata=bounded_by(lambda text: text[:3]))


LEAST = {"name": "n", "frontWheel": {"spokeCount": 3}}


def test_a_field_with_a_default_may_be_omitted() -> None:
    assert read_object(Car, LEAST) == Car(name="n", front_wheel=Wheel(spoke_count=3))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param({"sunroof": 1}, {}, id="a field of a newer writer is ignored"),
        pytest.param({"price": None, "isNew": None}, {}, id="null is as good as left out"),
        pytest.param({"price": 2}, {"price": 2.0}, id="an int is good enough for a float"),
        pytest.param({"colour": "Blue"}, {"colour": Colour.BLUE}, id="enum"),
        pytest.param({"size": [1, 2]}, {"size": (1, 2)}, id="pair"),
        pytest.param({"seats": ["a"]}, {"seats": ["a"]}, id="list"),
        pytest.param(
            {"wheels": [{"spokeCount": 1}]}, {"wheels": (Wheel(spoke_count=1),)}, id="tuple"
        ),
        pytest.param(
            {"spares": {"a b": {"spokeCount": 1}}},
            {"spares": {"a b": Wheel(spoke_count=1)}},
            id="names of a mapping are left as they are",
        ),
        pytest.param({"extras": {"a": [None]}}, {"extras": {"a": [None]}}, id="anything"),
        pytest.param({"note": "abcdef"}, {"note": "abc"}, id="cut before it is read"),
    ],
)
def test_a_field_is_parsed_by_its_type(given: dict[str, Any], expected: dict[str, Any]) -> None:
    car = read_object(Car, LEAST | given)

    assert car == Car(name="n", front_wheel=Wheel(spoke_count=3), **expected)
    assert type(car.price) in (float, type(None))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"name": None}, "car.name is missing"),
        ({"name": 1}, "car.name is int (1), expected str"),
        ({"frontWheel": {}}, "car.frontWheel.spokeCount is missing"),
        (
            {"frontWheel": {"spokeCount": "two"}},
            "car.frontWheel.spokeCount is str ('two'), expected int",
        ),
        (
            {"frontWheel": {"spokeCount": True}},
            "car.frontWheel.spokeCount is bool (True), expected int",
        ),
        (
            {"frontWheel": {"spokeCount": 2.0}},
            "car.frontWheel.spokeCount is float (2.0), expected int",
        ),
        ({"frontWheel": [3]}, "car.frontWheel is [3], expected an object"),
        ({"isNew": 1}, "car.isNew is int (1), expected bool"),
        ({"price": True}, "car.price is bool (True), expected float"),
        ({"price": "1"}, "car.price is str ('1'), expected float"),
        ({"price": 10**400}, f"car.price is int ({'1' + '0' * 59}), expected float"),
        ({"colour": "Green"}, "car.colour is 'Green', expected one of Red, Blue"),
        ({"colour": ["Red"]}, "car.colour is ['Red'], expected one of Red, Blue"),
        ({"wheels": {}}, "car.wheels is dict ({}), expected list"),
        ({"wheels": [{"spokeCount": 1}, None]}, "car.wheels[1] is None, expected an object"),
        (
            {"wheels": [{"spokeCount": 1}, {"spokeCount": 1, "width": "x"}]},
            "car.wheels[1].width is str ('x'), expected float",
        ),
        ({"size": [1]}, "car.size is list ([1]), expected list of 2"),
        ({"size": [1, "x"]}, "car.size[1] is str ('x'), expected int"),
        ({"seats": "ab"}, "car.seats is str ('ab'), expected list"),
        ({"prices": [1]}, "car.prices is [1], expected an object"),
        ({"prices": {"a": 1, "b": "x"}}, "car.prices.b is str ('x'), expected float"),
        ({"prices": {"b" * 99: "x"}}, f"car.prices.{'b' * 60} is str ('x'), expected float"),
        ({"spares": {"a": {"spokeCount": None}}}, "car.spares.a.spokeCount is missing"),
        ({"name": ["x" * 99]}, f"car.name is list (['{'x' * 58}), expected str"),
    ],
)
def test_an_error_is_reported_with_its_path(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidDocument) as raised:
        read_object(Car, LEAST | change, "car")

    assert str(raised.value) == sentence


def test_without_a_path_an_error_starts_with_its_field() -> None:
    with pytest.raises(InvalidDocument, match=r"^frontWheel\.spokeCount is missing$"):
        read(Car, '{"name": "n", "frontWheel": {}}', "car")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "car is not JSON: Expecting property name"),
        (b"\xff", "car is not JSON: "),
        ("[]", "car is list, expected an object"),
        ("null", "car is null, expected an object"),
        ('{"a": 1}' + " " * 100, "car has 108 bytes, expected at most 100"),
        ('{"a":' + "[" * 40 + "]" * 40 + "}", "car is nested more than 32 deep"),
        ("9" * 99 + "9", "car is int, expected an object"),
    ],
)
def test_text_that_is_not_a_document_is_refused(text: str | bytes, sentence: str) -> None:
    with pytest.raises(InvalidDocument) as raised:
        parse_object(text, "car", max_bytes=100)

    assert str(raised.value).startswith(sentence)


@pytest.mark.parametrize("opening", ["[", '{"a":', '[{"a":'])
def test_deeply_nested_text_is_refused_without_a_crash(opening: str) -> None:
    with pytest.raises(InvalidDocument, match=r"is nested more than 32 deep|is not JSON"):
        parse_object('{"a":' + opening * 200_000, "car")
    with pytest.raises(InvalidDocument, match=f"car is nested more than {MAX_DEPTH} deep"):
        parse_object('{"a":' + "[" * 200_000 + "]" * 200_000 + "}", "car")


def test_a_lone_surrogate_becomes_a_question_mark_and_complete_pairs_stay() -> None:
    document = parse_object(rb'{"\ud800": ["\uD83D\uDE00 \udc00", "\u00e9"]}', "car")

    assert document == {"?": ["\U0001f600 ?", "\u00e9"]}


@pytest.mark.parametrize("depth", [MAX_DEPTH - 1, MAX_DEPTH])
def test_depth_is_limited_and_breadth_is_not(depth: int) -> None:
    text = '{"wide":' + json.dumps([[]] * 100) + ',"deep":' + "[" * depth + "]" * depth + "}"

    if depth < MAX_DEPTH:
        assert len(parse_object(text, "car")["wide"]) == 100
        assert len(parse_object(text.encode(), "car")["wide"]) == 100
    else:
        with pytest.raises(InvalidDocument, match="deep"):
            parse_object(text, "car")


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        ({}, "version is missing"),
        ({"version": "1"}, "version is str ('1'), expected int"),
        ({"version": True}, "version is bool (True), expected int"),
    ],
)
def test_a_version_is_a_number(document: dict[str, Any], sentence: str) -> None:
    assert version_of({"version": 7}) == 7
    with pytest.raises(InvalidDocument) as raised:
        version_of(document)

    assert str(raised.value) == sentence


def test_an_unsupported_field_type_is_a_programming_error() -> None:
    @dataclass
    class Odd:
        name: bytes

    with pytest.raises(TypeError, match="reads no <class 'bytes'>"):
        read_object(Odd, {"name": "n"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Renamed:
    colour: Colour = field(metadata=formerly("paint"))


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        pytest.param({"paint": "Blue"}, Colour.BLUE, id="by its former name"),
        pytest.param({"colour": "Red", "paint": "Blue"}, Colour.RED, id="the new name goes first"),
        pytest.param({"colour": None, "paint": "Blue"}, Colour.BLUE, id="null is as left out"),
    ],
)
def test_a_renamed_field_is_read_by_either_name(document: dict[str, Any], expected: Colour) -> None:
    assert read_object(Renamed, document).colour is expected


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        pytest.param({}, "colour is missing", id="neither"),
        pytest.param({"paint": "Sky"}, "colour is 'Sky'", id="a wrong value by the former name"),
    ],
)
def test_an_invalid_renamed_field_is_reported_by_its_new_name(
    document: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(InvalidDocument, match=sentence):
        read_object(Renamed, document)


def test_a_renamed_field_is_written_by_its_new_name() -> None:
    assert document_of(Renamed(colour=Colour.RED)) == {"colour": "Red"}


def test_a_field_has_one_type_or_null() -> None:
    @dataclass
    class Either:
        name: str | int

    with pytest.raises(ValueError, match="too many values"):
        read_object(Either, {"name": "n"})


def test_fields_are_written_in_camel_case_and_nulls_can_be_omitted() -> None:
    car = Car(name="n", front_wheel=Wheel(spoke_count=3), colour=Colour.BLUE, size=(1, 2))

    document = document_of(car)

    assert document["frontWheel"] == {"spokeCount": 3, "width": 1.0}
    assert (document["colour"], document["size"], document["price"]) == ("Blue", [1, 2], None)
    assert "price" not in document_of(car, nulls=False)


WHEELS = st.builds(Wheel, spoke_count=st.integers(), width=st.floats(allow_nan=False))
CARS = st.builds(
    Car,
    name=st.text(),
    front_wheel=WHEELS,
    is_new=st.booleans(),
    colour=st.sampled_from(Colour),
    price=st.none() | st.floats(allow_nan=False),
    wheels=st.lists(WHEELS).map(tuple),
    size=st.tuples(st.integers(), st.integers()),
    seats=st.lists(st.text()),
    prices=st.dictionaries(st.text(), st.floats(allow_nan=False)),
    spares=st.dictionaries(st.text(), WHEELS),
    extras=st.dictionaries(st.text(), st.none() | st.integers() | st.lists(st.text())),
    note=st.text(max_size=3),
)


@given(CARS, st.booleans())
def test_a_written_document_is_read_back_unchanged(car: Car, nulls: bool) -> None:
    text = json.dumps(document_of(car, nulls=nulls))

    assert read(Car, text, "car") == car


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
WIRE = [
    "name", "frontWheel", "isNew", "colour", "price", "wheels", "size", "seats", "prices",
    "spares", "extras", "spokeCount",
]  # fmt: skip


@given(st.dictionaries(st.sampled_from(WIRE), JSON))
def test_any_input_is_a_car_or_refused_in_one_sentence(document: dict[str, Any]) -> None:
    try:
        read_car: object = read_object(Car, LEAST | document)
    except InvalidDocument as error:
        read_car = str(error)

    assert isinstance(read_car, Car) or len(str(read_car)) < 300
