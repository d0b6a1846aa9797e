"""Events that are dated ahead of all others: what they are answered, and that the others do not notice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from headrace.stores.online import MemoryStore
from services.enrich.service import Enrich
from tests.enrich import cases
from tests.enrich.cases import Reading
from tests.enrich.simulation import World
from tests.enrich.test_services import oracle, without_nan

DAY = 86_400_000
HOUR = 3_600_000
SENSORS = "abcde"


def stream(seed: int, rows: int = 150) -> list[Reading]:
    """Readings in the order of their times."""
    draw = np.random.default_rng(seed)
    times = np.cumsum(draw.integers(0, 9, rows))
    return [(int(t), str(draw.choice(list(SENSORS))), str(draw.choice(["hall", "attic"])), 1.0) for t in times]


def answers(world: World, rows: Sequence[Reading]) -> dict[str, dict[str, object]]:
    """What became of each reading, by its id, once all is answered."""
    world.publish(cases.events(rows))
    world.run(rows=9)
    assert not world.rejects
    found = {row["event_id"]: row for row in world.answers().to_pylist()}
    assert sum(part.num_rows for part in world.features) == len(found) == len(rows)
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("ahead", "late"), [(2 * HOUR, "reject"), (20 * HOUR, "score"), (400 * DAY, "reject")])
@pytest.mark.parametrize("at", [0, 1, 70, 149])
def test_one_in_a_backfill(ahead: int, at: int, late: str) -> None:
    """One event of today in a backfill costs no other event anything: not its answer, and no feature of it."""
    rows = stream(at)
    rows.insert(at, (rows[at][0] + ahead, "a", "hall", 1.0))
    world = World(cases.pipeline(late=late), MemoryStore(), seed=at, now=4e9)
    found = answers(world, rows)
    for place, wanted in enumerate(oracle(rows)):
        row = found[f"r{place}"]
        assert without_nan(row["sensor"]) == wanted["sensor"]  # type: ignore[arg-type]  # a dict
        assert row["room"] == wanted["room"], place
    # Of the first few rows of a partition, too, nobody can tell at once.
    assert sum(row["room_age"] > 0 for row in found.values()) <= 1 + 2 * len(world.events)


@pytest.mark.slow
def test_many_of_one_producer() -> None:
    """Nor do events of a producer whose clock is five hours ahead, a seventh of all; others are told of the rest."""
    rows = [(t + 5 * HOUR * (n % 7 == 3), s, r, h) for n, (t, s, r, h) in enumerate(stream(3, 400))]
    world = World(cases.pipeline(), MemoryStore(), seed=3, now=4e9)
    found = answers(world, rows)
    honest = [place for place, row in enumerate(rows) if row[0] < HOUR]
    wanted = oracle(rows)
    for place in honest:
        assert without_nan(found[f"r{place}"]["sensor"]) == wanted[place]["sensor"]  # type: ignore[arg-type]  # a dict
        assert found[f"r{place}"]["room"] == wanted[place]["room"]
    assert world.remarks["behind"] == 0


@pytest.mark.slow
def test_first_after_a_gap() -> None:
    """The first events after a gap of days find exactly what they may know: they wait for other partitions."""
    before, after = stream(5, 60), stream(6, 60)
    rows = [*before, *((t + 3 * DAY, s, r, h) for t, s, r, h in after)]
    waited = []
    for seed in range(6):
        world = World(cases.pipeline(), MemoryStore(), seed=seed, now=4e9)
        found = answers(world, rows)
        for place, wanted in enumerate(oracle(rows)):
            row = found[f"r{place}"]
            assert without_nan(row["sensor"]) == wanted["sensor"]  # type: ignore[arg-type]  # a dict
            assert row["room"] == wanted["room"]
        waited.append(sum(row["room_age"] > 0 for row in found.values()))
    # What they had to go by was old, which was not told to be all; unless others had come as far, who goes first.
    assert 0 < max(waited) < 12


def test_one_in_a_live_stream() -> None:
    """An event dated hours ahead of its record is answered, and no event behind it is late."""
    enrich = Enrich(cases.pipeline(views=(cases.SENSOR,)), MemoryStore())
    enrich.start({"events": 1})
    times = 4 * 10**12 + np.arange(100) * 1_000
    rows: list[Reading] = [(int(time), "a", None, 1.0) for time in times]
    batch = cases.batch(cases.events(rows))
    dated = np.where(np.arange(100) == 50, times + 5 * HOUR, times)
    columns = cases.events([(int(time), "a", None, 1.0) for time in dated])
    admission = enrich.admit(replace(batch, columns=columns), 0.0)
    assert not admission.rejects
    (emit,) = enrich.process(admission.batch, 0.0).emits
    assert emit.columns["event_time"].cast("int64").to_pylist() == dated.tolist()
    clock = enrich._state(0).clock
    assert clock.firm == clock.credible == times[-1]
    assert clock.ahead == 1


@pytest.mark.slow
def test_snapshots_in_between() -> None:
    """A member that begins with a snapshot has the clock of its rows answered, whatever waits."""
    rows = stream(9)
    rows.insert(60, (rows[60][0] + 400 * DAY, "a", "hall", 1.0))
    whole, cut = (World(cases.pipeline(late="score"), MemoryStore(), seed=9, now=4e9) for _ in range(2))
    wanted = answers(whole, rows)
    cut.publish(cases.events(rows))
    cut.run(rows=4, restarts=0.1)
    for name, row in wanted.items():
        found = next(r for r in cut.answers().to_pylist() if r["event_id"] == name)
        assert without_nan(found["sensor"]) == without_nan(row["sensor"])  # type: ignore[arg-type]  # a dict
    for log in whole.events:
        one, other = (world.enrich._state(log.partition).clock.state for world in (whole, cut))
        assert np.array_equal(one, other)
