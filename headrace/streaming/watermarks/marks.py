"""How far a source is: what whoever sends its records on tells all that read them by another key."""

from __future__ import annotations

from dataclasses import dataclass

NOTHING = -(1 << 60)
"""A time before all that records may have, which a floor may be."""


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a source partition is.

    Attributes:
        source: its number among the inputs of the service that tells, see `slot`; records name the partition.
        next_offset: all its records below this offset are told.
        progress: how far its event time has credibly come (see `event_time`), or what is joined from it has; the year 1
            when there was none.
        time: milliseconds of the clock, not of events: when the newest of its records was written or, if it is idle,
            when it was last seen at its end.
        idle: it stayed at its end for so long that nobody should wait for it.
        floor: nothing at or before this time will be asked for by its records, NOTHING while any time may be; of a
            source that is joined from others, all up to this time is told whoever is idle.
        heard: of an idle source that is joined from others, when those of them that are awake were heard of, the least
            lately, by the clock; 0: all are idle.
    """

    source: int
    next_offset: int
    progress: int
    time: int
    idle: bool = False
    floor: int = NOTHING
    heard: int = 0
