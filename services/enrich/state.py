"""What enrich knows of one partition of the events."""

from __future__ import annotations

from dataclasses import dataclass, field

from headrace.domain.features.duplicates import Ids
from headrace.domain.features.keyed_windows import EntityWindows
from headrace.streaming.watermarks.event_time import Clock


@dataclass(slots=True)
class PartitionState:
    """The windows of its entities, and what is known of its rows.

    `ids` are those of its newest events, and `clock` the fold of their times, of all that were admitted; `waiting` the
    least event time of each lot of rows that were admitted and not answered yet, by their last offset; `fresh` that of
    rows answered since everything was durable; `told` how many records ahead of their partition's time were told of.
    """

    views: dict[str, EntityWindows]
    ids: Ids
    clock: Clock = field(default_factory=Clock)
    next_offset: int = 0
    waiting: dict[int, int] = field(default_factory=dict)
    fresh: int | None = None
    told: int = 0

    def asked_from(self) -> int | None:
        """The least event time of rows that are not answered for good."""
        times = [*self.waiting.values()] if self.fresh is None else [*self.waiting.values(), self.fresh]
        return min(times, default=None)
