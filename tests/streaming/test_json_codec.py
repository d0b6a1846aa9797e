"""Values as JSON: exact both ways, and what JSON or the schema cannot hold is refused, each record alone."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from headrace.errors import ContractError
from headrace.streaming.contracts.schemas import Schema, load_schema
from headrace.streaming.kafka.bindings import CODECS, Channel
from headrace.streaming.kafka.client import Message
from headrace.streaming.kafka.decode import take_in
from headrace.streaming.records.codec import Codec
from tests.streaming.tally import FixedIds


def field(name: str, kind: object, **more: object) -> dict[str, object]:
    """One field."""
    return {"name": name, "type": kind, "doc": name, **more}


INNER = {
    "type": "record",
    "name": "inner",
    "doc": "inner",
    "fields": [field("at", ["null", "long"]), field("by", "int")],
}
TIME = {"type": "long", "logicalType": "timestamp-millis"}
SCHEMA: Schema = load_schema(
    {
        "type": "record",
        "name": "event",
        "doc": "event",
        "fields": [
            field("id", "string"),
            field("whole", "long"),
            field("real", ["null", "double"], default=None),
            field("small", "float", default=0.5),
            field("when", TIME, default=0),
            field("day", ["null", {"type": "int", "logicalType": "date"}], default=None),
            field("raw", ["null", "bytes"], default=None),
            field("inner", ["null", INNER], default=None),
            field("times", {"type": "array", "items": TIME}, default=[]),
            field("map", {"type": "map", "values": "long"}, default={}),
        ],
    }
)


def codec() -> Codec:
    """The codec as bindings choose it."""
    return CODECS["json"]("t-value", SCHEMA, FixedIds(), 500)


def rows() -> pa.RecordBatch:
    """Records at the edges of their types."""
    least: dict[str, Any] = {"id": "", "whole": -(2**63), "small": 0.0, "when": datetime(1969, 1, 1, tzinfo=UTC)}
    told: list[dict[str, Any]] = [
        least | {"times": [], "map": []},
        {
            "id": 'é"\\\u2028\U0001f600\0',
            "whole": 2**63 - 1,
            "real": 0.1 + 0.2,
            "small": float(np.float32(0.1)),
            "when": datetime(2018, 4, 1, 0, 0, 0, 1000, tzinfo=UTC),
            "day": datetime(2018, 4, 1, tzinfo=UTC).date(),
            "raw": bytes(range(256)),
            "inner": {"at": 2**53 + 1, "by": -1},
            "times": [datetime(2018, 4, 1, tzinfo=UTC)] * 40,
            "map": [("a", 2**53 + 1), ("", 0)],
        },
        least | {"real": 5e-324, "inner": {"at": None, "by": 0}, "times": [], "map": []},
        least | {"real": -0.0, "times": [], "map": []},
    ]
    return pa.RecordBatch.from_pylist(told, schema=SCHEMA.arrow)


def message(value: bytes | None, offset: int) -> Message:
    """A record as the broker gives it."""
    return Message("p.events", 0, offset, b"k", value, timestamp=(1, 5))  # type: ignore[call-arg]  # its stubs lag behind


def test_exact() -> None:
    """A topic written as JSON is read to the same columns, bit for bit, and written the same again."""
    made = CODECS["json"]("p.events-value", SCHEMA, FixedIds(), 1_000_000)
    values = made.encode(rows())
    again = made.decode(values)
    assert again.columns.equals(rows())
    assert again.columns.schema.equals(SCHEMA.arrow)
    assert np.signbit(again.columns["real"][3].as_py())
    assert not again.bad
    assert made.encode(again.columns) == values
    assert json.loads(values[1])["whole"] == 2**63 - 1


BAD: list[tuple[bytes | None, str]] = [
    (None, "null_value"),
    (b"", "malformed"),
    (b"{", "malformed"),
    (b'{"id": "a", "whole": 1} x', "malformed"),
    (b"[1]", "malformed"),
    (b'{"id": "\xff", "whole": 1}', "malformed"),
    (b'{"id": "\\ud800", "whole": 1}', "malformed"),
    (b'{"id": "a"}', "malformed"),
    (b'{"id": "a", "whole": 1, "other": 2}', "malformed"),
    (b'{"id": "a", "whole": 1, "whole": 2}', "malformed"),
    (b'{"id": "a", "whole": 1.0}', "malformed"),
    (b'{"id": "a", "whole": true}', "malformed"),
    (b'{"id": "a", "whole": "1"}', "malformed"),
    (b'{"id": "a", "whole": 9223372036854775808}', "malformed"),
    (b'{"id": null, "whole": 1}', "malformed"),
    (b'{"id": "a", "whole": 1, "real": NaN}', "malformed"),
    (b'{"id": "a", "whole": 1, "real": 1e999}', "malformed"),
    (b'{"id": "a", "whole": 1, "real": 9007199254740993}', "malformed"),
    (b'{"id": "a", "whole": 1, "small": 1e39}', "malformed"),
    (b'{"id": "a", "whole": 1, "inner": {"at": 1, "by": 2, "of": 3}}', "malformed"),
    (b'{"id": "a", "whole": ' + b"9" * 450 + b"}", "malformed"),
    (b'{"id": "' + b"a" * 600 + b'", "whole": 1}', "oversize"),
]


@pytest.mark.parametrize(("value", "reason"), BAD)
def test_bad(value: bytes | None, reason: str) -> None:
    """A record that cannot be read exactly is refused by reason and place; its neighbours go on."""
    good = b'{"id": "a", "whole": 1}'
    taken = take_in(Channel("events", "p.events", codec()), [message(good, 3), message(value, 4), message(good, 5)])
    assert [(reject.offset, reject.reason) for reject in taken.rejects] == [(4, reason)]
    assert taken.rejects[0].detail
    assert taken.batch.offset.tolist() == [3, 5]
    assert taken.batch.columns["whole"].to_pylist() == [1, 1]
    assert taken.batch.columns["small"].to_pylist() == [0.5, 0.5]


def test_deep() -> None:
    """Brackets without end are refused, and cost no more than their bytes."""
    made = CODECS["json"]("p.events-value", SCHEMA, FixedIds(), 1_000_000)
    (bad,) = made.decode([b"[" * 900_000]).bad
    assert bad.reason == "malformed"


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_not_finite(number: float) -> None:
    """A number that JSON has no word for is not written."""
    at = SCHEMA.arrow.get_field_index("real")
    spoilt = rows().set_column(at, SCHEMA.arrow.field("real"), pa.array([number] * 4))
    with pytest.raises(ContractError, match="not finite"):
        codec().encode(spoilt)


def test_missing() -> None:
    """A column that is missing, or null without leave, is named."""
    with pytest.raises(ContractError, match="whole"):
        codec().encode(rows().select(["id"]))
    at = SCHEMA.arrow.get_field_index("whole")
    with pytest.raises(ContractError, match="whole"):
        codec().encode(rows().set_column(at, "whole", pa.nulls(4, pa.int64())))
