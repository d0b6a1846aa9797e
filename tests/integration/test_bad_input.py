"""Whatever strangers write lands in the dead letters, once and whole; their neighbours are predicted."""

from __future__ import annotations

import signal
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import confluent_kafka
import psutil
import pytest

from headrace.streaming.kafka.client import Consumer
from headrace.streaming.kafka.message import Message, TopicPartition
from headrace.streaming.process.main import LIMIT_REACHED
from headrace.streaming.records.dead_letters import PREFIX
from headrace.streaming.task.commitment import Commitment
from tests.integration import strange
from tests.integration.strange import Raw, hostile, publish, shipments, written
from tests.project import Project

Place = tuple[int, int]
HEADERS: list[tuple[str, bytes | None]] = [("trace", b"t1"), ("trace", b"t2"), ("none", None), ("bytes", b"\xff\x00")]


def freight(directory: Path, kafka: str, redis_server: str) -> Project:
    """A project about shipments, with a model."""
    source = strange.freight(directory / "source")
    project = Project(source, f"test_{uuid.uuid4().hex[:12]}", directory / "project", kafka, redis_server, 2)
    project.settings = {"HEADRACE_DEAD_LETTER_LIMIT": "1", "HEADRACE_CHECKPOINT_S": "1"}
    project.champion()
    return project


@pytest.fixture(scope="module")
def running(kafka: str, redis_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project with its three services running."""
    project = freight(tmp_path_factory.mktemp("freight"), kafka, redis_server)
    for member in ("enrich-0", "views-0", "score-0"):
        project.start(member)
    yield project
    project.close()


def dead(project: Project) -> dict[Place, dict[str, object]]:
    """Dead letters of the events topic by the place of the record they hold; fails when a record has two."""
    letters = [row for row in project.read("dead-letters").to_pylist() if row["topic"] == f"{project.name}.events"]
    places = [(int(row["partition"]), int(row["offset"])) for row in letters]
    assert [place for place, times in Counter(places).items() if times > 1] == []
    return dict(zip(places, letters, strict=True))


def same(one: list[tuple[str, bytes | None]] | None, other: list[tuple[str, bytes | None]] | None) -> bool:
    """Whether headers are equal, in order."""
    return (one or []) == (other or [])


def assert_whole(project: Project, events: dict[Place, Message], reasons: dict[Place, str]) -> None:
    """Each refused record has one dead letter, with its reason and every byte of it, in value and in headers."""
    letters = dead(project)
    assert {place: letter["reason"] for place, letter in letters.items()} == reasons
    carried = {}
    for message in written(project, "dead-letters").values():
        named = dict(message.headers() or [])
        if named[PREFIX + "topic"] == f"{project.name}.events".encode():
            carried[int(named[PREFIX + "partition"]), int(named[PREFIX + "offset"])] = message
    assert set(carried) == set(reasons)
    for place, letter in letters.items():
        source, message = events[place], carried[place]
        assert letter["key"] == source.key() == message.key()
        assert letter["value"] == source.value()
        assert [(header["key"], header["value"]) for header in letter["headers"]] == (source.headers() or [])
        assert int(letter["timestamp"].timestamp() * 1000) == source.timestamp()[1] == message.timestamp()[1]
        own = [(name, value) for name, value in message.headers() or [] if name.startswith(PREFIX)]
        assert same((message.headers() or [])[: -len(own)], source.headers())
        said = {name.removeprefix(PREFIX): value.decode() for name, value in own if value is not None}
        assert said["exception.class.name"] == "InvalidRecord"
        assert said["exception.message"] == f"{letter['reason']}: {letter['detail']}"
        assert said["consumer.group"] == letter["group"] == f"{project.name}.enrich"
        assert said["code.version"] == letter["code_version"] != ""
        assert len(str(letter["detail"])) < 300, "a detail explains, it does not carry the payload"


def find(events: dict[Place, Message], records: list[Raw], after: set[Place]) -> dict[Place, str]:
    """Where refused records lie among the events that are new, by their bytes, with their reasons."""
    wanted: dict[tuple[bytes | None, bytes | None], list[str]] = {}
    for raw in records:
        if raw.reason:
            wanted.setdefault((raw.key, raw.value), []).append(raw.reason)
    found = {}
    for place in sorted(set(events) - after):
        reasons = wanted.get((events[place].key(), events[place].value()))
        if reasons:
            found[place] = reasons.pop()
    assert not any(wanted.values()), "a record was not written"
    return found


def await_more(project: Project, predictions: int, dead_letters: int) -> None:
    """Wait until so many predictions and dead letters are readable."""
    project.await_count("predictions", predictions, between=project.revive)
    project.await_count("dead-letters", dead_letters, between=project.revive)


def mixed(good: list[Raw], bad: list[Raw]) -> list[Raw]:
    """Bad records strewn evenly among good ones."""
    step = len(good) // len(bad)
    rows: list[Raw] = []
    for at, one in enumerate(bad):
        rows += [*good[at * step : (at + 1) * step], one]
    return rows + good[len(bad) * step :]


def resident(project: Project) -> dict[str, int]:
    """Bytes of memory of each member."""
    return {member: psutil.Process(process.pid).memory_info().rss for member, process in project.processes.items()}


def test_each_kind_lands_once_and_whole(running: Project) -> None:
    """Every kind of bad record is a dead letter with its reason and all its bytes; the others are predicted, once."""
    good = shipments(running, 2_000)
    near = shipments(running, 1, 2_000, id="s2000" + "x" * 995, tags=["x" * 998_800])
    bad = [replace(raw, headers=HEADERS) for raw in hostile(running, 1_000, int(time.time() * 1000))]
    records = mixed(good, bad) + near
    publish(running, "events", records)
    await_more(running, 2_001, len(bad))
    events = written(running, "events")
    assert_whole(running, events, find(events, records, set()))
    ids = running.read("predictions")["event_id"].to_pylist()
    assert sorted(ids) == sorted([*(f"s{number}" for number in range(2_000)), "s2000" + "x" * 995])


@pytest.mark.faults
def test_kills_double_no_dead_letter(running: Project) -> None:
    """With every member killed in the middle, each bad record is one dead letter and each good one one prediction."""
    before, refused = set(written(running, "events")), running.count("dead-letters")
    answered = running.count("predictions")
    now = int(time.time() * 1000)
    bad = [
        raw for number in range(6) for raw in hostile(running, 10_000 + number, now) if len(raw.value or b"") < 10_000
    ]
    good = shipments(running, 3_000, 10_000)
    records = mixed(good, bad)
    part = len(records) // 6
    for number, member in enumerate(["enrich-0", "score-0", "enrich-0", "views-0", "enrich-0"]):
        publish(running, "events", records[number * part : (number + 1) * part])
        running.await_count("dead-letters", refused + 1 + number * 20, between=running.revive)
        running.stop(member, signal.SIGKILL)
        running.start(member)
    publish(running, "events", records[5 * part :])
    await_more(running, answered + len(good), refused + len(bad))
    events = written(running, "events")
    letters = dead(running)
    assert {place: letters[place]["reason"] for place in set(letters) - before} == find(events, records, before)
    ids = running.read("predictions")["event_id"].to_pylist()
    wanted = [f"s{number}" for number in range(10_000, 13_000)]
    assert sorted(set(ids) & set(wanted)) == wanted
    assert len(ids) == len(set(ids))


def test_every_service_refuses_what_it_cannot_read(running: Project) -> None:
    """Garbage on the topics between services is a dead letter of the group that read it; nothing stops."""
    refused, answered = running.count("dead-letters"), running.count("predictions")
    garbage = [Raw(b"k", b"\x00\x00\x00\x00\x01" + b"\xff" * 20), Raw(None, b"text"), Raw(b"k", None)]
    publish(running, "features", garbage)
    publish(running, "view.depot", garbage)
    publish(running, "events", shipments(running, 100, 20_000))
    await_more(running, answered + 100, refused + 2 * len(garbage))
    letters = [row for row in running.read("dead-letters").to_pylist() if not str(row["topic"]).endswith(".events")]
    found = Counter((row["group"].removeprefix(running.name), row["key"], row["value"]) for row in letters)
    groups = (".score", ".views.depot")
    assert found == Counter((group, raw.key, raw.value) for group in groups for raw in garbage)


def test_a_record_too_large_for_a_dead_letter(running: Project) -> None:
    """A record that only compression made small enough for its topic is refused by place, without its value."""
    refused, answered = running.count("dead-letters"), running.count("predictions")
    options = {"bootstrap.servers": running.bootstrap, "compression.type": "zstd", "message.max.bytes": 200_000_000}
    stranger = confluent_kafka.Producer(options)
    for size in (7_999_700, 40_000_000):
        stranger.produce(f"{running.name}.events", b"\x00" * size, b"k", headers=HEADERS)
    stranger.flush()
    publish(running, "events", shipments(running, 100, 25_000))
    await_more(running, answered + 100, refused + 2)
    letters = [
        row for row in running.read("dead-letters").to_pylist() if row["key"] == b"k" and row["reason"] == "oversize"
    ]
    assert [(row["value"], len(row["headers"])) for row in letters] == [(None, len(HEADERS))] * 2
    assert all("too large to be kept" in str(row["detail"]) for row in letters)


def test_memory_stays_bounded(running: Project) -> None:
    """Two thousand hostile records, fifty of them a megabyte long, take a bounded room, and as many again the same."""
    now = int(time.time() * 1000)
    kinds = [raw for raw in hostile(running, 30_000, now) if len(raw.value or b"") < 2_000_000]
    bad = (kinds * (2_000 // len(kinds) + 1))[:2_000]
    answered = running.count("predictions")
    publish(running, "events", shipments(running, 500, 30_000))  # Wakes every partition, so that late ones are late.
    running.await_count("predictions", answered + 500)
    sizes = [resident(running)]
    for _ in range(2):
        refused = running.count("dead-letters")
        publish(running, "events", bad)
        running.await_count("dead-letters", refused + len(bad))
        sizes.append(resident(running))
    for member, before in sizes[0].items():
        assert max(size[member] for size in sizes) - before < 256 << 20, sizes


def test_the_limit_stops_before_it_commits(kafka: str, redis_server: str, tmp_path: Path) -> None:
    """Too many bad records end enrich with exit code 3 and nothing of them committed; a raised limit lets it go on."""
    project = freight(tmp_path, kafka, redis_server)
    try:
        good, bad = shipments(project, 1_500), shipments(project, 1_500, 1_500, weight=-1.0)
        publish(project, "events", good[:1_400])
        project.start("views-0")
        process = project.start("enrich-0", HEADRACE_DEAD_LETTER_LIMIT="0.3", HEADRACE_BATCH_ROWS="100")
        project.await_count("features", 1_400)
        publish(project, "events", [*bad, *good[1_400:]])
        assert process.wait(60) == LIMIT_REACHED, project.logs()
        del project.processes["enrich-0"]
        admitted = {partition: commitment.admitted for partition, commitment in committed(project, "enrich").items()}
        events = written(project, "events")
        assert sum(admitted.values()) < len(good) + len(bad)
        stopped = dead(project)
        wrong = set(find(events, [replace(raw, reason="out_of_range") for raw in bad], set()))
        assert set(stopped) == {place for place in wrong if place[1] < admitted[place[0]]}
        assert project.count("features") == 1_400
        project.start("enrich-0")
        project.await_count("features", 1_500)
        project.await_count("dead-letters", len(bad))
        assert set(dead(project)) == wrong
    finally:
        project.close()


def committed(project: Project, service: str) -> dict[int, Commitment]:
    """Where a service's group stands, by partition."""
    topic = f"{project.name}.events"
    consumer = Consumer(project.connection, group=f"{project.name}.{service}")
    try:
        found = consumer.committed([TopicPartition(topic, partition) for partition in range(2)])
        return {place.partition: Commitment.read(place.offset, place.metadata) for place in found}
    finally:
        consumer.close()
