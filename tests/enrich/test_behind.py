"""Events that come too late for those who have gone on without them: one set of features, whoever was quick."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.columnar.partitioner import partitions_of
from headrace.domain.pipeline.spec import Pipeline
from headrace.stores.online import MemoryStore
from headrace.streaming.records.batch import Emit
from services.enrich.service import Enrich
from tests.enrich import cases
from tests.enrich import test_labels as labelled
from tests.enrich.cases import Reading
from tests.enrich.simulation import World
from tests.enrich.test_services import without_nan
from tests.watermarks import NEVER, watermarks

PARTITIONS, DELAY = 4, 50
LONG_AFTER = 4e9
"""Seconds; records written then are a backfill."""


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of a reading, said slowly: whether it is late, whether others are told of it, and whether its time
    was believed at once. `kept_from`: its sensor's entries up to then may be gone.
    """

    late: bool
    told: bool
    believed: bool
    kept_from: int


def fates(rows: Sequence[Reading], lateness: int, partitions: int = PARTITIONS) -> list[Fate]:
    """The fate of every reading."""
    times = [row[0] for row in rows]
    chosen = partitions_of(pa.array([row[1] for row in rows], pa.string()), partitions).tolist()
    found = []
    for time, firm, before, after in zip(times, *watermarks(chosen, times, lateness), strict=True):
        late, behind = (mark != NEVER and time < mark - lateness for mark in (firm, before))
        found.append(Fate(late, not late and not behind, time <= after, firm - lateness - 60))
    return found


def expected(rows: Sequence[Reading], known: Sequence[Fate]) -> list[dict[str, dict[str, object]]]:
    """The features of every reading, said slowly."""
    found = []
    for at, (time, sensor, room, _) in enumerate(rows):
        of_sensor: dict[str, object] = {}
        for window in (20, 60):
            begin = max(time - window, known[at].kept_from)
            own = [r for r, fate in zip(rows[: at + 1], known, strict=False) if r[1] == sensor and not fate.late]
            heats = [r[3] for r in own if begin < r[0] <= time]
            there = [heat for heat in heats if heat is not None]
            of_sensor |= {
                f"n_{window}ms": len(heats),
                f"heat_{window}ms": sum(there) / len(there) if there else None,
                f"low_{window}ms": min(there, default=None),
            }
        of_room: dict[str, object] = {}
        for window in (10, 100):
            end = time - DELAY
            others = [r[3] for r, fate in zip(rows, known, strict=True) if fate.told and room and r[2] == room
                      and end - window < r[0] <= end]  # fmt: skip  # one condition
            there = [heat for heat in others if heat is not None]
            of_room |= {
                f"n_{window}ms": len(others),
                f"heat_{window}ms": sum(there) if there else -1.0,
                f"peak_{window}ms": max(there, default=-1.0),
            }
        found.append({"sensor": of_sensor, "room": of_room})
    return found


def with_lateness(made: Pipeline, lateness: int) -> Pipeline:
    """The pipeline with another allowed lateness."""
    return replace(made, events=replace(made.events, allowed_lateness=lateness))


def assert_one_set(world: World, rows: Sequence[Reading], lateness: int, late: str = "reject") -> list[Fate]:
    """Every reading that is not refused was answered once, as the slow rule says; the others were counted."""
    known = fates(rows, lateness)
    wanted = expected(rows, known)
    found = {row["event_id"]: row for row in world.answers().to_pylist()} if world.features else {}
    answered = [at for at, fate in enumerate(known) if late == "score" or not fate.late]
    assert sorted(found) == sorted(f"r{at}" for at in answered)
    assert sum(part.num_rows for part in world.features) == len(found)
    for at in answered:
        row = found[f"r{at}"]
        assert without_nan(row["sensor"]) == wanted[at]["sensor"], at
        if known[at].believed and not world.remarks["out_of_order"]:  # Else it goes by what is there.
            assert row["room"] == wanted[at]["room"], at
            assert row["room_age"] == (0 if rows[at][2] else None), at
    assert not world.remarks["out_of_order"] or lateness >= DELAY
    assert world.remarks["behind"] == sum(not fate.told and not fate.late for fate in known)
    assert world.remarks["late"] == (sum(fate.late for fate in known) if late == "score" else 0)
    return known


def in_order_and_late() -> list[Reading]:
    """Sixty readings in order, and six that come 70 ms late."""
    rows: list[Reading] = []
    for number in range(60):
        rows.append((number * 5, "a", "hall", 1.0))
        if number % 10 == 9:
            rows.append((number * 5 - 70, "a", "hall", 1.0))
    return rows


@pytest.mark.slow
@pytest.mark.parametrize("late", ["reject", "score"])
@pytest.mark.parametrize("restarts", [0.0, 0.05])
@pytest.mark.parametrize("size", [1, 9, 200])
def test_one_set_of_features(size: int, restarts: float, late: str) -> None:
    """Batches, turns and restarts do not show in features: what others are told follows from a partition's records."""
    rows = in_order_and_late()
    for seed in range(2):
        world = World(cases.pipeline(late=late), MemoryStore(), seed, now=LONG_AFTER)
        world.publish(cases.events(rows))
        world.run(rows=size, restarts=restarts)
        known = assert_one_set(world, rows, 10, late)
    assert sum(not fate.told for fate in known) == 6
    assert 0 < world.remarks["behind"] < 6 or late == "reject"


steps_of = st.lists(
    st.tuples(
        st.one_of(st.integers(0, 12), st.integers(0, 12), st.integers(13, 400)),
        st.one_of(st.just(0), st.just(0), st.integers(1, 45), st.integers(46, 300)),
        st.sampled_from("abcdf"),  # in all partitions
        st.sampled_from(["hall", "attic", None]),
        st.sampled_from([1.0, 2.0, 4.0, 0.5, None]),
    ),
    max_size=100,
)


def readings(steps: Sequence[tuple[int, int, str, str | None, float | None]]) -> list[Reading]:
    """Readings: time goes on by a step before each, which may come a while after it happened."""
    time, rows = 1_000, []
    for step, back, sensor, room, heat in steps:
        time += step
        rows.append((time - back, sensor, room, heat))
    return rows


@pytest.mark.slow
@given(
    steps_of, st.sampled_from([0, 10, 40, 80]), st.sampled_from(["reject", "score"]), st.sampled_from(["keep", "drop"]),
    st.sampled_from([1, 9, 60]), st.sampled_from([0.0, 0.1]), st.integers(0, 2**32),
)  # fmt: skip  # the stream, the pipeline, the schedule
@settings(max_examples=25, deadline=None)
def test_any_stream_has_one_set_of_features(
    steps: list[tuple[int, int, str, str | None, float | None]], lateness: int, late: str, repeats: str, size: int,
    restarts: float, seed: int,
) -> None:  # fmt: skip  # as given
    """Of any stream, however disordered, every batch, turn and restart gives the features of the slow rule; unless it
    is said that events came out of order by more than the view's delay, and the delay is no longer than is allowed.
    """
    rows = readings(steps)
    made = with_lateness(cases.pipeline(late=late, repeats=repeats), lateness)
    world = World(made, MemoryStore(), seed, now=LONG_AFTER)
    world.publish(cases.events(rows))
    world.run(rows=size, restarts=restarts)
    assert_one_set(world, rows, lateness, late)


def entries_of(emits: Sequence[Emit]) -> list[tuple[int, str, int]]:
    """What a view is told: offset, entity, time."""
    found = []
    for emit in emits:
        if emit.topic == "view.room":
            for record in emit.columns.select(["offsets", "keys", "times"]).to_pylist():
                found += list(zip(record["offsets"], record["keys"], record["times"], strict=True))
    return found


@given(steps_of, st.sampled_from([0, 10, 40]), st.sampled_from(["keep", "drop"]), st.data())
@settings(max_examples=60, deadline=None)
def test_what_others_are_told_survives_kills(
    steps: list[tuple[int, int, str, str | None, float | None]], lateness: int, repeats: str, data: st.DataObject
) -> None:
    """Wherever batches are cut and a member is killed, the next one tells of the same rows, read again or not."""
    rows = [row for row in readings(steps) if row[1] in "ab"]
    made = with_lateness(cases.pipeline(views=(cases.ROOM,), late="score", repeats=repeats), lateness)
    columns = cases.events(rows)
    wanted = [
        (at, row[2], row[0])
        for at, (row, fate) in enumerate(zip(rows, fates(rows, lateness, partitions=1), strict=True))
        if fate.told and row[2]
    ]
    enrich, snapshot, kept = member(made), None, 0
    found: dict[tuple[int, str, int], int] = {}
    begin = 0
    while begin < len(rows):
        stop = data.draw(st.integers(begin + 1, len(rows)))
        stamped = replace(
            cases.batch(columns.slice(begin, stop - begin), first=begin),
            timestamp=np.full(stop - begin, int(LONG_AFTER * 1000)),
        )
        admission = enrich.admit(stamped, 0.0)
        for entry in entries_of(admission.emits):
            found[entry] = found.get(entry, 0) + 1
        if len(admission.batch):
            enrich.replay(admission.batch)
        begin = stop
        if data.draw(st.booleans()):
            snapshot, kept = enrich.snapshot(0), begin
        if data.draw(st.booleans()):
            enrich, begin = member(made, snapshot), kept
    assert sorted(found) == wanted


def member(made: Pipeline, snapshot: bytes | None = None) -> Enrich:
    """A fresh member of one partition."""
    enrich = Enrich(made, MemoryStore())
    enrich.start({"events": 1, "view.room": 2, "exchange": 1})
    enrich.restore(0, snapshot)
    return enrich


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 40])
@pytest.mark.parametrize("seed", range(2))
def test_labels_of_such_events(seed: int, size: int) -> None:
    """An event that others are not told of counts there neither with its label nor as one without."""
    rows, told = labelled.stream(np.random.default_rng(seed), 120)
    rows = [(row[0] - (200 if at % 9 == 8 else 0), *row[1:]) for at, row in enumerate(rows)]
    world = World(labelled.pipeline(0.0), MemoryStore(), seed, now=LONG_AFTER)
    world.publish_labels(labelled.labels(told))
    world.publish(cases.events(rows), drift=0.5)
    world.run(rows=size, restarts=0.02)
    known = fates(rows, 10)
    gone = [at for at, fate in enumerate(known) if not fate.told]
    assert world.remarks["behind"] == len([at for at in gone if not known[at].late]) > 0
    # For the slow rule an event that nobody is told of is one that happened nowhere.
    nowhere: list[Reading] = [(*row[:2], "nowhere", row[3]) if at in gone else row for at, row in enumerate(rows)]
    wanted = labelled.oracle(nowhere, told, 0.0)
    found = {row["event_id"]: row for row in world.answers().to_pylist()}
    for at, fate in enumerate(known):
        if fate.believed and fate.told:
            assert found[f"r{at}"]["room"] == pytest.approx(wanted[at]), at


def test_whose_views_are_all_their_own() -> None:
    """Where no view is another entity's, nobody is told anything and nothing is left out: none is counted."""
    enrich = Enrich(cases.pipeline(views=(cases.SENSOR,)), MemoryStore())
    enrich.start({"events": 1})
    rows: list[Reading] = [(1_000 + 5 * at, "a", None, 1.0) for at in range(9)]
    batch = cases.batch(cases.events([*rows, (1_022, "a", None, 1.0)]))
    admission = enrich.admit(replace(batch, timestamp=np.full(10, int(LONG_AFTER * 1000))), 0.0)
    assert len(admission.batch) == 10
    assert admission.remarks["behind"] == 0
