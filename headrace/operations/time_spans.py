"""Spans of event time, as people ask for them and as they are told."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

FOREVER = 2**62


@dataclass(frozen=True, slots=True)
class Bounds:
    """Ends of a span, milliseconds since the epoch; `to` is not included, None leaves an end open."""

    from_: int | None
    to: int | None


@dataclass(frozen=True, slots=True)
class TimeSpan:
    """Event times from `start` up to, not including, `stop`; milliseconds since the epoch."""

    start: int = -FOREVER
    stop: int = FOREVER

    @property
    def text(self) -> str:
        """`2018-04-01 00:00 to 2018-04-08 00:00`; an open end is three dots, two of them `all times`."""
        if self == TimeSpan():
            return "all times"
        ends = [minute(end) if abs(end) < FOREVER else "..." for end in (self.start, self.stop)]
        return f"{ends[0]} to {ends[1]}"

    @property
    def bounds(self) -> Bounds:
        """Its ends, None for an open one."""
        return Bounds(*(end if abs(end) < FOREVER else None for end in (self.start, self.stop)))


@dataclass(frozen=True, slots=True)
class SpanRequest:
    """What a person asked for: a span, or one that is known only once the newest event time is.

    Attributes:
        span: as far as it is known.
        length: milliseconds before the end of what there is; None when the span says all.
        aligned: whether the end is that of the newest multiple of `length`, as windows begin at multiples.
    """

    span: TimeSpan = TimeSpan()
    length: int | None = None
    aligned: bool = False

    def settled(self, newest: int) -> TimeSpan:
        """The span, once the newest event time is known.

        >>> SpanRequest(length=10).settled(25), SpanRequest(length=10, aligned=True).settled(25)
        (TimeSpan(start=16, stop=26), TimeSpan(start=20, stop=30))
        """
        if self.length is None:
            return self.span
        stop = (newest // self.length + 1) * self.length if self.aligned else newest + 1
        return TimeSpan(stop - self.length, stop)


def moment(ms: int) -> str:
    """Milliseconds since the epoch as people read them, UTC.

    >>> moment(1_522_540_800_000)
    '2018-04-01 00:00:00'
    """
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M:%S}"


def iso(ms: int) -> str:
    """Milliseconds since the epoch in ISO 8601, as JSON has times.

    >>> iso(1_522_540_800_000)
    '2018-04-01T00:00:00.000Z'
    """
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def minute(ms: int) -> str:
    """Milliseconds since the epoch to the minute, UTC; seconds only where there are some.

    >>> minute(1_522_540_800_000), minute(1_522_540_801_000)
    ('2018-04-01 00:00', '2018-04-01 00:00:01')
    """
    return moment(ms).removesuffix(":00") if ms % 60_000 == 0 else moment(ms)
