"""The service on a real Kafka, where rules go by event time: a backfill is retrained as it would have been live."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from headrace.domain.control.drift import DriftOpened
from headrace.domain.control.retrain import RetrainAsked, RetrainIgnored, RetrainStarted
from headrace.streaming.kafka.client import Producer
from services.retrain.outcome_clock import OutcomeClock
from services.retrain.outcome_tail import OutcomeTail
from tests.project import _made_up
from tests.retrain.loop import MEMBER, Loop

SECTION = 'retrain: {on: [drift, schedule], schedule: "0 3 * * 1", cooldown: 1h, clock: events}'
SUNDAY, HOUR = 1_530_446_400_000, 3_600_000
"""2018-07-01, 12:00 UTC."""
MONDAY = SUNDAY + 15 * HOUR
"""At 3."""


@pytest.fixture
def loop(kafka: str, pipeline_name: str, tmp_path: Path) -> Iterator[Loop]:
    """A pipeline with a service that is not started yet."""
    made = Loop(pipeline_name, tmp_path / "p", kafka, SECTION)
    yield made
    made.close()


def outcome(loop: Loop, as_of: int, partition: int = 0) -> None:
    """An outcome comes, told as of a moment."""
    channel = loop.contracts.channel("outcomes")
    draw, schema = np.random.default_rng(1), channel.codec.reader.arrow
    rows = {each.name: _made_up(each.type, 1, draw) for each in schema}
    rows["as_of"] = pa.array([as_of]).cast(schema.field("as_of").type)
    producer = Producer(loop.connection)
    producer.send(channel.name, ["k"], channel.codec.encode(pa.RecordBatch.from_pydict(rows, schema)), [partition])
    producer.flush()


def said(loop: Loop, trigger: str) -> Any:
    """The answer to a trigger, once it is there."""
    loop.wait(lambda: trigger in loop.answers(), f"the answer to {trigger}")
    findings = [event.finding for event in loop.events()]
    return next(each for each in findings if getattr(each, "trigger", None) == trigger)


def test_schedule_and_cooldown_go_by_event_time(loop: Loop) -> None:
    """The Monday of eight years ago is due once outcomes have come as far; its cooldown ends with events, too."""
    outcome(loop, SUNDAY)
    loop.start(MEMBER)
    loop.say("t0", DriftOpened("i0", "shadow-predictions", SUNDAY, model="m@1"))
    assert (said(loop, "t0").rule, said(loop, "t0").at) == ("dark", SUNDAY)
    outcome(loop, MONDAY + HOUR, partition=1)
    loop.wait(lambda: "retrain_asked" in loop.kinds(), "what is due on Monday")
    (asked,) = (event for event in loop.events() if isinstance(event.finding, RetrainAsked))
    assert asked.finding.at == MONDAY
    assert asked.time > MONDAY + 8 * 365 * 24 * HOUR, "said today"
    begun = said(loop, asked.event_id)
    assert isinstance(begun, RetrainStarted)
    assert begun.at == MONDAY + HOUR
    (loop.jobs / "go").touch()
    loop.wait(lambda: "model_registered" in loop.kinds(), "the end of the training")

    loop.say("t1", DriftOpened("i1", "predictions", MONDAY + HOUR, model="m@1"))
    refused = said(loop, "t1")
    assert isinstance(refused, RetrainIgnored)
    assert (refused.rule, refused.until) == ("cooldown", MONDAY + 2 * HOUR)
    outcome(loop, MONDAY + 2 * HOUR)
    outcome(loop, SUNDAY)  # late: the clock does not go back
    loop.say("t2", DriftOpened("i2", "predictions", MONDAY + 2 * HOUR, model="m@1"))
    assert isinstance(said(loop, "t2"), RetrainStarted)
    assert said(loop, "t2").at == MONDAY + 2 * HOUR


def test_the_clock_is_the_newest_outcome(loop: Loop) -> None:
    """0 before there is one; of all partitions, and never back."""
    clock = OutcomeClock(loop.connection, loop.contracts.channel("outcomes"))
    assert clock.now() == 0
    outcome(loop, SUNDAY, partition=1)
    outcome(loop, SUNDAY - HOUR, partition=0)
    assert clock.now() == SUNDAY
    outcome(loop, SUNDAY - HOUR, partition=1)
    assert clock.now() == SUNDAY


def test_what_was_not_taken_to_the_end_comes_again(loop: Loop) -> None:
    """All of it, so that whoever counts is cut off in the middle, and still counts nothing twice."""
    tail = OutcomeTail(loop.connection, loop.contracts.channel("outcomes"))
    outcome(loop, SUNDAY, partition=0)
    outcome(loop, MONDAY, partition=1)
    cut = tail.come()
    assert next(cut).num_rows
    cut.close()
    assert sum(rows.num_rows for rows in tail.come()) == 2
    outcome(loop, MONDAY + HOUR, partition=1)
    assert [rows.num_rows for rows in tail.come()] == [1]
    assert not [*tail.come()]
