"""A pipeline with labels gets more partitions while half of its predictions wait: nothing lost, doubled or wrong."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from confluent_kafka.admin import AdminClient
from sklearn import metrics

from headrace.operations.topics.topic_plan import topics_of
from headrace.streaming.contracts.topic_changes import apply, plan
from headrace.streaming.kafka.admin import Admin
from headrace.streaming.kafka.client import Consumer
from headrace.streaming.kafka.message import TopicPartition
from tests.integration import bikes
from tests.integration.test_repartition import command
from tests.project import Project

CHANGES = {
    "    delay: 30s\n": "",
    "    max_age: 2s\n": "",
    "idle_after: 3s": "idle_after: 1s",
    "mean(electric)}": "mean(electric), full: mean(label)}",
    "labels: {id: trip, value: full}": "labels: {id: trip, value: full, matures_after: 1d}",
}
HALF = 300
NOBODY = 600
"""Labels of trips that nobody made: they say that time has passed."""
ALL = ("enrich-0", "views-0", "score-0", "labels-0", "scorecards-0")
GROUPS = ("enrich", "views.station", "labels", "scorecards")
STAMPED = ("events", "view.station", "exchange", "scorecard-parts", "outcomes")
Make = Callable[[], Project]


@pytest.fixture
def make(kafka: str, redis_server: str, tmp_path: Path) -> Iterator[Make]:
    """Makes the stranger's pipeline with labels, with topics of two partitions."""
    made: list[Project] = []

    def project() -> Project:
        source = bikes.source(tmp_path / "source", CHANGES)
        made.append(Project(source, f"test_{uuid.uuid4().hex[:12]}", tmp_path / "project", kafka, redis_server, 2))
        made[-1].settings = {
            "HEADRACE_BATCH_ROWS": "100",
            "HEADRACE_CHECKPOINT_S": "1",
            "HEADRACE_IDLE_AFTER_S": "1",
            "HEADRACE_PUBLISH_S": "1",
        }
        return made[-1]

    yield project
    for one in made:
        one.close()


def trips(number: int) -> pa.RecordBatch:
    """One half of the trips."""
    return bikes.trips(HALF, seed=70 + number, first=HALF * number)


def truth(number: int) -> float | None:
    """What becomes of a trip; of every tenth nobody ever says anything."""
    return None if number % 10 == 7 else float(number % 3 == 0)


def known_at(number: int, time_ms: int) -> int:
    """When it is known: of odd trips soon, of even ones of the first half when that is over."""
    if number % 2 == 0 and number < HALF:
        return bikes.START + HALF * 10_000 + number
    return time_ms + 5 * bikes.MINUTE


def labels(halves: list[pa.RecordBatch], odd: bool) -> pa.RecordBatch:
    """The labels of the odd, or of the even trips."""
    rows = []
    for half in halves:
        times = half["returned_at"].cast(pa.int64()).to_pylist()
        for name, at in zip(half["trip"].to_pylist(), times, strict=True):
            number = int(name.removeprefix("trip-"))
            value = truth(number)
            if value is not None and number % 2 == odd:
                rows.append((name, value, known_at(number, at)))
    return of_rows(sorted(rows, key=lambda row: row[2]))


def of_rows(rows: list[tuple[str, float, int]]) -> pa.RecordBatch:
    """Labels as records."""
    names, values, times = zip(*rows, strict=True)
    known = pa.array(times, pa.timestamp("ms", "UTC"))
    columns = {"event_id": pa.array(names), "value": pa.array(values), "label_time": known}
    return pa.RecordBatch.from_pydict({**columns, "source": pa.array(["test"] * len(rows))})


def passed() -> pa.RecordBatch:
    """Labels of nobody, two days later."""
    return of_rows([(f"nobody-{n}", 1.0, bikes.START + 48 * bikes.HOUR + n) for n in range(NOBODY)])


def first_half(project: Project) -> list[pa.RecordBatch]:
    """Answer the first half: outcomes of its odd trips, open predictions of the even ones, and early labels."""
    halves = [trips(0), trips(1)]
    project.champion()
    for member in ALL:
        project.start(member)
    project.publish(labels(halves, odd=True), "event_id", "labels")
    project.publish(halves[0], "rider")
    project.await_count("predictions", HALF)
    project.await_count("outcomes", labels(halves[:1], odd=True).num_rows)
    return halves


def grow(project: Project, partitions: int = 5) -> None:
    """As `headrace topics apply --allow-repartition` does."""
    admin = Admin(project.bootstrap)
    _, topics = topics_of(str(project.path), partitions, 1)
    apply(admin, plan(admin.topics(), topics, allow_repartition=True))


def stop_all(project: Project, how: signal.Signals) -> None:
    """Stop all members at once."""
    for member in list(project.processes):
        project.stop(member, how)


def second_half(project: Project, halves: list[pa.RecordBatch]) -> None:
    """The labels that were missing, and the other half of the trips; then time passes."""
    for member in (*ALL, "enrich-1", "labels-1", "scorecards-1"):
        project.start(member)
    project.publish(labels(halves, odd=False), "event_id", "labels")
    project.publish(halves[1], "rider")
    project.await_count("predictions", 2 * HALF)
    project.publish(passed(), "event_id", "labels")
    project.await_count("outcomes", 2 * HALF)


def assert_right(project: Project) -> None:
    """Each trip has one outcome with its label, and all windows of scorecards have counted each once."""
    outcomes = project.read("outcomes").to_pylist()
    told = {row["event_id"]: row for row in outcomes}
    assert len(outcomes) == len(told) == 2 * HALF
    for name, row in told.items():
        value = truth(int(name.removeprefix("trip-")))
        assert (row["state"], row["label"]) == ("unlabelled" if value is None else "labelled", value), name
        assert row["revision"] == 0, name
    assert_cards(project, told)
    assert_label_features(project)
    assert project.count("dead-letters") == 0


def assert_cards(project: Project, told: dict[str, dict[str, object]]) -> None:
    """The one day's card is mature, with each prediction once and the figures of scikit-learn."""
    end = time.monotonic() + 180
    while True:
        cards = [row for row in project.read("scorecards").to_pylist() if not row["segment"] and row["arm"]]
        newest = {row["window_start"]: row for row in sorted(cards, key=lambda row: row["time"])}
        if sum(row["outcomes"] for row in newest.values()) == len(told) and all(c["mature"] for c in newest.values()):
            break
        assert time.monotonic() < end, f"{newest}\n{project.logs()}"
        time.sleep(0.3)  # Asks the broker: there is no event to wait for.
    (card,) = newest.values()
    assert (card["predictions"], card["outcomes"], card["repeats"]) == (len(told), len(told), 0)
    figures = {figure["name"]: figure["value"] for figure in card["figures"]}
    labelled = [row for row in told.values() if row["label"] is not None]
    said, scores = (np.array([row[name] for row in labelled], float) for name in ("label", "score"))
    assert figures["auc_roc"] == pytest.approx(metrics.roc_auc_score(said, scores))
    assert figures["average_precision"] == pytest.approx(metrics.average_precision_score(said, scores))
    riders: dict[object, bool] = {}
    for row in told.values():
        riders[row["entity"]] = riders.get(row["entity"], False) or row["label"] == 1.0
    (precision,) = [name for name in figures if name.startswith("entity_precision_at_100")]
    assert len(riders) < 100
    assert figures[precision] == pytest.approx(sum(riders.values()) / len(riders))


def assert_label_features(project: Project) -> None:
    """Every trip saw the labels of its station that were known by its time, and all its other features."""
    rows = sorted(project.read("events").to_pylist(), key=lambda row: row["returned_at"])
    rows = list({row["trip"]: row for row in rows}.values())  # some were written twice, for they were moved
    times = np.array([row["returned_at"].timestamp() * 1000 for row in rows]).round().astype(np.int64)
    numbers = [int(row["trip"].removeprefix("trip-")) for row in rows]
    values = np.array([np.nan if (v := truth(n)) is None else v for n in numbers])
    known = np.array([known_at(n, int(t)) for n, t in zip(numbers, times, strict=True)])
    stations = np.array([row["station"] for row in rows])
    features = {row["event_id"]: row["station"] for row in project.read("features").to_pylist()}
    riders = {row["event_id"]: row["rider"] for row in project.read("features").to_pylist()}
    assert len(features) == len(rows) == project.count("features")
    for at, row in enumerate(rows):
        for name, length in (("10m", 10 * bikes.MINUTE), ("1h", bikes.HOUR)):
            window = (stations == row["station"]) & (times <= times[at]) & (times > times[at] - length)
            told = values[window & (known <= times[at]) & ~np.isnan(values)]
            wanted = told.mean() if len(told) else -1.0
            got = features[row["trip"]]
            assert got[f"full_{name}"] == pytest.approx(wanted), (row["trip"], name)
            assert got[f"returns_{name}"] == window.sum(), (row["trip"], name)
        mine = np.array([each["rider"] == row["rider"] for each in rows]) & (times <= times[at])
        assert riders[row["trip"]]["trips_30m"] == (mine & (times > times[at] - 30 * bikes.MINUTE)).sum(), row["trip"]


def committed(project: Project) -> dict[tuple[str, str, int], tuple[int, str | None]]:
    """All committed offsets of the pipeline's stateful groups, with what rides on them; whatever is on its way."""
    found = {}
    for group in GROUPS:
        consumer = Consumer(project.connection, group=f"{project.name}.{group}", isolation="read_uncommitted")
        for topic in (*STAMPED, "labels", "predictions", "shadow-predictions"):
            name = f"{project.name}.{topic}"
            places = [TopicPartition(name, number) for number in range(consumer.partitions(name))]
            for each in consumer.committed(places):
                found[group, topic, each.partition] = (each.offset, each.metadata)
        consumer.close()
    return found


def ends(project: Project, isolation: str) -> int:
    """Where the checkpoints end: records that are not committed yet count for one that reads uncommitted."""
    consumer = Consumer(project.connection, isolation=isolation)
    name = f"{project.name}.checkpoints"
    found = sum(consumer.watermarks(name, number)[1] for number in range(consumer.partitions(name)))
    consumer.close()
    return found


def kill_after(project: Project, records: int) -> int:
    """Kill `headrace repartition` once it has written so many checkpoints; its exit code."""
    argv = [sys.executable, "-m", "headrace.cli", "repartition", str(project.path), "--bootstrap", project.bootstrap]
    begun = ends(project, "read_uncommitted")
    process = subprocess.Popen(argv, env={**os.environ, "HEADRACE_REDIS": project.redis}, stdout=subprocess.DEVNULL)
    watching = Consumer(project.connection, isolation="read_uncommitted")
    name = f"{project.name}.checkpoints"
    numbers = range(watching.partitions(name))
    while process.poll() is None and sum(watching.watermarks(name, n)[1] for n in numbers) < begun + records:
        pass  # As quickly as the broker answers: it is to be hit in the middle.
    process.kill()
    watching.close()
    return process.wait(60)


@pytest.mark.slow  # a dozen processes start, twice, and the command five times
def test_labels_meet_their_predictions_after_a_growth(make: Make) -> None:
    """From 2 to 5 partitions with half of the predictions open: outcomes are complete, once, right; scorecards and
    features too; services that nobody moved stop with the remedy. Wherever the command is killed nothing has changed.
    """
    project = make()
    halves = first_half(project)
    stop_all(project, signal.SIGKILL)
    grow(project)
    for member in ("labels-0", "scorecards-0"):
        assert project.start(member).wait(120) == 2
        del project.processes[member]
    assert project.logs().count(f"headrace repartition {project.name}") >= 2
    before, killed = committed(project), 0
    for records in (1, 7, 13):
        if kill_after(project, records) == -signal.SIGKILL and committed(project) == before:
            killed += 1
    assert killed >= 1, "it was never hit in the middle"
    code, said = command(project)
    assert code == 0, said
    for topic in STAMPED:
        assert f"{project.name}.{topic}: 2 -> 5 partitions" in said
    code, again = command(project)
    assert (code, "nothing to move" in again) == (0, True), again
    second_half(project, halves)
    assert_right(project)


@pytest.mark.faults
@pytest.mark.slow  # as above
def test_an_error_in_the_middle_changes_nothing_and_leaves_nothing_open(make: Make) -> None:
    """What `labels` has not checkpointed fell out of the exchange: the command says what to allow, when others were
    moved already; their part of the transaction is gone with it, at once. Allowed, it goes on.
    """
    project = make()
    project.settings["HEADRACE_CHECKPOINT_S"] = "3600"
    first_half(project)
    stop_all(project, signal.SIGKILL)
    grow(project)
    before = committed(project)
    offset = before["labels", "exchange", 0][0]
    place = TopicPartition(project.contracts.channel("exchange").name, 0, offset)
    admin = AdminClient({"bootstrap.servers": project.bootstrap})  # kept: its futures end with it
    for future in admin.delete_records([place]).values():
        future.result(60)
    code, said = command(project)
    assert code == 2, said
    assert "HEADRACE_RECOVER=rebuild_state" in said
    assert committed(project) == before
    # An open transaction would hold the one end below the other for a minute.
    assert ends(project, "read_committed") == ends(project, "read_uncommitted")
    environment = {**os.environ, "HEADRACE_REDIS": project.redis, "HEADRACE_RECOVER": "rebuild_state"}
    argv = [sys.executable, "-m", "headrace.cli", "repartition", str(project.path), "--bootstrap", project.bootstrap]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=240, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{project.name}.labels: its state is in 5 partitions now" in done.stdout
