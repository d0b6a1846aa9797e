"""Whether all that a partition waits for has stood still for so long that it may go on with what there is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf

from headrace.domain.features.store_keys import ViewProgress
from headrace.domain.pipeline.spec import View


@dataclass(slots=True)
class _Still:
    """What was told, when that last changed, and since when nobody need wait for an idle source (infinity: not yet), by
    the clock in seconds.
    """

    told: bytes
    changed: float
    free: float = inf


class Standstill:
    """By partition that waits, since when others have told nothing new.

    Others that tell nothing new need not be at an end: their own rows wait for idle sources, until these are seen at
    their ends `idle_after` after the rows were written, and for labels. So what is told of labels counts as new, and
    the time of standing still begins when idle sources were seen `idle_after` after the last news: what others hold was
    written before that news, so nobody waits for idle sources from then on, and whoever has more tells it.

    Parameters:
        views: those that another entity keys.
    """

    def __init__(self, views: Sequence[View]) -> None:
        self._idle_after = {view.name: view.idle_after for view in views}
        self._lasts = max(self._idle_after.values(), default=0) / 1000
        self._still: dict[int, _Still] = {}

    def forget(self, partition: int) -> None:
        """A partition does not wait, or is no longer ours."""
        self._still.pop(partition, None)

    def lasts(self, partition: int, progress: Mapping[str, ViewProgress | None], now: float) -> bool:
        """Whether all has stood still for `idle_after`, given what the views tell now (seconds of the clock)."""
        told = {view: each for view, each in progress.items() if each is not None}
        if len(told) < len(progress) or any(each.offsets.min() < 0 for each in told.values()):
            return False  # Somebody was never heard of: whoever reads those partitions has not begun.
        news = b"".join(map(_news, told.values()))
        still = self._still.get(partition)
        if still is None or still.told != news or still.changed > now:  # A clock that was set back begins anew.
            still = self._still[partition] = _Still(news, now)
        if still.free > now and all(_seen(e) >= still.changed * 1000 + self._idle_after[v] for v, e in told.items()):
            still.free = now
        return now - still.free >= self._lasts


def _news(told: ViewProgress) -> bytes:
    """What is not the same once somebody went on. Signs of life are no news: they come without end."""
    labels = b"" if told.labels is None else f"{told.labels.known} {told.labels.sure}".encode()
    return told.others.tobytes() + told.offsets.tobytes() + labels


def _seen(told: ViewProgress) -> int:
    """When the idle sources that rows of a backfill wait for were last seen at their ends, milliseconds."""
    return told.seen if told.labels is None else min(told.seen, told.labels.seen)
