"""Values at paths of JSON objects: as Python's own parser reads them, each text judged alone, nothing converted."""

from __future__ import annotations

import json
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings

from headrace.columnar.json_paths.scanner import JsonColumn, JsonColumns, JsonScan

COLUMNS = [
    JsonColumn(("id",), "string"),
    JsonColumn(("at",), "integer"),
    JsonColumn(("after", "amount"), "number"),
    JsonColumn(("after", "deep", "flag"), "boolean"),
    JsonColumn(("after",), "any"),
    JsonColumn(("é",), "number"),
]
READING = JsonColumns(COLUMNS)
REFUSED = {
    b"": "empty, at byte 0",
    b" ": "empty, at byte 1",
    b"[]": "not an object, at byte 0",
    b"null": "not an object, at byte 0",
    b"\xef\xbb\xbf{}": "not an object, at byte 0",
    b'{"a":1,}': "no JSON, at byte 7",
    b'{"a":[1,]}': "no JSON, at byte 8",
    b'{"a":01}': "no JSON, at byte 5",
    b'{"a":.5}': "no JSON, at byte 5",
    b'{"a":1.}': "no JSON, at byte 5",
    b'{"a":+1}': "no JSON, at byte 5",
    b'{"a":NaN}': "no JSON, at byte 5",
    b'{"a":-Infinity}': "no JSON, at byte 5",
    b"{'a':1}": "no JSON, at byte 1",
    b'{"a" 1}': "no JSON, at byte 5",
    b'{"a":1 "b":2}': "no JSON, at byte 7",
    b'{"a":1': "no JSON, at byte 6",
    b'{"a"': "no JSON, at byte 4",
    b'{"a":': "no JSON, at byte 5",
    b'{"a':  "a string with characters or escapes that JSON does not have, at byte 3",
    b'{"a":"\\x"}': "a string with characters or escapes that JSON does not have, at byte 6",
    b'{"a":"\\ud800"}': "a string with characters or escapes that JSON does not have, at byte 12",
    b'{"a":"\\udc00"}': "a string with characters or escapes that JSON does not have, at byte 6",
    b'{"a":"\n"}': "a string with characters or escapes that JSON does not have, at byte 6",
    b'{"a":"\xff"}': "no UTF-8, at byte 6",
    b'{"id":"x"}{"id":"y"}': "something behind the object, at byte 10",
    b'{"id":"x"} x': "something behind the object, at byte 10",
    b'{"id":5}': "`id` is not a text, which is due, at byte 6",
    b'{"at":"5"}': "`at` is not a whole number, which is due, at byte 6",
    b'{"at":1.0}': "`at` is written with a fraction or exponent, and a whole number is due, at byte 6",
    b'{"at":1e3}': "`at` is written with a fraction or exponent, and a whole number is due, at byte 6",
    b'{"at":9223372036854775808}': "`at` is a whole number beyond 64 bits, at byte 6",
    b'{"at":-9223372036854775809}': "`at` is a whole number beyond 64 bits, at byte 6",
    b'{"at":true}': "`at` is not a whole number, which is due, at byte 6",
    b'{"at":[1]}': "`at` is not a whole number, which is due, at byte 6",
    b'{"after":{"amount":"1"}}': "`after.amount` is not a number, which is due, at byte 19",
    b'{"after":{"amount":9007199254740993}}': "`after.amount` is a number that 64 bits would round or not hold",
    b'{"after":{"amount":1e999}}': "`after.amount` is a number that 64 bits would round or not hold",
    b'{"after":5}': "`after` is not an object, which is due, at byte 9",
    b'{"after":[]}': "`after` is not an object, which is due, at byte 9",
    b'{"after":{"deep":7}}': "`after.deep.flag` is not true or false, which is due, at byte 17",
    b'{"id":"a","id":"a"}': "`id` comes twice, at byte 10",
    b'{"id":"a","i\\u0064":"b"}': "`id` comes twice, at byte 10",
    b'{"after":{},"after":{}}': "`after` comes twice, at byte 12",
    b'{"x":' + b"[" * 64 + b"]" * 64 + b"}": "more than 64 levels of brackets, at byte 68",
    b'{"x":' + b"[" * 1_000_000: "more than 64 levels of brackets, at byte 68",
}  # fmt: skip  # one table


def read(*texts: bytes) -> JsonScan:
    """What is found in these."""
    return READING.scan(pa.array(texts, pa.binary()))


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: repr(text[:30]))
def test_a_text_that_is_none_is_refused_for_itself_alone(text: bytes) -> None:
    """Its neighbours are read, and the reason says which byte, in which field, and nothing of its content."""
    good = b'{"id":"before","at":1}', b'{"id":"behind","at":2}'
    found = read(good[0], text, good[1])
    assert found.rows.tolist() == [0, 2]
    assert found.columns[0].values.to_pylist() == ["before", "behind"]
    assert found.columns[1].values.to_pylist() == [1, 2]
    assert found.wrong == {1: REFUSED[text]}


def test_what_is_read_is_what_was_written() -> None:
    """The ends of 64 bits, escapes of every kind, floats to the last bit, keys with escapes, blanks anywhere."""
    text = ' {"id" :\t"q\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\u20ac\\ud83d\\ude00é€😀",\r\n'
    text += '"at":-9223372036854775808,"\\u00e9":-0.0 } '
    found = read(text.encode(), b'{"at":9223372036854775807,"after":{"amount":9007199254740992,"deep":{"flag":false}}}')
    assert found.wrong == {}
    assert found.columns[0].values[0].as_py() == 'q"\\/\b\f\n\r\té€😀é€😀'
    assert found.columns[1].values.to_pylist() == [-(1 << 63), (1 << 63) - 1]
    assert np.signbit(found.columns[5].values[0].as_py())
    assert found.columns[2].values[1].as_py() == 2.0**53
    assert found.columns[3].values[1].as_py() is False


def test_null_is_told_from_what_is_left_out() -> None:
    """A null object has null in all places beneath it; an empty one leaves them out."""
    states = read(b'{"after":null,"id":null}', b'{"after":{}}', b"{}", b'{"after":{"deep":null}}').columns
    told = {".".join(column.path): one.states.tolist() for column, one in zip(COLUMNS, states, strict=True)}
    assert told == {
        "id": [1, 0, 0, 0],
        "at": [0, 0, 0, 0],
        "after.amount": [1, 0, 0, 0],
        "after.deep.flag": [1, 0, 0, 1],
        "after": [1, 2, 0, 2],
        "é": [0, 0, 0, 0],
    }


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 70), 1 << 70) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
EVENTS = st.fixed_dictionaries(
    {},
    optional={
        "id": st.text(max_size=12) | ANYTHING,
        "at": st.integers(-(1 << 64), 1 << 64) | st.floats(allow_nan=False) | st.none(),
        "after": st.none()
        | st.fixed_dictionaries(
            {},
            optional={
                "amount": st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(1 << 60), 1 << 60),
                "deep": st.fixed_dictionaries({}, optional={"flag": st.booleans() | st.none(), "x": ANYTHING}),
                "other": ANYTHING,
            },
        )
        | ANYTHING,
        "more": ANYTHING,
    },
)


@settings(max_examples=150)
@given(st.lists(EVENTS, max_size=6), st.booleans(), st.sampled_from([None, 1]))
def test_objects_are_read_as_another_parser_reads_them(events: list[Any], ascii: bool, indent: int | None) -> None:
    """Whatever the values: equal to the last bit, or refused for a reason that Python's parser sees as well."""
    texts = [json.dumps(event, ensure_ascii=ascii, indent=indent).encode() for event in events]
    found = read(*texts)
    wanted = [[_cell(json.loads(text, parse_constant=_never), column) for column in COLUMNS] for text in texts]
    good = [row for row, cells in enumerate(wanted) if "refused" not in [cell[0] for cell in cells]]
    assert found.rows.tolist() == good
    assert sorted(found.wrong) == sorted(set(range(len(texts))) - set(good))
    for place, cells in enumerate(found.columns):
        for at, row in enumerate(good):
            state, value = wanted[row][place]
            assert ("absent", "null", "there")[cells.states[at]] == state
            if state == "there" and COLUMNS[place].kind != "any":
                assert cells.values[at].as_py() == value


def _never(word: str) -> object:
    return _NotJson


class _NotJson:
    """A number that JSON does not have."""


def _cell(event: Any, column: JsonColumn) -> tuple[str, Any]:
    """What is due at a path, by Python's own types."""
    if _holds_none(event):
        return "refused", None
    here = event
    for depth, name in enumerate(column.path):
        if here is None and depth:
            return "null", None
        if not isinstance(here, dict):
            return "refused", None
        if name not in here:
            return "absent", None
        here = here[name]
    if here is None:
        return "null", None
    match column.kind:
        case "string" if isinstance(here, str):
            return "there", here
        case "integer" if type(here) is int and -(1 << 63) <= here < 1 << 63:
            return "there", here
        case "number" if type(here) is float or (type(here) is int and int(float(here)) == here):
            return "there", float(here)
        case "boolean" if isinstance(here, bool):
            return "there", here
        case "any" if isinstance(here, dict):
            return "there", None
    return "refused", None


def _holds_none(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_holds_none, value.values()))
    return any(map(_holds_none, value)) if isinstance(value, list) else value is _NotJson


@settings(max_examples=100)
@given(st.binary(max_size=60), st.integers(0, 80), st.integers(0, 255))
def test_no_bytes_do_harm(noise: bytes, place: int, byte: int) -> None:
    """Whatever comes, its neighbours are read, and what is accepted Python's parser accepts as well."""
    good = b'{"id":"x","at":12,"after":{"amount":1.25,"deep":{"flag":true}},"s":"\\u00e9"}'
    changed = good[:place] + bytes([byte]) + good[place + 1 :]
    found = read(good, noise, good, changed, good)
    assert {0, 2, 4} <= set(found.rows.tolist())
    for row, text in ((1, noise), (3, changed)):
        if row in found.rows:
            assert isinstance(json.loads(text.decode()), dict)
