"""What the marks of sources say about progress, and about what may be forgotten."""

from __future__ import annotations

import numpy as np
import pytest

from headrace.domain.features.store_keys import ViewProgress, read_progress, write_progress
from headrace.errors import ContractError
from headrace.streaming.watermarks.event_time import NEVER
from headrace.streaming.watermarks.sources import ALWAYS, Sources

IDLE_AFTER = 10


def heard(*marks: tuple[int, int, bool, int]) -> Sources:
    """Sources after a first mark each, as (progress, floor, idle, time)."""
    sources = Sources(len(marks), IDLE_AFTER)
    for source, (progress, floor, idle, time) in enumerate(marks):
        assert sources.mark(source, 1, progress, floor, idle, time)
    return sources


def joined(*partitions: Sources) -> ViewProgress | None:
    """What a reader learns from all partitions of a view."""
    return read_progress([write_progress(*sources.progress()) for sources in partitions], 2)


def test_progress() -> None:
    """A source waits for itself and for all that are not idle, in every partition of the view."""
    awake, idle = heard((50, 0, False, 1), (30, 0, False, 1)), heard((60, 0, False, 1), (20, 0, True, 7))
    progress = joined(awake)
    assert progress is not None
    assert progress.passed.tolist() == [30, 30]
    assert progress.others.tolist() == [30, 50]
    assert progress.offsets.tolist() == [1, 1]
    assert progress.seen == ALWAYS
    progress = joined(idle)
    assert progress is not None
    assert progress.passed.tolist() == [60, 20]
    assert progress.others.tolist() == [ALWAYS, 60]
    assert progress.seen == 7
    progress = joined(awake, idle)
    assert progress is not None
    assert progress.passed.tolist() == [30, 20]
    assert progress.seen == 7


def test_unheard() -> None:
    """A source that nothing was heard of has reached nothing, and what was not written is not known."""
    sources = Sources(2, IDLE_AFTER)
    sources.mark(0, 1, 50, 0, False, 1)
    progress = joined(sources)
    assert progress is not None
    assert progress.passed.tolist() == [NEVER, NEVER]
    assert read_progress([None, write_progress(*sources.progress())], 2) is None
    assert read_progress([write_progress(*sources.progress())], 3) is None, "of fewer sources than there are now"
    with pytest.raises(ContractError, match="48 bytes of 2 sources"):
        read_progress([b"12345678"], 2)


def test_repeats() -> None:
    """A mark that is older than the known one is not taken up, one of the same place is."""
    sources = heard((50, 0, False, 1), (30, 0, False, 1))
    sources.mark(0, 5, 60, 0, False, 1)
    assert not sources.mark(0, 4, 55, 0, False, 1)
    assert sources.mark(0, 5, 60, 0, True, 20)
    assert sources.progress()[0].tolist() == [60, 30]
    assert sources.progress()[1].tolist() == [20, ALWAYS]
    with pytest.raises(ContractError, match="source partition 2"):
        sources.mark(2, 1, 0, 0, False, 1)


def test_horizon() -> None:
    """While all sources are awake, the lowest floor is the horizon at once."""
    sources = heard((50, 5, False, 1), (30, 3, False, 1))
    assert sources.horizon() == 3
    sources.mark(1, 2, 60, 6, False, 2)
    assert sources.horizon() == 5
    assert Sources(2, IDLE_AFTER).horizon() == NEVER


def test_horizon_of_idle_sources() -> None:
    """What an idle source might ask for goes only when it was seen at its end long enough after the others' marks."""
    sources = heard((50, 5, False, 100), (30, 3, False, 100))
    sources.mark(1, 1, 30, 3, True, 115)
    sources.mark(0, 2, 500, 400, False, 120)
    assert sources.horizon() == 5
    sources.mark(1, 1, 30, 3, True, 129)
    assert sources.horizon() == 5
    sources.mark(1, 1, 30, 3, True, 131)
    assert sources.horizon() == 400


def test_horizon_of_woken_sources() -> None:
    """A source that turns out to have had records unread is asked again."""
    sources = heard((50, 5, False, 100), (30, 3, False, 100))
    sources.mark(1, 1, 30, 3, True, 115)
    sources.mark(0, 2, 500, 400, False, 120)
    sources.mark(1, 2, 90, 40, False, 121)
    assert sources.horizon() == 40


def test_horizon_when_all_are_idle() -> None:
    """When nobody is awake, the highest floor is what is left to ask, once all were seen at their ends."""
    sources = heard((50, 5, False, 100), (30, 3, False, 100))
    for time in (109, 110, 111, 121):
        sources.mark(0, 1, 50, 5, True, time)
        sources.mark(1, 1, 30, 3, True, time)
    assert sources.horizon() == 5


def test_snapshot() -> None:
    """A copy made from the columns goes on as the first would."""
    sources = heard((50, 5, False, 100), (30, 3, True, 115))
    copy = Sources(2, IDLE_AFTER)
    copy.load(sources.columns())
    for each in (sources, copy):
        each.mark(0, 2, 500, 400, False, 120)
        each.mark(1, 1, 30, 3, True, 140)
    assert copy.horizon() == sources.horizon()
    for name, column in sources.columns().items():
        assert np.array_equal(copy.columns()[name], column)
    with pytest.raises(ContractError, match="source partitions"):
        Sources(1, IDLE_AFTER).load(sources.columns())


def test_sources_that_were_added() -> None:
    """Of a source partition that was added since, nothing was heard: nobody goes on without it."""
    sources = heard((50, 5, False, 100), (30, 3, False, 100))
    copy = Sources(3, IDLE_AFTER)
    copy.load(sources.columns())
    assert copy.progress()[0].tolist() == [50, 30, NEVER]
    copy.mark(0, 2, 500, 400, False, 120)
    assert copy.horizon() == sources.horizon(), "it may still ask for what the others do not"
    copy.mark(2, 1, 40, 4, False, 120)
    assert copy.horizon() == 3
