"""The same events in Avro, JSON, Protobuf, and as Debezium tells of rows: equal columns, or equal verdicts."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from headrace.streaming.records.codec import Codec
from tests.formats import shop

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
CLICK = shop.message_class()
WHOLE = st.integers(-(1 << 63), (1 << 63) - 1)
BASKETS = st.none() | st.fixed_dictionaries(
    {"price": st.floats(allow_nan=False, allow_infinity=False), "agent": st.none() | st.text(max_size=8)}
)
CLICKS = st.fixed_dictionaries(
    {
        "id": st.text(max_size=10),
        # Clocks of Paris show every hour of this summer once.
        "at": st.integers(1_714_521_600_000_000, 1_725_000_000_000_000),
        "visitor": WHOLE,
        "basket": BASKETS,
        "mobile": st.none() | st.booleans(),
    }
)


@pytest.fixture(scope="module")
def codecs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Codec]:
    """A codec for each form."""
    return {form: shop.codec(tmp_path_factory.mktemp(form), form) for form in shop.FORMS}


def written(click: dict[str, Any]) -> dict[str, bytes]:
    """A click in each form, by libraries that are not headrace's."""
    moment = EPOCH + timedelta(microseconds=click["at"])
    shown = moment.astimezone(ZoneInfo("Europe/Paris")).replace(tzinfo=None).isoformat()
    message = CLICK(id=click["id"], visitor=click["visitor"], mobile=click["mobile"])
    message.at.FromDatetime(moment)
    if (basket := click["basket"]) is not None:
        message.basket.price = basket["price"]
        message.basket.SetInParent()
        if basket["agent"] is not None:
            message.basket.agent.value = basket["agent"]
            message.basket.agent.SetInParent()
    change = {"before": None, "after": {**click, "at": shown}, "op": "c", "ts_ms": 1}
    return {
        "avro": shop.avro({**click, "at": moment, "hash": b"ab", "seen": ["a"]}),
        "json": json.dumps({**click, "more": [click]}).encode(),
        "protobuf": message.SerializeToString(),
        "debezium": json.dumps(change, ensure_ascii=False).encode(),
        "connect": json.dumps({"schema": {"type": "struct", "fields": [{"field": "op"}]}, "payload": change}).encode(),
    }


@settings(max_examples=60)
@given(st.lists(CLICKS, min_size=1, max_size=5))
def test_all_forms_of_an_event_are_one_event(codecs: dict[str, Codec], clicks: list[dict[str, Any]]) -> None:
    """Ends of 64 bits, floats to the last bit, texts of any characters, groups that are null: all the same columns."""
    forms = [written(click) for click in clicks]
    found = {form: codec.decode([each[form] for each in forms]) for form, codec in codecs.items()}
    for form, decoded in found.items():
        assert decoded.bad == [], form
        assert decoded.rows.tolist() == list(range(len(clicks)))
    rows = found["json"].columns.to_pylist()
    assert [row["id"] for row in rows] == [click["id"] for click in clicks]
    assert [row["visitor"] for row in rows] == [click["visitor"] for click in clicks]
    assert [row["at"] for row in rows] == [EPOCH + timedelta(milliseconds=click["at"] // 1000) for click in clicks]
    assert [row["price"] for row in rows] == [(click["basket"] or {}).get("price") for click in clicks]
    for form, decoded in found.items():
        assert repr(decoded.columns.to_pylist()) == repr(rows), form


@settings(max_examples=60)
@given(CLICKS, st.sampled_from(sorted(shop.FORMS)), st.data())
def test_whatever_becomes_of_a_record_its_neighbours_are_read(
    codecs: dict[str, Codec], click: dict[str, Any], form: str, data: st.DataObject
) -> None:
    """A byte that is changed, bytes that are cut off or nothing but noise: one record, one fate."""
    good = written(click)[form]
    place = data.draw(st.integers(0, len(good) - 1))
    changed = good[:place] + bytes([data.draw(st.integers(0, 255))]) + good[place + 1 :]
    values = [good, changed, good, good[:place], good, data.draw(st.binary(max_size=40)), good, None, good]
    found = codecs[form].decode(values)
    assert {0, 2, 4, 6, 8} <= set(found.rows.tolist())
    assert sorted([*found.rows.tolist(), *(bad.row for bad in found.bad)]) == list(range(len(values)))
    assert found.columns.num_rows == len(found.rows)
    wanted = found.columns.slice(0, 1).to_pylist()
    for at in (2, 4, 6, 8):
        assert repr(found.columns.slice(found.rows.tolist().index(at), 1).to_pylist()) == repr(wanted)
    assert {bad.reason for bad in found.bad} <= {
        "malformed", "null_value", "truncated", "wrong_magic", "unknown_schema", "trailing_bytes", "deleted"
    }  # fmt: skip  # one set


def test_a_record_without_its_key_time_or_id_is_refused_in_every_form(codecs: dict[str, Codec]) -> None:
    """Whatever the schema allows, an event has these three; the detail says which is not there."""
    message = CLICK(id="x", visitor=1)
    assert "`at` is null" in codecs["protobuf"].decode([message.SerializeToString()]).bad[0].detail
    for form, change in (("json", '{"id":"x","at":1,"visitor":null,"basket":null}'),):
        assert "`visitor` is null" in codecs[form].decode([change.encode()]).bad[0].detail
    missing = b'{"op":"c","after":{"at":"2024-06-01T10:00:00","visitor":1,"basket":null}}'
    assert "`after.id` is missing" in codecs["debezium"].decode([missing]).bad[0].detail


def test_framed_records_are_read_as_bare_ones(codecs: dict[str, Codec], tmp_path: Path) -> None:
    """A registry's header before JSON or Protobuf is stepped over; one that names another message is refused."""
    click = {"id": "x", "at": 5, "visitor": 1, "basket": None, "mobile": None}
    forms = written(click)
    for form, head in (("json", b"\0\0\0\1\x80"), ("protobuf", b"\0\0\0\1\x80\2\2")):
        found = codecs[form].decode([forms[form], head + forms[form]])
        assert found.bad == []
        assert found.columns.slice(0, 1).equals(found.columns.slice(1, 1))
    other = codecs["protobuf"].decode([b"\0\0\0\1\x80\0" + forms["protobuf"]])
    assert other.bad[0].reason == "unknown_schema"
