"""One model's columns: an alarm names what changed and since when, is over when it is, and depends on no batch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest

from headrace.columnar import packing
from headrace.domain.drift.alarms import Alarm, DriftEnd
from headrace.domain.drift.first_values import LEARNT
from headrace.domain.drift.model_monitor import PIECE, ModelMonitor
from headrace.domain.drift.reference_bins import NORMAL, Floats
from headrace.domain.drift.reference_growth import OLD
from headrace.domain.drift.reference_profile import ColumnProfile, profile_of

ASKED = 20_000.0
COLUMNS = ("a", "b", "c")
Found = list[Alarm | DriftEnd]


def profiles(names: tuple[str, ...] = COLUMNS, seed: int = 1) -> dict[str, ColumnProfile]:
    """Of 20,000 rows of independent normals."""
    return profile_of(names, np.random.default_rng(seed).normal(size=(20_000, len(names))))


def fold(
    monitor: ModelMonitor,
    rows: Floats,
    cuts: Sequence[int] = (),
    first: int = 0,
    made: dict[str, ColumnProfile] | None = None,
) -> Found:
    """What a monitor finds in rows x columns, one a second; NaN is missing. `made`: the profiles that it was given."""
    known = [COLUMNS.index(name) for name in monitor.known]
    made = made or profiles()
    placed = [made[COLUMNS[at]].bins.place(pa.array(rows[:, at])) for at in known]
    places = np.array(placed, np.uint8).reshape(len(known), len(rows)).T
    values = rows[:, [COLUMNS.index(name) for name in monitor.unknown]].reshape(len(rows), -1)
    times = (first + np.arange(len(rows))) * 1_000
    found: Found = []
    for low, high in pairwise([0, *cuts, len(rows)]):
        part = slice(low, high)
        found += monitor.fold(places[part], values[part], times[part], np.ones(high - low))
    return found


def story(found: Found) -> list[tuple[object, ...]]:
    """What was found, to be compared."""
    return [
        (each.event, each.evidence, *((c.column, c.bet, c.began, c.recent.tolist()) for c in each.changes))
        if isinstance(each, Alarm)
        else (each.event, *each.columns)
        for each in found
    ]


def shifted(seed: int, rows: int = 30_000) -> Floats:
    """Normals of which `b` moves by one from row 6,000 to 9,000, and `c` begins to be missing at 20,000."""
    draw = np.random.default_rng(seed)
    found = draw.normal(size=(rows, 3))
    found[6_000:9_000, 1] += 1.0
    found[20_000:, 2][draw.random(rows - 20_000) < 0.2] = np.nan
    return found


def test_an_alarm_names_what_changed_and_since_when_and_ends() -> None:
    """One alarm for each change, with its column, its beginning within a few events, and its end."""
    found = fold(ModelMonitor(COLUMNS, profiles(), ASKED), shifted(2))
    first, over, second = found
    assert isinstance(first, Alarm)
    assert isinstance(over, DriftEnd)
    assert isinstance(second, Alarm)
    (change,) = first.changes
    assert change.column == "b"
    assert change.bet.startswith(("shift +", "high tail"))
    assert 6_000 < first.event < 6_080
    assert change.began is not None
    assert abs(change.began.time / 1_000 - 6_000) < 12
    assert change.recent[-4:].sum() > 3 * change.reference[-4:].sum()
    assert over.columns == ("b",)
    assert 9_000 < over.event < 20_000
    assert second.changes[0].column == "c"
    assert second.changes[0].bet.startswith("missing")
    assert 20_000 < second.event < 20_100


@pytest.mark.parametrize("unknown", [(), ("b",), COLUMNS])
def test_cuts_and_snapshots_change_nothing(unknown: tuple[str, ...]) -> None:
    """However the rows come, and whoever goes on with a snapshot: the same alarms at the same events."""
    rows = shifted(3)
    given = {name: profile for name, profile in profiles().items() if name not in unknown}
    monitor = ModelMonitor(COLUMNS, given, ASKED)
    whole = story(fold(monitor, rows))
    assert len(whole) >= 3
    cut = ModelMonitor(COLUMNS, given, ASKED)
    assert story(fold(cut, rows, sorted(np.random.default_rng(4).integers(0, len(rows), 300).tolist()))) == whole
    found: Found = []
    snapshot = b""
    for low in range(0, len(rows), 1_777):
        member = ModelMonitor(COLUMNS, given, ASKED)
        if low:
            member.load(packing.unpack(snapshot))
        found += fold(member, rows[low : low + 1_777], (5, 900), first=low)
        snapshot = packing.pack(member.save())
    assert story(found) == whole
    assert packing.unpack(snapshot).keys() == monitor.save().keys()
    for name, column in packing.unpack(snapshot).items():
        assert np.array_equal(column, np.asarray(monitor.save()[name])), name


def test_a_column_without_a_profile_is_watched_against_its_first_values() -> None:
    """It says how far it is with that, and then is like all others."""
    draw = np.random.default_rng(5)
    given = {name: profile for name, profile in profiles().items() if name != "b"}
    monitor = ModelMonitor(COLUMNS, given, ASKED)
    rows = draw.normal(size=(12_000, 3))
    rows[:, 1] = rows[:, 1] * 5 + 100
    rows[10_000:, 1] += 5
    assert not fold(monitor, rows[: LEARNT - 1])
    learning = {each.column: each.learning for each in monitor.standing()}
    assert learning == {"a": None, "b": LEARNT - 1, "c": None}
    (alarm,) = fold(monitor, rows[LEARNT - 1 :], first=LEARNT - 1)
    assert monitor.standing()[1].learning is None
    assert isinstance(alarm, Alarm)
    assert [change.column for change in alarm.changes] == ["b"]
    assert 10_000 < alarm.event < 10_100


@pytest.mark.parametrize("seed", range(3))
def test_a_small_reference_grows_by_what_came_long_ago_and_raised_no_alarm(seed: int) -> None:
    """What is true stays; what came with an alarm is not taken in; a change is seen sooner than without."""
    draw = np.random.default_rng(seed)
    small = profile_of(COLUMNS, draw.normal(size=(600, 3)))
    monitor = ModelMonitor(COLUMNS, small, 1e6)
    rows = draw.normal(size=(40_000, 3))
    rows[34_000:36_000, 0] += 1.0
    rows[39_000:, 1] += 0.5
    found = fold(monitor, rows, made=small)
    alarms = [each for each in found if isinstance(each, Alarm)]
    assert [change.column for alarm in alarms for change in alarm.changes] == ["a", "b"]
    assert 39_000 < alarms[1].event < 39_200
    said = json.loads(np.asarray(monitor.save()["said"]).tobytes())["learnt"]
    assert 24_000 < sum(said["c"]["counts"]) <= 600 + 40_000 - OLD
    assert sum(said["a"]["counts"]) <= 600 + 34_000 - OLD + PIECE
    edges = [NORMAL.cdf(edge) for edge in said["c"]["edges"]]
    true = np.diff([0.0, *edges, 1.0])
    shares = np.array([small["c"].bins.frequencies, monitor.standing()[2].reference])[:, :-1]
    before, after = np.abs(shares - true).max(axis=1)
    assert after < before / 2


@pytest.mark.parametrize("unknown", [(), ("b",)])
def test_what_is_proved_pays_by_rows_that_made_no_bins(unknown: tuple[str, ...]) -> None:
    """A change is seen, somewhat later than by what is measured; a reference neither grows nor lends to learning."""
    given = {name: profile for name, profile in profiles().items() if name not in unknown}
    rows, found = shifted(2), []
    for proved in (False, True):
        monitor = ModelMonitor(COLUMNS, given, ASKED, proved=proved)
        alarms = [each for each in fold(monitor, rows) if isinstance(each, Alarm)]
        assert [change.column for alarm in alarms for change in alarm.changes] == ["b", "c"]
        found.append(alarms[0].event)
    measured, by_proof = found
    assert 6_000 < measured <= by_proof < 6_150


def test_columns_that_change_together_are_in_one_alarm_or_follow_soon() -> None:
    """All three move: all are named within some hundred events, and none twice."""
    draw = np.random.default_rng(7)
    rows = draw.normal(size=(8_000, 3))
    rows[5_000:] += 0.7
    found = fold(ModelMonitor(COLUMNS, profiles(), ASKED), rows)
    named = [change.column for alarm in found if isinstance(alarm, Alarm) for change in alarm.changes]
    assert sorted(named) == ["a", "b", "c"]
    assert all(alarm.event < 5_200 for alarm in found)


def test_a_snapshot_of_other_columns_is_not_taken_over() -> None:
    """Whoever adds a column is told, and watches anew."""
    before = ModelMonitor(("a", "b"), profiles(("a", "b")), ASKED)
    fold(before, shifted(2)[:2_000])
    monitor = ModelMonitor(COLUMNS, profiles(), ASKED)
    assert not monitor.load(before.save())
    assert monitor.events == 0
    assert monitor.load(ModelMonitor(COLUMNS, profiles(), ASKED).save())


def test_standing_tells_each_part() -> None:
    """Parts of the evidence sum to it; a changed column says so."""
    monitor = ModelMonitor(COLUMNS, profiles(), ASKED)
    fold(monitor, shifted(7)[:7_000])
    standing = {each.column: each for each in monitor.standing()}
    assert standing["b"].changed
    assert not standing["a"].changed
    assert standing["b"].divergence > 20 * standing["a"].divergence
    assert standing["a"].events == 7_000
    assert standing["a"].recent.sum() == pytest.approx(1.0)
