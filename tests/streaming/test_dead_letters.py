"""Dead letters: whole, said twice, never larger than can be sent; and the limit that stops a bad deploy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Message

from headrace.domain.pipeline.wiring import read_contracts
from headrace.streaming.kafka.bindings import Wiring
from headrace.streaming.process.settings import Settings
from headrace.streaming.records.batch import Reject
from headrace.streaming.records.dead_letters import LEAST, PREFIX, WINDOW, DeadLetterLimit, RejectShare, parcel
from headrace.streaming.task.transactions import Parcel

ROOT = Path(__file__).parents[2]
NOW = 1_700_000_000.5
SENDABLE = 8_000_000


@pytest.fixture(scope="module")
def wiring() -> Wiring:
    """That of enrich in the pipeline that comes with headrace."""
    settings = Settings(pipeline=str(ROOT / "pipelines/card_fraud.yaml"), member="m", code_version="abc")
    return read_contracts(settings).wiring("enrich", settings, "events")


def letters(wiring: Wiring, *records: Message) -> tuple[Parcel, list[dict[str, Any]]]:
    """The dead letters of records of partition 2, as sent and as read."""
    rejects = [Reject(2, record.offset() or 0, "strange", "it is strange") for record in records]
    made = parcel(wiring, rejects, records, NOW)
    decoded = wiring.dead_letters.codec.decode(made.values)
    assert decoded.bad == []
    return made, decoded.columns.to_pylist()


def record(offset: int = 5, **fields: Any) -> Message:
    """A record as it is polled."""
    whole: dict[str, Any] = {"key": b"k", "value": b"v", "headers": [("h", b"1"), ("h", None)], "timestamp": (1, 1234)}
    return Message(topic="card_fraud.events", partition=2, offset=offset, **{**whole, **fields})


def test_a_dead_letter_says_all_in_its_value(wiring: Wiring) -> None:
    """Record, place, reason and who refused it with which code."""
    _, (row,) = letters(wiring, record())
    assert {name: row[name] for name in ("topic", "partition", "offset", "key", "value")} == {
        "topic": "card_fraud.events", "partition": 2, "offset": 5, "key": b"k", "value": b"v",
    }  # fmt: skip
    assert row["headers"] == [{"key": "h", "value": b"1"}, {"key": "h", "value": None}]
    assert (row["reason"], row["detail"], row["service"]) == ("strange", "it is strange", "enrich")
    assert (row["group"], row["code_version"]) == ("card_fraud.enrich", "abc")
    assert (row["timestamp"].timestamp(), row["time"].timestamp()) == (1.234, NOW)


def test_a_dead_letter_says_all_in_its_headers(wiring: Wiring) -> None:
    """The record's own headers come first and unchanged; ours have Kafka Connect's names under our prefix, as text."""
    made, _ = letters(wiring, record())
    assert made.headers is not None
    assert made.headers[0][:2] == [("h", b"1"), ("h", None)]
    assert {name.removeprefix(PREFIX): value for name, value in made.headers[0][2:]} == {
        "topic": b"card_fraud.events",
        "partition": b"2",
        "offset": b"5",
        "exception.class.name": b"InvalidRecord",
        "exception.message": b"strange: it is strange",
        "consumer.group": b"card_fraud.enrich",
        "code.version": b"abc",
    }
    assert (made.keys, made.timestamps, made.source.tolist()) == ([b"k"], [1234], [2])
    assert made.topic == "card_fraud.dead-letters"


def test_nothing_is_kept_as_nothing(wiring: Wiring) -> None:
    """A null key and a null value are not empty ones; a record without a timestamp stands at the epoch."""
    _, rows = letters(
        wiring,
        record(5, key=None, value=None, headers=None, timestamp=(0, -1)),
        record(6, key=b"", value=b"", headers=[]),
    )
    assert [(row["key"], row["value"], row["headers"]) for row in rows] == [(None, None, []), (b"", b"", [])]
    assert rows[0]["timestamp"].timestamp() == 0


@pytest.mark.parametrize(
    ("fields", "kept", "told"),
    [
        ({"value": bytes(7_400_000)}, (b"k", bytes(7_400_000), 2), "it is strange"),
        ({"value": bytes(7_600_000)}, (b"k", None, 2), "its value of 7600000 bytes is too large to be kept here"),
        ({"value": bytes(10**8)}, (b"k", None, 2), "its value of 100000000 bytes is too large"),
        ({"key": bytes(4_000_000)}, (None, None, 0), "as are key and headers"),
        ({"headers": [("h", bytes(5_000_000))]}, (None, None, 0), "as are key and headers"),
        ({"headers": [("h" * 1000, None)] * 5_000}, (None, None, 0), "as are key and headers"),
        ({"key": bytes(1_000_000), "value": bytes(6_000_000)}, (bytes(1_000_000), None, 2), "its value of 6000000"),
    ],
)
def test_no_dead_letter_is_too_large_to_be_sent(
    wiring: Wiring, fields: dict[str, Any], kept: tuple[bytes | None, bytes | None, int], told: str
) -> None:
    """What does not fit is left out, value first, and the detail says so."""
    made, (row,) = letters(wiring, record(**fields))
    assert (row["key"], row["value"], len(row["headers"])) == kept
    assert told in row["detail"]
    assert made.headers is not None
    around = sum(len(name) + len(value or b"") + 20 for name, value in made.headers[0])
    assert len(made.values[0] or b"") + len(made.keys[0] or b"") + around < SENDABLE


class TestRejectShare:
    """The share of refused records among the last ten thousand."""

    def test_few_records_prove_nothing(self) -> None:
        """Below a thousand records no share stops a service."""
        RejectShare(0.1).note(LEAST - 1, LEAST - 1)

    def test_over_the_limit_it_stops(self) -> None:
        """At the limit all is well, above it is not; the message names numbers and the variable."""
        share = RejectShare(0.5)
        share.note(LEAST, LEAST // 2)
        with pytest.raises(DeadLetterLimit, match=r"501 of the last 1001 .* 50%.*HEADRACE_DEAD_LETTER_LIMIT"):
            share.note(1, 1)

    def test_a_limit_of_one_never_stops(self) -> None:
        """Who wants every record refused may have it."""
        RejectShare(1.0).note(WINDOW, WINDOW)

    def test_what_is_long_past_is_forgotten(self) -> None:
        """Neither a clean week hides a bad minute, nor a bad minute long ago adds to this one."""
        share = RejectShare(0.5)
        for _ in range(1_000):
            share.note(1_000, 0)
        for _ in range(5):
            share.note(1_000, 1_000)
        with pytest.raises(DeadLetterLimit):
            share.note(1_000, 1_000)
        share = RejectShare(0.5)
        share.note(900, 450)
        for _ in range(20):
            share.note(1_000, 500)
        assert share.records < WINDOW + 1_000

    def test_a_batch_larger_than_the_window(self) -> None:
        """It is judged by itself."""
        share = RejectShare(0.5)
        share.note(5_000, 2_500)
        with pytest.raises(DeadLetterLimit):
            share.note(20_000, 10_001)
        assert (share.records, share.refused) == (20_000, 10_001)
