"""Spans of event time on a command line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from headrace.cli.options import milliseconds
from headrace.cli.render.package import moment
from headrace.domain.pipeline import units
from headrace.errors import ConfigurationError

Window = Annotated[
    str | None,
    typer.Option(
        "--window", metavar="FROM..TO", help="Event times, TO not included; either may be left out. 1d: the newest day."
    ),
]
Last = Annotated[str | None, typer.Option("--last", metavar="DURATION", help="The newest event times: 7d, 12h.")]
FOREVER = 2**62


@dataclass(frozen=True, slots=True)
class Span:
    """Event times from `start` up to, not including, `stop`; milliseconds since the epoch."""

    start: int = -FOREVER
    stop: int = FOREVER

    @property
    def text(self) -> str:
        """`2018-04-01 00:00 to 2018-04-08 00:00`; an open end is three dots, two of them `all times`."""
        if self == Span():
            return "all times"
        ends = [minute(end) if abs(end) < FOREVER else "..." for end in (self.start, self.stop)]
        return f"{ends[0]} to {ends[1]}"

    def told(self) -> dict[str, int | None]:
        """As JSON has it: milliseconds, null for an open end."""
        return {name: end if abs(end) < FOREVER else None for name, end in (("from", self.start), ("to", self.stop))}


@dataclass(frozen=True, slots=True)
class Asked:
    """What a person asked for: a span, or one that is known only once the newest event time is.

    Attributes:
        span: as far as it is known.
        length: milliseconds before the end of what there is; None when the span says all.
        aligned: whether the end is that of the newest multiple of `length`, as windows begin at multiples.
    """

    span: Span = Span()
    length: int | None = None
    aligned: bool = False

    def settled(self, newest: int) -> Span:
        """The span, once the newest event time is known.

        >>> Asked(length=10).settled(25), Asked(length=10, aligned=True).settled(25)
        (Span(start=16, stop=26), Span(start=20, stop=30))
        """
        if self.length is None:
            return self.span
        stop = (newest // self.length + 1) * self.length if self.aligned else newest + 1
        return Span(stop - self.length, stop)


def asked(window: str | None, last: str | None) -> Asked | None:
    """What `--window` and `--last` say together; None when neither is given.

    >>> asked("1970-01-02..1970-01-03", None)
    Asked(span=Span(start=86400000, stop=172800000), length=None, aligned=False)

    Raises:
        ConfigurationError: both are given, or one is no span; says what to write.
    """
    if window is not None and last is not None:
        raise ConfigurationError("--window and --last exclude each other: write one of them")
    if last is not None:
        return Asked(length=_length("--last", last))
    if window is None:
        return None
    if ".." not in window:
        return Asked(length=_length("--window", window), aligned=True)
    start, stop = (milliseconds(end.strip() or None) for end in window.split("..", 1))
    span = Span(-FOREVER if start is None else start, FOREVER if stop is None else stop)
    if span.start >= span.stop:
        raise ConfigurationError(f"--window {window} is empty: FROM must be before TO, which is not included")
    return Asked(span)


def minute(ms: int) -> str:
    """Milliseconds since the epoch to the minute, UTC; seconds only where there are some.

    >>> minute(1_522_540_800_000), minute(1_522_540_801_000)
    ('2018-04-01 00:00', '2018-04-01 00:00:01')
    """
    return moment(ms).removesuffix(":00") if ms % 60_000 == 0 else moment(ms)


def _length(option: str, text: str) -> int:
    try:
        length = units.milliseconds(text)
    except ValueError as error:
        remedy = f"{option} {text}: {error}"
        raise ConfigurationError(f"{remedy}, or FROM..TO" if option == "--window" else remedy) from None
    if length == 0:
        raise ConfigurationError(f"{option} {text} is empty: write a longer one, such as 7d")
    return length
