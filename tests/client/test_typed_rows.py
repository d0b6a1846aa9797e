"""Values of a program are what the schema says, or refused with row and field."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.client.typed_rows import typed_rows
from headrace.errors import ConfigurationError

SCHEMA = pa.schema(
    [
        pa.field("id", pa.int64(), False),
        pa.field("small", pa.int32()),
        pa.field("at", pa.timestamp("ms", tz="UTC")),
        pa.field("amount", pa.float64()),
        pa.field("flag", pa.bool_()),
        pa.field("text", pa.string()),
    ]
)


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({}, "row 1, id: it has no value"),
        ({"id": None}, "row 1, id: it has no value"),
        ({"id": True}, "row 1, id: True is a bool"),
        ({"id": "1"}, "row 1, id: '1' is a str"),
        ({"id": 1.0}, "row 1, id: 1.0 is a float"),
        ({"id": 2**63}, "row 1, id: 9223372036854775808 is no int64"),
        ({"id": 1, "small": 2**31}, "row 1, small: 2147483648 is no int32"),
        ({"id": 1, "amount": 2**53 + 1}, "too large to be a double exactly"),
        ({"id": 1, "amount": True}, "row 1, amount: True is a bool"),
        ({"id": 1, "amount": "2"}, "row 1, amount: '2' is a str"),
        ({"id": 1, "flag": 1}, "row 1, flag: 1 is a int"),
        ({"id": 1, "text": 5}, "row 1, text: 5 is a int"),
        ({"id": 1, "at": datetime(2026, 1, 1)}, "has no zone"),
        ({"id": 1, "at": "2026-01-01"}, "give a datetime with a zone"),
        ({"id": 1, "at": 1.5}, "give a datetime with a zone"),
        ({"id": 1, "amuont": 2.0}, "did you mean amount?"),
        ("id", "row 1: str is no mapping"),
    ],
)
def test_what_is_none_of_a_fields_type_is_refused_with_its_place(row: Any, why: str) -> None:
    """Nothing is bent: a whole number is no truth, a text no number."""
    with pytest.raises(ConfigurationError, match=why.replace("?", r"\?")):
        typed_rows([{"id": 0}, row], SCHEMA)


def test_times_are_moments_whatever_their_zone() -> None:
    """And numbers are milliseconds."""
    moment = datetime(2026, 12, 1, 5, 0, 0, 123_456, UTC)
    there = moment.astimezone(timezone(timedelta(hours=5, minutes=30)))
    before = datetime(1969, 12, 31, 23, 59, 59, 999_500, UTC)
    rows = [{"id": 1, "at": each} for each in (moment, there, 1_796_101_200_123, before)]
    found = typed_rows(rows, SCHEMA).column("at").cast(pa.int64()).to_pylist()
    assert found == [1_796_101_200_123] * 3 + [-1]


def test_numbers_of_numpy_are_numbers() -> None:
    """As long as they are of the kind that the schema has."""
    row = {"id": np.int32(4), "amount": np.float32(0.5), "small": np.uint8(3)}
    assert typed_rows([row], SCHEMA).to_pylist()[0] | {"id": 4} == {
        "id": 4, "small": 3, "at": None, "amount": 0.5, "flag": None, "text": None,
    }  # fmt: skip  # a row


@given(
    st.lists(
        st.fixed_dictionaries(
            {"id": st.integers(-(2**63), 2**63 - 1)},
            optional={
                "small": st.none() | st.integers(-(2**31), 2**31 - 1),
                "at": st.none() | st.integers(0, 2**41),
                "amount": st.none() | st.floats(allow_nan=False) | st.integers(-(2**53), 2**53),
                "flag": st.none() | st.booleans(),
                "text": st.none() | st.text(),
            },
        )
    )
)
def test_what_goes_in_comes_out(rows: list[dict[str, Any]]) -> None:
    """Whatever the mixture of values: the quick way and the slow one say the same."""
    found = typed_rows(rows, SCHEMA)
    again = [{**row, "at": row["at"] and int(row["at"].timestamp() * 1000)} for row in found.to_pylist()]
    for row, other in zip(rows, again, strict=True):
        assert all(other[name] == row.get(name) for name in SCHEMA.names if name != "at")
        assert other["at"] in (row.get("at"), None if row.get("at") is None else row["at"])
