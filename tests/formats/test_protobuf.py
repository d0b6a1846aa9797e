"""Protobuf as the official library reads it, or refused: messages that are cut, changed, merged, of another version."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings

from headrace.operations.topics.topic_plan import absent_feeds
from headrace.streaming.records.codec import Codec
from tests.formats import shop

CLICK, BARE = shop.message_class(), shop.message_class(texts=False)
CLICKS = st.builds(
    lambda name, visitor, price, agent, mobile, seen: _click(name, visitor, price, agent, mobile, seen),
    st.text(max_size=4),
    st.integers(-(1 << 63), (1 << 63) - 1),
    st.none() | st.floats(allow_nan=False),
    st.none() | st.text(max_size=4),
    st.none() | st.booleans(),
    st.lists(st.text(max_size=3), max_size=2),
)


def _click(
    name: str, visitor: int, price: float | None, agent: str | None, mobile: bool | None, seen: list[str]
) -> Any:
    message = CLICK(id=name, visitor=visitor, mobile=mobile, seen=seen)
    message.at.FromMilliseconds(1_717_200_000_000)
    if price is not None:
        message.basket.price = price
    if agent is not None:
        message.basket.agent.value = agent
        message.basket.agent.SetInParent()
    return message


@pytest.fixture(scope="module")
def codec(tmp_path_factory: pytest.TempPathFactory) -> Codec:
    """How clicks in Protobuf are read."""
    return shop.codec(tmp_path_factory.mktemp("protobuf"), "protobuf")


def read(value: bytes) -> dict[str, Any] | None:
    """A message as the official library reads it; None where that refuses it."""
    try:
        found = CLICK.FromString(value)
    except DecodeError:
        return None
    there = found.HasField("basket")
    return {
        "id": found.id,
        "visitor": found.visitor,
        "price": found.basket.price if there else None,
        "agent": found.basket.agent.value if there and found.basket.HasField("agent") else None,
        "mobile": found.mobile if found.HasField("mobile") else None,
    }


@settings(max_examples=150)
@given(CLICKS, CLICKS, st.data())
def test_what_is_read_is_what_the_official_library_reads(
    codec: Codec, one: Any, other: Any, data: st.DataObject
) -> None:
    """Whole messages, two that are merged because one follows the other, with unknown fields, with any byte changed."""
    first, second = one.SerializeToString(), other.SerializeToString()
    # Field 100 as a number, as bytes, and as a group with a field in it: nobody knows it.
    unknown = data.draw(st.sampled_from([b"\xa0\x06\x05", b"\xa2\x06\x02ab", b"\xa3\x06\x08\x01\xa4\x06"]))
    whole = first + second
    place = data.draw(st.integers(0, len(whole) - 1))
    changed = whole[:place] + bytes([data.draw(st.integers(0, 255))]) + whole[place + 1 :]
    values = [first, whole, first + unknown, unknown + second, changed, whole[:place]]
    found = codec.decode(values)
    rows = dict(zip(found.rows.tolist(), found.columns.to_pylist(), strict=True))
    assert {0, 1, 2, 3} <= set(rows)
    for row, value in enumerate(values):
        if row not in rows:
            continue
        BARE.FromString(value)  # It raises where the official library refuses it, whatever its texts are.
        if (wanted := read(value)) is not None:
            assert repr({name: rows[row][name] for name in wanted}) == repr(wanted)


@pytest.mark.parametrize(
    ("value", "detail"),
    [
        (b"\x00", "another message"),
        (b"\x0a", "ends too early, at byte 1"),
        (b"\x0a\x05ab", "`id` ends too early"),
        (b"\x0a\x02\xff\xfe", "`id` is no UTF-8"),
        (b"\x08\x01", "`id` is not written as its type is"),
        (b"\x1d\x00\x00\x00\x00", "`visitor` is not written as its type is"),
        (b"\x18" + b"\xff" * 10, "`visitor` is no Protobuf"),
        (b"\x12\x02\x10\xff", "`at` ends too early"),
        (b"\x12\x06\x10\x80\x94\xeb\xdc\x03", "`at` is beyond its type"),
        (b"\x03", "the message is no Protobuf"),
        (b"\xa3\x06" * 65, "more than 64 levels"),
        (b"\xa3\x06\xac\x06", "the message is no Protobuf"),
        (b"\xa4\x06", "the message is no Protobuf"),
        (b"\xa6\x06", "the message is no Protobuf"),
        (b"\x2a\x0b\x09" + b"\0" * 8, "ends too early"),
    ],
)
def test_bytes_that_are_none_are_refused_alone(codec: Codec, value: bytes, detail: str) -> None:
    """The field and the byte are told, and neighbours are read."""
    good = _click("x", 1, None, None, None, []).SerializeToString()
    found = codec.decode([good, value, good])
    assert found.rows.tolist() == [0, 2]
    assert detail in found.bad[0].detail


def test_what_is_written_is_read_again(codec: Codec) -> None:
    """By headrace and by the official library: nulls are not set, and each value is the same to the bit."""
    clicks = [_click("é", -5, 0.1, "a", False, []), _click("", 0, None, None, None, [])]
    columns = codec.decode([click.SerializeToString() for click in clicks]).columns
    written = codec.encode(columns)
    assert codec.decode(written).columns.equals(columns)
    assert [read(value) for value in written] == [read(click.SerializeToString()) for click in clicks]


def test_a_producers_topic_that_is_not_there_is_told(tmp_path: Path) -> None:
    """It is the producer's to create."""
    pipeline = shop.contracts(tmp_path, "protobuf").pipeline
    assert list(absent_feeds(pipeline, ["web.events"])) == ["shop.clicks"]
    assert not absent_feeds(pipeline, ["shop.clicks"])
