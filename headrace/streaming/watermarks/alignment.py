"""Rows of several partitions in one order by their time: none goes far ahead of others that have more to say.

What Flink calls watermark alignment, within one process. Producers that spread the records of one entity over several
partitions leave their order to whoever reads them: a log that is read from its beginning would come partition by
partition, and all of the second one be late. Members of one group do not align with each other.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from headrace.streaming.process.logs import logger
from headrace.streaming.records.batch import Batch, unslot
from headrace.streaming.watermarks.event_time import LATEST, LEAST, NEVER, Clock

log = logger("alignment")
Ints = npt.NDArray[np.int64]
PATIENCE_S = 30.0
"""So long rows wait for a partition that has more and does not catch up: its broker may be gone, its clock another."""
CATCHING_UP = 10
"""Times as fast as the clock a partition has to go on to be waited for longer than that."""
NEAR = 4
"""Rows after a row that may confirm what it says."""


@dataclass(frozen=True, slots=True)
class Merged:
    """Which rows of a batch may be taken.

    Attributes:
        rows: in the order of their time, each partition's in its own order.
        rest: of partitions with rows that wait, the offset of the first one.
    """

    rows: Ints
    rest: dict[int, int]


@dataclass(slots=True)
class _Place:
    """A partition.

    Attributes:
        clock: after the last row that was taken.
        reached: the time of that row.
        ended: its log is known to be at its end.
        left: others were tired of waiting for it, and do not until it is as far as they are.
        waiting: since when its rows wait, and for which time of the others they did then.
    """

    clock: Clock = field(default_factory=Clock)
    reached: int = NEVER
    ended: bool = False
    left: bool = False
    waiting: tuple[float, int] | None = None


class Alignment:
    """Which rows of one member's partitions may be taken.

    A row's time counts as far as its partition's clock believes it (`event_time.Clock`), so one that is dated wrongly
    holds nobody up. A partition that is at its end holds nobody up either.

    Args:
        lateness: how far behind the others a record may come and not be late, ms. A partition goes half as far ahead of
            one that has more to say.
    """

    def __init__(self, lateness: int) -> None:
        self._lateness = lateness
        self._places: dict[int, _Place] = {}

    def own(self, partition: int) -> None:
        """A partition whose rows will come."""
        self._places[partition] = _Place()

    def drop(self, partition: int) -> None:
        """A partition that is another member's now."""
        self._places.pop(partition, None)

    def at_end(self, partitions: Collection[int]) -> None:
        """These are at their end, and no others."""
        for partition, place in self._places.items():
            place.ended = partition in partitions

    def merge(self, batch: Batch, times: Ints, now: float) -> Merged:
        """The rows that may be taken now. Those that wait are to be offered again, with those of the other partitions.

        Args:
            times: int64[rows of batch], their times, ms.
            now: seconds.
        """
        runs = list(batch.runs())
        keys, reaches = np.empty(len(batch), np.int64), {}
        for partition, rows in runs:
            place = self._places[partition]
            place.ended = False
            keys[rows] = self._believed(Clock(place.clock.state), times[rows], batch.offset[rows])
            reaches[partition] = int(keys[rows][-1])
        taken, rest = np.zeros(len(batch), np.bool_), {}
        for partition, rows in runs:
            limit = self._limit(partition, reaches)
            count = int(np.searchsorted(keys[rows], limit, "right"))
            if not count and self._is_tired(self._places[partition], limit, now):
                self._leave_behind(partition, reaches)
                count = rows.stop - rows.start
            stop = rows.start + count
            if stop < rows.stop:
                rest[partition] = int(batch.offset[stop])
            if count:
                self._take(partition, times[rows.start : stop], batch.offset[rows.start : stop], int(keys[stop - 1]))
                taken[rows.start : stop] = True
        self._welcome_back()
        found = np.flatnonzero(taken)
        return Merged(found[np.argsort(keys[found], kind="stable")], rest)

    def _believed(self, clock: Clock, times: Ints, offsets: Ints) -> Ints:
        """Times of rows, as far as the clock believes them with the next few rows; never going back.

        A clock that is young believes nothing of the newest rows, which are taken at their word.
        """
        young = max(LEAST - clock.count, 0)
        before = clock.before_each(times, offsets, self._lateness)[1]
        after = np.append(before[1:], clock.credible)
        unknown = int(np.searchsorted(after, NEVER, "right"))
        first = after[unknown] if unknown < len(after) else np.clip(times, NEVER, LATEST).min()
        after[:unknown] = np.clip(times[:unknown], NEVER, first)
        soon = after[np.minimum(np.arange(len(after)) + NEAR, len(after) - 1)]
        soon[max(len(soon) - NEAR, 0) : young] = LATEST
        found: Ints = np.maximum.accumulate(np.maximum(after, np.where(times <= soon, times, NEVER)))
        return found

    def _limit(self, partition: int, reaches: Mapping[int, int]) -> int:
        """How far a partition may go: as far as the others have, or say that they will, and a little further."""
        others = [reaches.get(other, self._places[other].reached) for other in self._awaited(partition, reaches)]
        return min(others) + self._lateness // 2 if others else LATEST + 1

    def _awaited(self, partition: int, reaches: Mapping[int, int]) -> Iterator[int]:
        for other, place in self._places.items():
            if other != partition and not place.left and (other in reaches or not place.ended):
                yield other

    def _is_tired(self, place: _Place, limit: int, now: float) -> bool:
        """Whether rows have waited for long enough, while those that they wait for did not come nearer."""
        since, before = place.waiting or (now, limit)
        if now - since < PATIENCE_S:
            place.waiting = since, before
            return False
        came_nearer = limit - before >= CATCHING_UP * 1000 * (now - since)
        place.waiting = (now, limit) if came_nearer else None
        return not came_nearer

    def _leave_behind(self, partition: int, reaches: Mapping[int, int]) -> None:
        reach = self._places[partition].reached
        for other in self._awaited(partition, reaches):
            place = self._places[other]
            place.left = place.left or reaches.get(other, place.reached) <= max(reach, reaches[partition])
        log.warning(
            "events of a partition wait no longer for those of others",
            partition=unslot(partition)[1],
            behind=sorted(unslot(other)[1] for other, place in self._places.items() if place.left),
        )

    def _take(self, partition: int, times: Ints, offsets: Ints, reached: int) -> None:
        place = self._places[partition]
        place.clock.before_each(times, offsets, self._lateness)
        place.reached, place.waiting = reached, None

    def _welcome_back(self) -> None:
        """Who is as far as the others is waited for again."""
        furthest = max(place.reached for place in self._places.values())
        for place in self._places.values():
            place.left = place.left and place.reached < furthest - self._lateness // 2
