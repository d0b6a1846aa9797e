"""A stream's incidents: one that stays open is taken for what is usual where the pipeline says so, at the same row."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest

from headrace.columnar import packing
from headrace.domain.drift.first_values import LEARNT
from headrace.domain.drift.incidents import IncidentStep
from headrace.domain.drift.model_monitor import ModelMonitor
from headrace.domain.drift.reference_profile import ColumnProfile, profile_of
from headrace.domain.records.drift_parts import ModelRows
from headrace.domain.records.watched_columns import ModelIdentity
from services.drift.stream_watch import DAY, StreamWatch

MODEL = ModelIdentity("m", "1", "d")
ROWS, EVERY = 20_000, 60_000
"""Rows of some 14 days."""
CHANGED = 5_000


def profiles() -> dict[str, ColumnProfile]:
    """Of independent normals."""
    return profile_of(("a", "b"), np.random.default_rng(1).normal(size=(20_000, 2)))


def watch(accept_after: int | None) -> StreamWatch:
    """One source, two columns."""
    return StreamWatch(lambda model: ModelMonitor(("a", "b"), profiles(), 2.0), accept_after)


def rows() -> ModelRows:
    """`a` moves and stays there."""
    values = np.random.default_rng(2).normal(size=(ROWS, 2))
    values[CHANGED:, 0] += 1.0
    made = profiles()
    places = np.column_stack([made[name].bins.place(pa.array(values[:, at])) for at, name in enumerate(("a", "b"))])
    offsets = np.arange(ROWS)
    return ModelRows(DAY * 100 + offsets * EVERY, np.zeros(ROWS, np.int64), offsets, places, np.empty((ROWS, 0)))


def told(accept_after: int | None, cuts: list[int], snapshots: bool = False) -> list[IncidentStep]:
    """What becomes of incidents where rows come in such parts."""
    all_rows, member, found = rows(), watch(accept_after), []
    for low, high in pairwise([0, *cuts, ROWS]):
        part = all_rows.take(slice(low, high))
        member.merge.take(0, high, DAY * 100 + high * EVERY, high == ROWS, {MODEL: part})
        found += [step for _, step in member.watch()]
        if snapshots:
            said, columns = member.save()
            member = watch(accept_after)
            member.load(said, packing.unpack(packing.pack(columns)), 1)
    return found


def same(step: IncidentStep) -> tuple[object, ...]:
    """What must be the same."""
    return step.step, step.number, step.event, step.reached, step.because


def test_an_open_incident_stays_open() -> None:
    """Unless the pipeline says otherwise."""
    assert [step.step for step in told(None, [])] == ["opened"]


@pytest.mark.parametrize("snapshots", [False, True])
def test_one_is_accepted_as_the_day_begins_after_so_long(snapshots: bool) -> None:
    """At the first row of that day, wherever rows are cut; its column is watched against what comes then."""
    whole = told(3 * DAY, [])
    opened, closed = whole
    assert (opened.step, closed.step) == ("opened", "closed")
    assert closed.because == "accepted by drift.accept_after: open for 3d"
    due = -(-(opened.reached + 3 * DAY) // DAY) * DAY
    assert due - EVERY <= closed.reached < due
    assert closed.event == (due - DAY * 100) // EVERY
    assert closed.event + LEARNT < ROWS
    cuts = sorted(np.random.default_rng(3).integers(1, ROWS, 40).tolist())
    assert [same(step) for step in told(3 * DAY, cuts, snapshots)] == [same(step) for step in whole]


def test_a_model_with_other_columns_is_watched_anew_and_its_incident_is_over() -> None:
    """A pipeline got another segment, or headrace another column: nothing of before fits, and that is told once."""
    member, all_rows = watch(None), rows()
    member.merge.take(0, CHANGED + 500, DAY * 100 + (CHANGED + 500) * EVERY, False, {MODEL: all_rows})
    opened = [step.step for _, step in member.watch()]
    assert opened == ["opened"]
    said, columns = member.save()
    found = profile_of(("a", "b", "c"), np.random.default_rng(4).normal(size=(5_000, 3)))
    later = StreamWatch(lambda model: ModelMonitor(("a", "b", "c"), found, 2.0))
    later.load(said, columns, 1)
    assert later.other == [MODEL]
    closed = [step for _, step in later.watch()]
    assert [(step.step, step.number, step.because) for step in closed] == [("closed", 1, "its columns are others now")]
    assert not later.incidents.open
    assert not [*later.watch()]
    assert later.monitors[MODEL].events == 0
