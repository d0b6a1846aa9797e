"""Rows of several partitions in one order: whoever comes first, and whoever is idle."""

from __future__ import annotations

import numpy as np
import pytest

from headrace.domain.records.drift_parts import ModelRows, pack, unpack
from headrace.domain.records.watched_columns import ModelIdentity
from headrace.errors import ContractError
from services.drift.source_merge import SourceMerge

MODEL = ModelIdentity("m", "1", "sha256:" + "1" * 64)


def rows(source: int, *progress: int, first: int = 0) -> dict[ModelIdentity, ModelRows]:
    """Rows of a source at these times, one bin and no value each."""
    count = len(progress)
    return {
        MODEL: ModelRows(
            np.array(progress, np.int64),
            np.full(count, source),
            first + np.arange(count),
            np.full((count, 1), source, np.uint8),
            np.empty((count, 0)),
        )
    }


def given(merge: SourceMerge) -> list[tuple[int, int]]:
    """(time, source) of the rows whose turn it is."""
    return [
        (int(time), int(source))
        for due in merge.given()
        for time, source in zip(due.rows.progress, due.rows.source, strict=True)
    ]


def test_rows_wait_for_who_may_tell_earlier_ones() -> None:
    """Up to the slowest source, those of the same time by source; the rest when it has gone on."""
    merge = SourceMerge()
    merge.marks.grow(2)
    merge.take(0, 3, 30, False, rows(0, 10, 20, 30))
    assert given(merge) == []
    merge.take(1, 2, 20, False, rows(1, 10, 15))
    assert given(merge) == [(10, 0), (10, 1), (15, 1)]
    assert len(merge) == 2
    merge.take(1, 3, 40, False, rows(1, 20, first=2))
    assert given(merge) == [(20, 0), (20, 1)]


def test_who_is_idle_is_not_waited_for() -> None:
    """Until it comes back."""
    merge = SourceMerge()
    merge.marks.grow(2)
    merge.take(0, 2, 20, False, rows(0, 10, 20))
    merge.take(1, 0, -1, True, {})
    assert given(merge) == [(10, 0)]
    merge.take(1, 1, 15, False, rows(1, 15))
    assert given(merge) == []
    merge.take(0, 2, 20, True, {})
    merge.take(1, 1, 15, True, {})
    assert given(merge) == [(15, 1), (20, 0)]


def test_what_was_told_before_is_left_out() -> None:
    """Whole parts, and rows of a part that reaches back."""
    merge = SourceMerge()
    merge.marks.grow(1)
    merge.take(0, 2, 20, False, rows(0, 10, 20))
    merge.take(0, 1, 10, False, rows(0, 10))
    merge.take(0, 4, 50, False, rows(0, 10, 20, 30, 40))
    assert given(merge) == [(10, 0), (20, 0), (30, 0), (40, 0)]


def test_partitions_that_are_added_are_waited_for_from_when_that_is_told() -> None:
    """Not before, whoever goes on with a snapshot; and they tell so themselves, at the latest."""
    before = SourceMerge()
    before.marks.grow(1)
    before.take(0, 2, 30, False, rows(0, 10, 20))
    grown = SourceMerge()
    grown.load(*before.columns(), 2)
    assert (grown.marks.count, len(grown)) == (1, 2)
    grown.marks.grow(2)
    assert given(grown) == []
    grown.take(1, 0, -1, True, {})
    assert given(grown) == [(10, 0), (20, 0)]
    grown.take(3, 1, 25, False, rows(3, 15))
    assert grown.marks.count == 4
    grown.take(0, 3, 40, False, rows(0, 30, first=2))
    assert given(grown) == []
    grown.take(2, 0, -1, True, {})
    assert given(grown) == [(15, 3)]
    with pytest.raises(ContractError, match="the topic was made anew"):
        SourceMerge().load(*grown.columns(), 3)


def test_a_damaged_part_is_refused() -> None:
    """One that lacks a column, or a model."""
    payload = pack(rows(0, 10, 20))
    assert len(unpack([MODEL], payload)[MODEL]) == 2
    with pytest.raises(ContractError, match="damaged"):
        unpack([MODEL, MODEL._replace(version="2")], payload)
    with pytest.raises(ContractError):
        unpack([MODEL], payload[:-3])
