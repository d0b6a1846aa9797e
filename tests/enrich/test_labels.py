"""Enrich and views when views fold labels: what is told, what waits for what, and what an event finds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from headrace.columnar.partitioner import partitions_of
from headrace.domain.pipeline.language.aggregation import Aggregation
from headrace.domain.pipeline.spec import Labels, Pipeline
from headrace.stores.online import MemoryStore
from headrace.streaming.watermarks.idleness import Quiet
from services.enrich.service import Enrich
from services.views.service import Views
from tests.enrich import cases
from tests.enrich.cases import Reading
from tests.enrich.joining import Source, told
from tests.enrich.simulation import World, batch_of, with_views
from tests.watermarks import watermarks

FEATURES = {
    "n": Aggregation("count"),
    "faults": Aggregation("count", of_label=True),
    "fault": Aggregation("sum", of_label=True),
    "risk": Aggregation("mean", of_label=True),
    "heat": Aggregation("sum", "heat"),
}
ROOM = replace(cases.ROOM, features=FEATURES, missing=-1.0)
DELAY, LAG = 50, 40
Label = tuple[str, float, int]
"""Event id, value, label time."""


def pipeline(unlabelled: float | None = None) -> Pipeline:
    """Rooms whose readings turn out to be faults or not."""
    return replace(
        cases.pipeline(views=(cases.SENSOR, ROOM)), labels=Labels("reading", "fault", 0, unlabelled_is=unlabelled)
    )


def labels(rows: Sequence[Label]) -> pa.RecordBatch:
    """Labels by label time, as the topic has them."""
    rows = sorted(rows, key=lambda row: row[2])
    return pa.RecordBatch.from_pydict(
        {
            "event_id": pa.array([row[0] for row in rows], pa.string()),
            "value": pa.array([row[1] for row in rows], pa.float64()),
            "label_time": pa.array([row[2] for row in rows], pa.int64()),
        }
    )


def oracle(rows: Sequence[Reading], told: Sequence[Label], unlabelled: float | None) -> list[dict[str, float]]:
    """Features of the rooms of readings, as far as labels were known at the reading's time, said slowly."""
    found = []
    for time, _, room, _ in rows:
        answer: dict[str, float] = {}
        for window in (10, 100):
            inside = [at for at, r in enumerate(rows) if r[2] == room and time - DELAY - window < r[0] <= time - DELAY]
            known = [sorted((u, v) for name, v, u in told if name == f"r{at}" and u <= time) for at in inside]
            values = [reports[-1][1] if reports else unlabelled for reports in known]
            given = [value for value in values if value is not None]
            heats = [rows[at][3] or 0.0 for at in inside]
            answer |= {
                f"n_{window}ms": len(inside),
                f"faults_{window}ms": sum(map(bool, known)),
                f"fault_{window}ms": sum(given) if given else -1.0,
                f"risk_{window}ms": sum(given) / len(given) if given else -1.0,
                f"heat_{window}ms": sum(heats) if heats else -1.0,
            }
        found.append(answer)
    return found


def stream(draw: np.random.Generator, count: int) -> tuple[list[Reading], list[Label]]:
    """Readings, and labels of most: on time, late, corrected."""
    times = np.cumsum(draw.integers(0, 9, count))
    rooms = draw.choice(["hall", "attic", "cellar"], count)
    rows: list[Reading] = [
        (int(t), str(draw.choice(list("abcde"))), str(r), 1.0) for t, r in zip(times, rooms, strict=True)
    ]
    told: list[Label] = []
    for at, (time, *_) in enumerate(rows):
        for lag in draw.choice([LAG, LAG, DELAY, 90, 130], draw.integers(0, 3), replace=False):
            told.append((f"r{at}", float(draw.choice([0.0, 1.0])), time + int(lag)))
    return rows, list({(name, time): (name, value, time) for name, value, time in told}.values())


@pytest.mark.slow
@pytest.mark.parametrize("unlabelled", [None, 0.0])
@pytest.mark.parametrize("seed", range(4))
def test_backfill(seed: int, unlabelled: float | None) -> None:
    """Every event of a backfill finds the labels known at its time, whoever is quick, and whoever restarts."""
    rows, told = stream(np.random.default_rng(seed), 120)
    world = World(pipeline(unlabelled), MemoryStore(), seed, now=4e9)
    if seed % 2:
        world.publish_labels(labels(told))
        world.wait(0.3)
    world.publish(cases.events(rows), drift=0.5)
    if not seed % 2:
        world.publish_labels(labels(told), drift=0.5)
    world.run(rows=30, restarts=0.02)
    found = {row["event_id"]: row for row in world.answers().to_pylist()}
    assert len(found) == len(rows)
    chosen = partitions_of(pa.array([row[1] for row in rows]), len(world.events)).tolist()
    *_, credible = watermarks(chosen, [row[0] for row in rows], 10)
    for at, wanted in enumerate(oracle(rows, told, unlabelled)):
        assert found[f"r{at}"]["room"] == pytest.approx(wanted)
        if rows[at][0] <= credible[at]:  # Of the first few of a partition nobody can tell at once.
            assert found[f"r{at}"]["room_age"] == 0


def test_without_any_label() -> None:
    """Where no label was ever published, a backfill waits little beyond `idle_after` to know that."""
    rows, _ = stream(np.random.default_rng(9), 40)
    world = World(pipeline(0.0), MemoryStore(), seed=5, now=1_000.0)
    world.wait(3.0)
    began = world.now
    world.publish(cases.events(rows))
    world.run(rows=40)
    assert world.now - began < 3.0
    assert {row["room"]["faults_100ms"] for row in world.answers().to_pylist()} == {0}


def test_live_rows_do_not_wait_for_young_labels() -> None:
    """A live event takes the labels that were read when it came, and its age says since when some may be missing."""
    world = World(with_views(pipeline(0.0), delay=5_000), MemoryStore(), seed=3, now=1_000.0)
    world.wait(5.0)
    began, now = world.now, int(world.now * 1000)
    rows: list[Reading] = [(now - 20 + 10 * n, "a", "hall", 1.0) for n in range(3)]
    world.publish(cases.events(rows))
    world.run(rows=40)
    assert world.now - began < 0.2
    ages = [row["room_age"] for row in world.answers().to_pylist()]
    assert all(0 < age <= 2_000 for age in ages)


@pytest.mark.slow
def test_old_labels_hold_no_live_row() -> None:
    """Labels that come late, all day long, are no reason for events of now to wait until there are none."""
    world = World(with_views(pipeline(0.0), delay=5_000), MemoryStore(), seed=3, now=1_000.0)
    world.wait(3.0)
    for part in range(20):
        world.publish_labels(labels([(f"old {part}.{n}", 1.0, 500) for n in range(9)]))
        world.wait(0.1)
        now = int(world.now * 1000)
        world.publish(cases.events([(now, "a", "hall", 1.0)]))
    world.run(rows=40)
    assert world.now < 1_006.0  # It takes a second longer until the last label is old.


def test_a_live_row_waits_for_who_is_awake_beside_who_is_idle() -> None:
    """That some sources of labels were seen at their ends does not speak for another one that was not read since."""
    idle = replace(ROOM, idle_after=1_000)
    for heard, waits in ((9_000, False), (2_000, True), (0, False)):
        enrich, views = Enrich(pipeline(0.0), store := MemoryStore()), Views(pipeline(0.0), idle, store, behind_s=0.0)
        for service in (enrich, views):
            service.start({"events": 1, "view.room": 1, "exchange": 1})
        admission = enrich.admit(cases.batch(cases.events([(10_000, "a", "hall", 1.0)])), 0.0)
        views.process(batch_of("view.room", admission.emits[0].columns, 0), 1.0)
        mark = Source(progress=100, idle=True, time=9_500, heard=heard)
        views.process(batch_of("view.room", told(ROOM, 1, 0, 1, mark, []).columns, 0, 1), 2.0)
        output = enrich.process(admission.batch, 3.0)
        assert (output.held == {0}) == waits
        if not waits:
            assert output.emits[0].columns["room_age"].to_pylist() == [10_000 - (heard or 9_500)]


def test_what_is_told() -> None:
    """The exchange is told each event that the view is told, where its id belongs, and how far its partition is."""
    enrich = Enrich(pipeline(0.0), MemoryStore())
    enrich.start({"events": 1, "view.room": 1, "exchange": 3})
    rows: list[Reading] = [(100, "a", "hall", 1.0), (101, "a", None, 1.0), (102, "a", "attic", 1.0)]
    _, emit = enrich.admit(cases.batch(cases.events(rows)), 0.0).emits
    assert emit.topic == "exchange"
    assert emit.partition is not None
    assert emit.partition.tolist() == [0, 1, 2]
    told = emit.columns.to_pylist()
    assert {record["next_offset"] for record in told} == {3}
    events = [record["events"] for record in told]
    assert sorted(name for part in events for name in part["event_ids"]) == ["r0", "r1", "r2"]
    assert {part["entities"][0]["view"] for part in events} == {"room"}
    keys = {n: k for p in events for n, k in zip(p["event_ids"], p["entities"][0]["keys"], strict=True)}
    assert keys == {"r0": "hall", "r1": None, "r2": "attic"}
    emits = enrich.tick(50.0, {0: Quiet(40.0, 50.0)}).emits
    assert not emits  # Its rows wait.
    enrich.drop(0)
    view, idle = enrich.tick(50.0, {0: Quiet(40.0, 50.0)}).emits
    assert view.topic == "view.room"
    assert idle.columns["idle"].to_pylist() == [True] * 3


def test_what_rows_wait_for_is_said() -> None:
    """Rows that wait for long say for what: the service that is missing can be named."""
    enrich, views = Enrich(pipeline(0.0), store := MemoryStore()), Views(pipeline(0.0), ROOM, store, behind_s=0.0)
    for service in (enrich, views):
        service.start({"events": 1, "view.room": 1, "exchange": 1})
    admission = enrich.admit(cases.batch(cases.events([(100, "a", "hall", 1.0)])), 0.0)

    def waits(since: float, reason: str) -> None:
        for now, said in ((since, False), (since + 3.9, False), (since + 4.1, True)):
            assert enrich.process(admission.batch, now).held == {0}
            enrich.tick(now, {})
            assert (reason in str(enrich.ready())) == said

    waits(0.0, "views has told nothing of one of its partitions yet")
    views.process(batch_of("view.room", admission.emits[0].columns, 0), 1.0)
    waits(10.0, "the view room folds labels: labels has told nothing yet")
    mark = Source(progress=100, time=100)
    views.process(batch_of("view.room", told(ROOM, 1, 0, 1, mark, []).columns, 0, 1), 2.0)
    assert not enrich.process(admission.batch, 20.0).held
    enrich.tick(20.0, {})
    assert enrich.ready() is None
