"""When a partition may stop waiting for others: once nobody can have anything to tell."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from headrace.domain.features.store_keys import Truth, ViewProgress
from headrace.streaming.watermarks.sources import ALWAYS
from services.enrich.standstill import Standstill
from tests.enrich.cases import ROOM

TOLD = ViewProgress(np.array([5, 5]), np.array([7, 9]), np.array([3, 4]), ALWAYS)


def lasts(still: Standstill, told: ViewProgress | None, now: float) -> bool:
    """Whether all stands still for partition 0."""
    return still.lasts(0, {"room": told}, now)


def test_without_idle_sources() -> None:
    """Where no source is idle, `idle_after` without news is a standstill; news or a clock set back begin anew."""
    still = Standstill([ROOM])
    assert [lasts(still, TOLD, now) for now in (100.0, 100.9, 101.0)] == [False, False, True]
    news = replace(TOLD, offsets=np.array([3, 5]))
    assert [lasts(still, news, now) for now in (101.5, 102.4, 102.5)] == [False, False, True]
    assert [lasts(still, news, now) for now in (90.0, 90.9, 91.0)] == [False, False, True]
    still.forget(0)
    assert not lasts(still, news, 200.0)


def test_idle_sources_have_their_time() -> None:
    """Others may wait until idle sources were seen `idle_after` after the news: only then does the time begin."""
    still = Standstill([ROOM])
    for now, seen, stands in (
        (100.0, 99_000, False), (101.2, 100_900, False), (101.7, 101_000, False), (102.6, 101_900, False),
        (102.7, 101_900, True),
    ):  # fmt: skip  # a table
        assert lasts(still, replace(TOLD, seen=seen), now) == stands


def test_labels_are_waited_for() -> None:
    """News of labels begin anew, as others wait for these; that they are alive is no news."""
    still = Standstill([ROOM])
    labels = Truth(known=1, seen=ALWAYS, alive=1, sure=1)
    assert not lasts(still, replace(TOLD, labels=labels), 100.0)
    assert not lasts(still, replace(TOLD, labels=replace(labels, known=2, alive=2)), 101.0)
    assert lasts(still, replace(TOLD, labels=replace(labels, known=2, alive=9)), 102.0)


def test_unheard_sources() -> None:
    """While a source or a partition of a view was never heard of, nothing stands still."""
    still = Standstill([ROOM])
    for told in (None, replace(TOLD, offsets=np.array([-1, 4]))):
        assert not any(lasts(still, told, now) for now in (100.0, 110.0, 120.0))
