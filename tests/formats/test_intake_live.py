"""Producers' own topics on a real broker: any name, any key, any format, and each record has one fate."""

from __future__ import annotations

import json
import shutil
import signal
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer

from headrace.cli.options import channel_of
from headrace.cli.pipeline.lag import lag
from headrace.domain.models.store import ModelStore
from headrace.operations.history.trace import gather
from headrace.operations.progress import Silent
from headrace.operations.topics.file_publication import FileRows, prepare
from headrace.operations.topics.provisioning import provision
from headrace.operations.topics.topic_export import export_topic
from headrace.streaming.kafka.admin import Admin
from headrace.streaming.kafka.client import Producer
from headrace.streaming.process.settings import Settings
from tests.project import Project

WEB = Path(__file__).parent / "web"
COUNT, LABELS = 1_500, 100
START = 1_717_200_000_000


@pytest.fixture
def web(kafka: str, redis_server: str, pipeline_name: str, tmp_path: Path) -> Iterator[Project]:
    """A pipeline whose producers write JSON, under keys of their own, to topics of their own."""
    shutil.copytree(WEB, tmp_path / "source")
    path = tmp_path / "source" / "pipelines" / "web.yaml"
    path.write_text(path.read_text().replace("shop.", f"shop.{uuid.uuid4().hex[:8]}."))
    project = Project(path, pipeline_name, tmp_path / "project", kafka, redis_server, 3)
    yield project
    project.close()


def _create(web: Project) -> None:
    for feed in web.contracts.pipeline.feeds.values():
        Admin(web.bootstrap).create(feed.topic, 2, 1, {})


def test_a_topic_that_is_not_there_yet_is_waited_for(web: Project, capsys: pytest.CaptureFixture[str]) -> None:
    """Readiness says for which, `lag` too, and a member that waits can be stopped."""
    feed = web.contracts.pipeline.topic("events-feed")
    web.start("intake-0")
    web.await_readiness("intake-0", f"not ready: no topic {feed} yet")
    with pytest.raises(typer.Exit):
        lag(str(web.path), bootstrap=web.bootstrap)
    assert f"{feed} is not there yet" in capsys.readouterr().out
    assert web.stop("intake-0") == 0
    web.start("intake-0")
    _create(web)
    _write(web, feed, [json.dumps({"id": "e1", "at": START, "visitor": 1, "price": 2.0}).encode()])
    assert web.await_count("events", 1).num_rows == 1


def test_a_broker_of_ones_own_has_the_topics_of_producers(web: Project) -> None:
    """What `up` and the demo start with; a repeat does nothing."""
    settings = Settings(pipeline=str(web.path), bootstrap=web.bootstrap, schema_ids=web.directory / "ids.json")
    feeds = {feed.topic for feed in web.contracts.pipeline.feeds.values()}
    assert feeds <= set(provision(settings, 3).topics)
    assert Admin(web.bootstrap).topics()[feeds.pop()].partitions == 3
    assert provision(settings, 3).topics == ()


def test_records_of_strange_topics_are_taken_once_each(web: Project) -> None:
    """JSON under null and binary keys is keyed anew and has its features, also after a kill; bad ones are set apart.

    Labels come likewise, and what is read of them is what was written, with the zone that the file declares.
    """
    _create(web)
    events = [{"id": f"e{n}", "at": START + n * 1_000, "visitor": n % 7, "price": n / 4} for n in range(COUNT)]
    values = [json.dumps(event).encode() for event in events]
    bad = [b"{", b"[]", json.dumps({**events[0], "id": "late", "price": "4"}).encode(), b'{"id":"x"}']
    outcome = {"returned": True, "at": "2024-06-01T14:30:00"}
    labels = [{"click": {"id": f"e{n}"}, "outcome": outcome} for n in range(LABELS)]
    feed, returns = (web.contracts.pipeline.topic(logical) for logical in ("events-feed", "labels-feed"))
    _write(web, feed, values[:1_000] + bad)
    _write(web, returns, [json.dumps(label).encode() for label in labels])
    web.start("intake-0")
    web.await_count("events", 1_000)
    web.stop("intake-0", signal.SIGKILL)
    _write(web, feed, values[1_000:])
    web.start("intake-0")
    web.start("enrich-0")
    features = web.await_count("features", COUNT)
    letters = web.await_count("dead-letters", len(bad))
    found = {row["event_id"]: row["visitor"] for row in features.select(["event_id", "visitor"]).to_pylist()}
    assert found == {event["id"]: _visitor(events, n) for n, event in enumerate(events)}
    assert features.num_rows == COUNT
    assert letters.num_rows == len(bad)
    assert set(letters["topic"].to_pylist()) == {feed}
    assert set(letters["reason"].to_pylist()) == {"malformed"}
    assert any("`price` is not a number" in detail for detail in letters["detail"].to_pylist())
    settings = Settings(pipeline=str(web.path), bootstrap=web.bootstrap)
    store = ModelStore(str(web.directory / "models"), web.directory / "traced")
    traced = gather(settings, web.contracts, store, "late", None, None, lambda *_: None)
    assert [record.row["topic"] for record in traced.of("dead-letters")] == [feed]
    told = web.await_count("labels", LABELS).to_pylist()
    assert sorted(row["event_id"] for row in told) == sorted(label["click"]["id"] for label in labels)
    assert {(row["value"], row["label_time"].isoformat(), row["source"]) for row in told} == {
        (1.0, "2024-06-01T12:30:00+00:00", "warehouse")
    }
    table = pa.table({"id": ["f1", "f2"], "at": [START, START + 1], "visitor": [70, 71], "price": [1.5, 2.0]})
    pq.write_table(table, web.directory / "more.parquet")
    told = prepare(settings, web.contracts, FileRows(web.directory / "more.parquet"), threading.Event()).send(Silent())
    assert (told.topic, told.sent) == (feed, 2)
    web.await_count("events", COUNT + 2)
    table = pa.table({"click": ["f1"], "returned": [True], "at": ["2024-06-01T14:30:00+02:00"]})
    pq.write_table(table, web.directory / "truth.parquet")
    truth = FileRows(web.directory / "truth.parquet", "labels")
    assert prepare(settings, web.contracts, truth, threading.Event()).send(Silent()).topic == returns
    (own,) = (row for row in web.await_count("labels", LABELS + 1).to_pylist() if row["event_id"] == "f1")
    assert own["label_time"].isoformat() == "2024-06-01T12:30:00+00:00", "as labels: {time: at} says"
    channel = channel_of(web.contracts, feed)
    out = export_topic(web.connection, channel, None, None, web.directory / "feed.parquet", Silent())
    assert (out.records, out.unreadable) == (COUNT + 2, len(bad))


def test_a_log_of_several_partitions_is_read_in_the_order_of_its_events(web: Project) -> None:
    """Fifty hours without keys, spread by chance over one partition and in turns over another: none is late.

    Each event has the features that it would have had as it came, also where `intake` is killed on its way.
    """
    _create(web)
    events = [{"id": f"e{n}", "at": START + n * 120_000, "visitor": n % 7, "price": n / 4} for n in range(COUNT)]
    feed = web.contracts.pipeline.topic("events-feed")
    producer = Producer(web.connection)
    partitions = [int(n >= 500 and n % 3 != 0) for n in range(COUNT)]
    producer.send(feed, [None] * COUNT, [json.dumps(event).encode() for event in events], partitions=partitions)
    producer.flush()
    web.start("intake-0", HEADRACE_BATCH_ROWS="200")
    web.await_count("events", 300)
    web.stop("intake-0", signal.SIGKILL)
    web.start("intake-0", HEADRACE_BATCH_ROWS="200")
    web.start("enrich-0")
    features = web.await_count("features", COUNT)
    found = {row["event_id"]: row["visitor"] for row in features.select(["event_id", "visitor"]).to_pylist()}
    assert found == {event["id"]: _visitor(events, n) for n, event in enumerate(events)}
    assert web.await_count("dead-letters", 0).num_rows == 0


def _write(web: Project, topic: str, values: list[bytes]) -> None:
    """Records in one partition, under keys that mean nothing to headrace."""
    producer = Producer(web.connection)
    keys: list[Any] = [None if n % 2 else bytes([n % 251, 255]) for n in range(len(values))]
    producer.send(topic, keys, values, partitions=[0] * len(values))
    producer.flush()


def _visitor(events: list[dict[str, Any]], n: int) -> dict[str, float]:
    hour = events[n]["at"] - 3_600_000
    mine = [e for e in events[: n + 1] if e["visitor"] == events[n]["visitor"] and e["at"] > hour]
    return {"clicks_1h": len(mine), "spent_1h": pytest.approx(sum(e["price"] for e in mine))}
