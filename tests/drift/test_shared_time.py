"""What a row stands for: the time since its model's last one, shared among the models that answer."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from headrace.domain.drift.alarms import Alarm, DriftEnd
from headrace.domain.drift.allowance import LONGEST, MONTH
from headrace.domain.drift.refusals.refusal_rate import RefusalRate
from headrace.domain.records.drift_parts import Bytes, Floats, Ints, ModelRows
from headrace.domain.records.watched_columns import ModelIdentity
from services.drift.stream_watch import StreamWatch

ONE, TWO = ModelIdentity("m", "1", "a"), ModelIdentity("m", "2", "b")


class Listener(RefusalRate):
    """Remembers what its rows stand for."""

    def __init__(self) -> None:
        super().__init__(1e9)
        self.begun: list[float] = []

    def fold(self, places: Bytes, values: Floats, times: Ints, begun: Floats) -> Iterator[Alarm | DriftEnd]:
        """Nothing follows."""
        self.begun += begun.tolist()
        yield from super().fold(places, values, times, begun)


def rows(*told: tuple[int, int]) -> ModelRows:
    """Of (offset, time)."""
    offset, time = np.array(told, np.int64).T
    count = len(told)
    return ModelRows(time, np.zeros(count, np.int64), offset, np.empty((count, 0), np.uint8), np.ones((count, 2)))


def heard(watch: StreamWatch, model: ModelIdentity) -> list[float]:
    """Milliseconds that rows of a model stood for."""
    monitor = watch.monitors[model]
    assert isinstance(monitor, Listener)
    return [begun * MONTH for begun in monitor.begun]


def test_a_row_stands_for_the_time_that_went_by_and_a_gap_for_little() -> None:
    """The sum is the time that the stream took, but for gaps."""
    watch = StreamWatch(lambda model: Listener())
    times = (0, 1_000, 1_000, 5_000, 5_000 + MONTH)
    watch.merge.take(0, 5, 2 * MONTH, True, {ONE: rows(*enumerate(times))})
    assert not [*watch.watch()]
    assert heard(watch, ONE) == pytest.approx([0, 1_000, 0, 4_000, LONGEST])


def test_models_that_answer_the_same_events_share_the_time() -> None:
    """Though time has gone on with the first of them when the others' rows come; wherever parts are cut."""
    first = [(at, at // 2 * 1_000) for at in range(0, 40, 2)]
    second = [(at, at // 2 * 1_000) for at in range(11, 40, 2)]
    for cuts in ((40,), (7, 8, 12, 40)):
        watch = StreamWatch(lambda model: Listener())
        for cut in cuts:
            told = {
                model: rows(*(row for row in several if row[0] < cut))
                for model, several in ((ONE, first), (TWO, second))
                if any(row[0] < cut for row in several)
            }
            watch.merge.take(0, cut, cut // 2 * 1_000, True, told)
            assert not [*watch.watch()]
        assert heard(watch, ONE) == pytest.approx([0, *[1_000] * 5, *[500] * 14])
        assert heard(watch, TWO) == pytest.approx([0, *[500] * 14])
