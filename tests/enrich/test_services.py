"""Enrich and views together: what waits for what, and what survives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from headrace.columnar.partitioner import partitions_of
from headrace.domain.features.store_keys import PROGRESS, Shelves
from headrace.domain.pipeline.spec import Pipeline
from headrace.errors import ContractError, Transient
from headrace.stores.online import RESERVED, MemoryStore, OnlineStore, Store
from headrace.streaming.records.batch import Batch
from headrace.streaming.watermarks.idleness import Quiet
from services.enrich import metrics as enrich_metrics
from services.enrich.service import Enrich
from services.views import metrics as views_metrics
from services.views.service import Views
from tests.enrich import cases
from tests.enrich.cases import Reading
from tests.enrich.simulation import World, batch_of


def oracle(rows: Sequence[Reading]) -> list[dict[str, object]]:
    """Features of readings in order, said slowly; every room's entries are known in time."""
    found = []
    for at, (time, sensor, room, _) in enumerate(rows):
        answer: dict[str, object] = {"sensor": {}, "room": {}}
        for window in (20, 60):
            heats = [r[3] for r in rows[: at + 1] if r[1] == sensor and time - window < r[0] <= time]
            known = [heat for heat in heats if heat is not None]
            answer["sensor"] |= {  # type: ignore[operator]  # a dict
                f"n_{window}ms": len(heats),
                f"heat_{window}ms": sum(known) / len(known) if known else None,
                f"low_{window}ms": min(known, default=None),
            }
        for window in (10, 100):
            inside = [r for r in rows if r[2] == room and room and time - 50 - window < r[0] <= time - 50]
            known = [r[3] for r in inside if r[3] is not None]
            answer["room"] |= {  # type: ignore[operator]  # a dict
                f"n_{window}ms": len(inside),
                f"heat_{window}ms": sum(known) if known else -1.0,
                f"peak_{window}ms": max(known, default=-1.0),
            }
        found.append(answer)
    return found


def without_nan(record: dict[str, object]) -> dict[str, object]:
    """NaN as None, which compares equal to itself."""
    return {name: None if value != value else value for name, value in record.items()}


readings = st.lists(
    st.tuples(
        st.integers(0, 12),
        st.sampled_from(["a", "b", "c", "d", "e"]),
        st.sampled_from(["hall", "attic", None]),
        st.sampled_from([1.0, 2.0, 4.0, 0.5, None]),
    ),
    max_size=80,
)


@given(readings, st.integers(0, 2**32), st.data())
@settings(max_examples=15, deadline=None)
def test_oracle(steps: list[Reading], seed: int, data: st.DataObject) -> None:
    """Every event finds exactly what it may know, whoever gets turns when, and whoever restarts; but for events of
    partitions that have told too few to be believed, which say so where others wait for them (ADR 18).
    """
    time = 0
    rows: list[Reading] = []
    for step, sensor, room, heat in steps:
        time += step
        rows.append((time, sensor, room, heat))
    # Written after they happened: of what is dated beyond its record nobody waits to know all.
    world = World(cases.pipeline(), MemoryStore(), seed, now=1.0)
    world.publish(cases.events(rows))
    world.run(rows=9, restarts=data.draw(st.sampled_from([0.0, 0.1])))
    assert_exact(world, rows, dated_ahead(rows, len(world.events)))


@pytest.mark.parametrize("begin", [0, -(10**12), -62_135_596_800_000])
def test_entries_of_any_year_are_found(begin: int) -> None:
    """Before enough records came to say what is late, no entry is given up: not those of 1970 or earlier either."""
    rows: list[Reading] = [(begin + time, "a", "hall", 1.0) for time in (*[0] * 7, 6, 15, 26, 38, 50)]
    for seed in range(12):
        world = World(cases.pipeline(), MemoryStore(), seed, now=1_000.0)
        world.publish(cases.events(rows))
        world.run(rows=9)
        assert_exact(world, rows)


def assert_exact(world: World, rows: Sequence[Reading], unproven: frozenset[int] = frozenset()) -> None:
    """Every reading has the features of the oracle, once; but for the rooms of those that may be `unproven`, which are
    counted where they are, and of which the age says so.
    """
    found = {row["event_id"]: row for row in world.answers().to_pylist()} if rows else {}
    assert sum(part.num_rows for part in world.features) == len(found) == len(rows)
    lacking = 0
    for at, wanted in enumerate(oracle(rows)):
        row = found[f"r{at}"]
        assert without_nan(row["sensor"]) == wanted["sensor"]
        assert row["clock"]["even"] == int((rows[at][3] or 1.0) % 2 == 0)
        if at in unproven and row["room_age"]:
            lacking += 1
            assert row["room"]["n_100ms"] <= wanted["room"]["n_100ms"]  # type: ignore[index]  # a dict
        else:
            assert row["room"] == wanted["room"]
            assert row["room_age"] == (0 if rows[at][2] else None)
    assert world.unproven() == lacking


def backfill(seed: int, restarts: float) -> tuple[World, list[Reading]]:
    """A world that has answered a backfill in two lots, all its sources idle in between, and the readings."""
    draw = np.random.default_rng(seed)
    times = np.cumsum(draw.integers(0, 9, 120))
    times[60:] += 200
    rows: list[Reading] = [
        (int(time), str(draw.choice(list("abcde"))), str(draw.choice(["hall", "attic"])), 1.0) for time in times
    ]
    world = World(cases.pipeline(), MemoryStore(), seed, now=1_000.0)
    told = cases.events(rows)
    world.publish(told.slice(0, 60), drift=0.9)
    world.run(rows=40, restarts=restarts)
    world.wait(5.0)
    world.publish(told.slice(60), drift=0.9)
    world.run(rows=40, restarts=restarts)
    return world, rows


def dated_ahead(rows: Sequence[Reading], partitions: int) -> frozenset[int]:
    """The readings that were so far beyond those before them in their partition that it takes three to believe it, and
    were not among the third or later of these.
    """
    chosen = partitions_of(pa.array([row[1] for row in rows], pa.string()), partitions)
    ahead = set()
    for partition in range(partitions):
        places = np.flatnonzero(chosen == partition)
        times = np.array([rows[place][0] for place in places])
        far = np.diff(times, prepend=-(10**9)) > 10
        ahead |= {int(place) for at, place in enumerate(places) if far[max(at - 2, 0) : at + 1].any()}
    return frozenset(ahead)


@pytest.mark.slow
@given(st.integers(0, 2**32), st.sampled_from([0.0, 0.05]))
@example(seed=269, restarts=0.0)
@example(seed=1074, restarts=0.05)
@settings(max_examples=15, deadline=None)
def test_backfill_of_idle_sources(seed: int, restarts: float) -> None:
    """A backfill finds every entry although all sources were idle when it began and some of it arrives late; only a
    reading dated ahead that others wait for, as it waits for them, may lack some, which is counted.
    """
    world, rows = backfill(seed, restarts)
    assert_exact(world, rows, dated_ahead(rows, len(world.events)))


def test_a_reading_without_a_room_waits_for_nobody() -> None:
    """It is answered while one of a room still waits for what others may have written of it, and lacks nothing."""
    took = []
    for room in (None, "hall"):
        rows: list[Reading] = [*((time, "a", "hall", 1.0) for time in (0, 1, 2)), (400, "d", room, 1.0)]
        world = World(cases.pipeline(), MemoryStore(), 3, now=1.0)
        world.publish(cases.events(rows))
        while not any("r3" in part.column("event_id").to_pylist() for part in world.features):
            world.step(1)
        took.append(world.now)
        assert world.unproven() == 0
    assert took[0] < took[1] - 0.5


def test_waiting_for_idle_sources_is_no_standstill() -> None:
    """A reading dated ahead, its partition's last, finds what others tell who have waited for idle sources first."""
    world, rows = backfill(seed=1074, restarts=0.0)
    assert_exact(world, rows)


def test_empty_source() -> None:
    """A source without events stops no backfill: its rows wait for a mark that says so, little beyond `idle_after`."""
    rows: list[Reading] = [(10 * n, "a", "hall", 1.0) for n in range(30)]
    world = World(cases.pipeline(), MemoryStore(), seed=3, now=1_000.0)
    world.wait(5.0)
    began = world.now
    world.publish(cases.events(rows))
    world.run(rows=40)
    assert_exact(world, rows)
    assert 1.0 < world.now - began < 3.0


def test_live_rows_pass_idle_sources() -> None:
    """A row that was written about when it happened waits for an idle source's next sign of life at most."""
    world = World(cases.pipeline(), MemoryStore(), seed=3)
    world.wait(5.0)
    began = world.now
    now = int(world.now * 1000)
    rows: list[Reading] = [(now - 900 + 10 * n, "a", "hall", 1.0) for n in range(3)]
    world.publish(cases.events(rows))
    world.run(rows=40)
    assert_exact(world, rows)
    assert world.now - began < 0.9


def prepared(late: str = "reject") -> tuple[Enrich, Views, MemoryStore]:
    """One partition of everything, all told."""
    pipeline, store = cases.pipeline(late=late), MemoryStore()
    counts = {"events": 1, "view.room": 1}
    enrich, views = Enrich(pipeline, store), Views(pipeline, cases.ROOM, store, behind_s=0.0)
    enrich.start(counts)
    views.start(counts)
    return enrich, views, store


def told(enrich: Enrich, views: Views, rows: Sequence[Reading], first: int) -> tuple[Batch, Batch]:
    """Admit readings; returns them and the updates that they caused."""
    admission = enrich.admit(cases.batch(cases.events(rows), first=first), 0.0)
    (emit,) = admission.emits
    return admission.batch, batch_of("view.room", emit.columns, 0, first)


def test_holds() -> None:
    """Rows wait, untouched, until the view is as far as they need; then they are answered once."""
    enrich, views, _ = prepared()
    batch, update = told(enrich, views, [(100, "a", "hall", 1.0), (200, "a", "hall", 1.0)], 0)
    for _ in range(3):
        output = enrich.process(batch, 0.0)
        assert output.held == {0}
        assert not output.emits
    views.process(update, 1.0)
    output = enrich.process(batch, 0.0)
    assert not output.held
    (emit,) = output.emits
    assert emit.columns["sensor"].field("n_60ms").to_pylist() == [1, 1]
    assert emit.columns["room"].field("n_100ms").to_pylist() == [0, 1]
    assert emit.key is not None
    assert emit.key.to_pylist() == ["a", "a"]
    assert emit.source.tolist() == [0, 0]


def test_unreachable() -> None:
    """An unreachable store changes nothing: the same rows get the same answers later."""
    pipeline = cases.pipeline()
    enrich = Enrich(pipeline, OnlineStore("redis://127.0.0.1:1/0", timeout_s=0.5))
    enrich.start({"events": 1, "view.room": 1})
    admission = enrich.admit(cases.batch(cases.events([(100, "a", "hall", 1.0)])), 0.0)
    before = enrich.snapshot(0)
    with pytest.raises(Transient):
        enrich.process(admission.batch, 0.0)
    assert enrich.snapshot(0) == before


def test_views_unreachable() -> None:
    """Views say what is wrong with the store, and publish when it is there again, each update once."""
    pipeline = cases.pipeline()
    enrich, _, store = prepared()
    views = Views(pipeline, cases.ROOM, OnlineStore("redis://127.0.0.1:1/0", timeout_s=0.5), behind_s=0.0)
    views.start({"events": 1, "view.room": 1})
    _, update = told(enrich, views, [(100, "a", "hall", 1.0)], 0)
    with pytest.raises(Transient):
        views.process(update, 1.0)
    views.tick(2.0, {})
    assert "online store" in str(views.ready())
    views._store = store
    views.process(update, 5.0)
    assert views.ready() is None
    batch, update = told(enrich, views, [(170, "a", "hall", 1.0)], 1)
    views.process(update, 6.0)
    (emit,) = enrich.process(batch, 0.0).emits
    assert emit.columns["room"].field("n_100ms").to_pylist() == [1]


def test_late_score() -> None:
    """A late row is answered from what is known and leaves no trace."""
    enrich, views, _ = prepared("score")
    enrich.process(told(enrich, views, [(100, "z", None, 1.0)] * 8, 0)[0], 0.0)
    rows: list[Reading] = [(100, "a", "hall", 1.0), (60, "a", "hall", 9.0), (105, "a", "hall", 3.0)]
    batch, update = told(enrich, views, rows, 8)
    views.process(update, 1.0)
    (emit,) = enrich.process(batch, 0.0).emits
    assert emit.columns["sensor"].field("n_60ms").to_pylist() == [1, 0, 2]
    assert emit.columns["sensor"].field("heat_60ms").to_pylist()[2] == 2.0
    batch, update = told(enrich, views, [(160, "a", "hall", 1.0)], 11)
    views.process(update, 2.0)
    (emit,) = enrich.process(batch, 0.0).emits
    assert emit.columns["room"].field("n_100ms").to_pylist() == [2]


def test_repeats() -> None:
    """An update told twice, or again in part, is folded once."""
    enrich, views, _ = prepared()
    batch, update = told(enrich, views, [(100, "a", "hall", 1.0), (101, "a", "hall", 1.0)], 0)
    again = Enrich(cases.pipeline(), MemoryStore())
    again.start({"events": 1, "view.room": 1})
    rows: list[Reading] = [(100, "a", "hall", 1.0), (101, "a", "hall", 1.0), (102, "a", "hall", 1.0)]
    _, longer = told(again, views, rows, 0)
    views.process(update, 1.0)
    for offset in (1, 2):
        views.process(replace(longer, offset=np.array([offset])), 1.0 + offset)
    enrich.process(batch, 0.0)
    batch, update = told(enrich, views, [(160, "a", "hall", 1.0)], 3)
    views.process(replace(update, offset=np.array([3])), 9.0)
    (emit,) = enrich.process(batch, 0.0).emits
    assert emit.columns["room"].field("n_100ms").to_pylist() == [3]


def test_lost_store() -> None:
    """A store that lost everything is written anew, entities that did not change included."""
    enrich, views, store = prepared()
    _, update = told(enrich, views, [(100, "a", "hall", 1.0), (101, "b", "attic", 1.0)], 0)
    views.process(update, 1.0)
    (whole,) = store.shelves.values()
    store.shelves.clear()
    _, update = told(enrich, views, [(102, "a", "hall", 1.0)], 2)
    views.process(update, 2.0)
    (again,) = store.shelves.values()
    assert set(again) == set(whole)
    snapshot = views.snapshot(0)
    store.shelves.clear()
    fresh = Views(cases.pipeline(), cases.ROOM, store, behind_s=0.0)
    fresh.start({"events": 1, "view.room": 1})
    fresh.restore(0, snapshot)
    fresh.tick(3.0, {})
    assert list(store.shelves.values()) == [again]


@pytest.mark.parametrize("lost", ["all of it", "an entity", "progress"])
def test_store_that_loses_some(lost: str) -> None:
    """An entity that the store lost is not taken for one without history: rows wait until views wrote it again."""
    store, registry = MemoryStore(), CollectorRegistry()
    enrich = Enrich(cases.pipeline(), store, figures=enrich_metrics.EnrichMetrics(registry))
    views = Views(cases.pipeline(), cases.ROOM, store, behind_s=0.0, figures=views_metrics.ViewsMetrics(registry))
    for service in (enrich, views):
        service.start({"events": 1, "view.room": 1})
    batch, update = told(enrich, views, [(100, "a", "hall", 1.0), (101, "b", "attic", 1.0)], 0)
    views.process(update, 1.0)
    enrich.process(batch, 1.0)
    batch, update = told(enrich, views, [(170, "a", "hall", 1.0), (171, "a", "cellar", 1.0)], 2)
    views.process(update, 2.0)
    (key,) = store.shelves
    if lost == "all of it":
        del store.shelves[key]
    else:
        del store.shelves[key][b"hall" if lost == "an entity" else PROGRESS]
    for _ in range(3):
        output = enrich.process(batch, 2.1)
        assert output.held == {0}
        assert not output.emits
    assert registry.get_sample_value("headrace_store_losses_total") == 1
    views.tick(2.2, {})  # Nothing new is told: it looks, though not every time.
    views.tick(3.1, {})
    assert registry.get_sample_value("headrace_store_rebuilds_total") == 1
    (emit,) = enrich.process(batch, 3.2).emits
    assert emit.columns["room"].field("n_100ms").to_pylist() == [1, 0]
    assert registry.get_sample_value("headrace_store_losses_total") == 1


def test_store_ahead() -> None:
    """A member that restarts behind the store leaves it alone until it has caught up."""
    enrich, views, store = prepared()
    updates = [told(enrich, views, [(100 + n, "a", "hall", 1.0)], n)[1] for n in range(5)]
    for number, update in enumerate(updates):
        if number == 2:
            snapshot = views.snapshot(0)
        views.process(update, float(number))
    ahead = dict(store.shelves)
    fresh = Views(cases.pipeline(), cases.ROOM, store, behind_s=0.0)
    fresh.start({"events": 1, "view.room": 1})
    fresh.restore(0, snapshot)
    for number, update in enumerate(updates[2:]):
        fresh.process(update, 10.0 + number)
        assert store.shelves == ahead
    fresh.process(told(enrich, views, [(150, "a", "hall", 1.0)], 5)[1], 20.0)
    assert store.shelves != ahead


def fold_log(pipeline: Pipeline, store: Store, rooms: Sequence[str], end: int) -> None:
    """Take both partitions of a view's topic over, that end at `end` with an update of these rooms, and fold it."""
    enrich, views = Enrich(pipeline, store), Views(pipeline, cases.ROOM, store, behind_s=0.0)
    for service in (enrich, views):
        service.start({"events": 1, "view.room": 2})
    rows: list[Reading] = [(100 + n, "a", room, 1.0) for n, room in enumerate(rooms)]
    (emit,) = enrich.admit(cases.batch(cases.events(rows)), 0.0).emits
    for partition in (0, 1):
        views.restore(partition, None, end)
        views.process(batch_of("view.room", emit.columns.slice(partition, 1), partition, end - 1), 1.0)


@pytest.mark.parametrize("kind", ["memory", "redis"])
def test_topic_created_anew(kind: str, request: pytest.FixtureRequest, unique: Callable[[str], str]) -> None:
    """What was folded from a topic that was deleted leaves the store when a member takes the new one over."""
    store = MemoryStore() if kind == "memory" else OnlineStore(request.getfixturevalue("redis_server"))
    pipeline = replace(cases.pipeline(), name=unique("rooms"))
    shelves = Shelves(pipeline.name, "room")
    rooms = [f"room {n}" for n in range(40)]
    fold_log(pipeline, store, rooms, end=100)
    assert stored(store, shelves, [*rooms, "attic"]) == set(rooms)
    fold_log(pipeline, store, ["room 7", "attic"], end=101)
    assert stored(store, shelves, [*rooms, "attic"]) == {*rooms, "attic"}
    fold_log(pipeline, store, ["room 7", "attic"], end=1)
    assert stored(store, shelves, [*rooms, "attic"]) == {"room 7", "attic"}
    assert store.offsets([shelves.of(partition, 2) for partition in (0, 1)]) == [1, 1]


def stored(store: Store, shelves: Shelves, rooms: Sequence[str]) -> set[str]:
    """Those of some entities that have a timeline in the store."""
    asked = [(shelves.of(partition, 2), [room.encode() for room in rooms]) for partition in (0, 1)]
    parts = store.read(asked)
    assert None not in parts
    return {room for part in parts for room, value in zip(rooms, part or [], strict=True) if value is not None}


def test_vanished() -> None:
    """An entity without entries is deleted from the store, and memory is given back."""
    enrich, views, store = prepared()
    for number in range(400):
        batch, update = told(enrich, views, [(100 + 10 * number, "a", f"room {number}", 1.0)], number)
        views.process(update, float(number))
        enrich.process(batch, 0.0)
        enrich.durable()
    (shelf,) = store.shelves.values()
    assert len([field for field in shelf if not field.startswith(RESERVED)]) < 40
    assert len(views._state(0).ledger) < 40


def test_idle() -> None:
    """A partition that stays at its end is told idle, time and again, not while its rows wait; an event ends it."""
    enrich, views, _ = prepared()
    batch, update = told(enrich, views, [(100, "a", "hall", 1.0)], 0)
    assert update.columns["time"].cast(pa.int64()).to_pylist() == [100]
    assert not enrich.tick(10.0, {0: Quiet(0.0, 10.0)}).emits
    views.process(update, 1.0)
    enrich.process(batch, 1.0)
    assert not enrich.tick(10.0, {0: Quiet(0.0, 10.0)}).emits
    enrich.durable()
    assert not enrich.tick(10.0, {0: Quiet(9.5, 10.0)}).emits
    assert not enrich.tick(90.0, {0: Quiet(9.0, 9.9)}).emits, "nobody has looked for a while"
    for now in (10.0, 10.3):
        (emit,) = enrich.tick(now + 0.1, {0: Quiet(9.0, now)}).emits
        assert emit.columns["idle"].to_pylist() == [True]
        assert emit.columns["time"].cast(pa.int64()).to_pylist() == [now * 1000]
        assert not enrich.tick(now + 0.2, {0: Quiet(9.0, now + 0.2)}).emits
    assert not enrich.tick(20.0, {}).emits
    _, update = told(enrich, views, [(101, "a", "hall", 1.0)], 1)
    assert update.columns["idle"].to_pylist() == [False]


def floor(update: Batch) -> int:
    """The floor that an update tells."""
    return int(update.columns["floor"].cast(pa.int64())[0].as_py())


def test_floor() -> None:
    """The floor stays below rows until they are answered for good: a crash before that asks them again."""
    enrich, views, _ = prepared()
    slack = cases.ROOM.span + 2 * 10
    batch, update = told(enrich, views, [(1_000, "a", "hall", 1.0)] * 8, 0)
    assert floor(update) == 1_000 - slack
    views.process(update, 1.0)
    _, update = told(enrich, views, [(2_000, "a", "hall", 1.0)], 8)
    assert floor(update) == 1_000 - slack + 10
    enrich.process(batch, 1.0)
    _, update = told(enrich, views, [(3_000, "a", "hall", 1.0)], 9)
    assert floor(update) == 1_000 - slack + 10
    enrich.durable()
    _, update = told(enrich, views, [(4_000, "a", "hall", 1.0)], 10)
    assert floor(update) == 2_000 - slack + 10


def test_restart() -> None:
    """A member that begins with a snapshot and replays answers the rest as the first would have, bit for bit."""
    random = np.random.default_rng(4)
    times = np.cumsum(random.integers(0, 5, 300))
    rows: list[Reading] = [
        (int(time), str(random.choice(["a", "b"])), "hall", float(random.normal())) for time in times
    ]
    enrich, views, store = prepared()
    records, snapshot = [], b""
    for start in range(0, 300, 50):
        if start == 100:
            snapshot = enrich.snapshot(0)
        batch, update = told(enrich, views, rows[start : start + 50], start)
        views.process(update, float(start + 1))
        records += [emit.columns for emit in enrich.process(batch, 0.0).emits]
    fresh = Enrich(cases.pipeline(), store)
    fresh.start({"events": 1, "view.room": 1})
    fresh.restore(0, snapshot)
    for start, stop in ((100, 130), (130, 200)):
        fresh.replay(fresh.admit(cases.batch(cases.events(rows[start:stop]), first=start), 0.0).batch)
    for start in (200, 250):
        batch = fresh.admit(cases.batch(cases.events(rows[start : start + 50]), first=start), 0.0).batch
        (emit,) = fresh.process(batch, 0.0).emits
        assert emit.columns["sensor"].equals(records[start // 50]["sensor"])
    assert fresh.snapshot(0) == enrich.snapshot(0)


def test_wrong_snapshot() -> None:
    """A snapshot of another service is refused."""
    enrich, views, _ = prepared()
    with pytest.raises(ContractError, match="no state of views"):
        views.restore(0, enrich.snapshot(0))
    with pytest.raises(ContractError, match="no state of enrich"):
        enrich.restore(0, views.snapshot(0))


def test_no_foreign_view() -> None:
    """Without views of other entities nothing is told and nothing is read."""
    enrich = Enrich(cases.pipeline(views=(cases.SENSOR,)), MemoryStore())
    enrich.start({"events": 1})
    admission = enrich.admit(cases.batch(cases.events([(1, "a", None, 1.0)])), 0.0)
    assert not admission.emits
    assert enrich.process(admission.batch, 0.0).emits[0].columns.schema.names[-1] == "sensor"
    assert not enrich.tick(100.0, {0: Quiet(0.0, 100.0)}).emits
    assert isinstance(admission.batch.keys, pa.BinaryArray)
