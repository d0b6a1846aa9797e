"""How fast records come, and how fast they are gone through."""

from __future__ import annotations

from dataclasses import dataclass, field

from headrace.streaming.records.batch import Batch

WINDOW = 1.0  # seconds at least: long enough for a rate
LEAST_SPAN = 0.1  # seconds: records written within less tell no rate


@dataclass(frozen=True, slots=True)
class Load:
    """What a window showed.

    Attributes:
        lag: seconds; age of its oldest record when the batch with it was begun.
        rows_per_second: records that are written to this member's partitions in a second, by their own time stamps.
        seconds_per_row: time that went by for each row; what a row costs, when there was no end to wait at.
    """

    lag: float
    rows_per_second: float
    seconds_per_row: float


@dataclass(slots=True)
class LoadMeter:
    """Measures windows of at least a second; is told every batch, and when there is none."""

    _begin: float | None = None
    _rows: int = 0
    _lag: float = 0.0
    _spans: dict[int, tuple[int, int, int]] = field(default_factory=dict)  # partition: rows, first and last stamp (ms)
    _rates: dict[int, float] = field(default_factory=dict)  # a window may have no rows of a partition: its last is kept

    def note(self, batch: Batch, now: float) -> Load | None:
        """A batch is about to be processed; the window before it, when that is long enough."""
        load = None
        if self._begin is not None and now - self._begin >= WINDOW:
            load = self._close(now - self._begin)
            self._begin = None
        if self._begin is None:
            self._restart(now)
        self._lag = max(self._lag, now - float(batch.timestamp.min()) / 1000)
        self._rows += len(batch)
        for partition, rows in batch.runs():
            oldest, newest = int(batch.timestamp[rows].min()), int(batch.timestamp[rows].max())
            count, first, last = self._spans.get(partition, (0, oldest, newest))
            self._spans[partition] = (count + rows.stop - rows.start, min(first, oldest), max(last, newest))
        return load

    def idle(self) -> Load:
        """There is nothing to process."""
        self._begin = None
        self._rates.clear()
        return Load(0.0, 0.0, 0.0)

    def drop(self, partition: int) -> None:
        """A partition is another member's now."""
        self._rates.pop(partition, None)
        self._spans.pop(partition, None)

    def _restart(self, now: float) -> None:
        self._begin, self._rows, self._lag = now, 0, 0.0
        self._spans.clear()

    def _close(self, seconds: float) -> Load:
        for partition, (count, first, last) in self._spans.items():
            self._rates[partition] = (count - 1) / max((last - first) / 1000, LEAST_SPAN)
        return Load(self._lag, sum(self._rates.values()), seconds / self._rows)
