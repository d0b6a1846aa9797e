"""What a rule's figure is now, and whether it has been beyond its bounds for long enough."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

UNREAD = "nothing was judged yet, until kpi has read what there is"


class FigurePoint(NamedTuple):
    """A figure at a time.

    Attributes:
        at: milliseconds: the start of the window; event time, of drift; the clock, of operational figures.
        value: what it was.
        rows: that it is made of; 0 where it is not of rows.
        model, digest: whose it is; empty where it is of no model.
    """

    at: int
    value: float
    rows: int = 0
    model: str = ""
    digest: str = ""


@dataclass(frozen=True, slots=True)
class RuleReading:
    """A rule's figure as it stands.

    Attributes:
        point: the newest that is known; None: none is.
        since: where `point` is beyond the bounds: since when it has been without a break, as `at` of points.
        breached: whether that is for long enough.
        fine: whether it is known not to be. Neither holds while too little is known.
        unknown: why the figure is not known now, and until when; None: it is known.
    """

    point: FigurePoint | None = None
    since: int | None = None
    breached: bool = False
    fine: bool = False
    unknown: str | None = None

    def plain(self) -> list[Any]:
        """As JSON has it."""
        return [self.point and list(self.point), self.since, self.breached, self.fine, self.unknown]


def reading_of(said: list[Any]) -> RuleReading:
    """The inverse of `plain`."""
    point, since, breached, fine, unknown = said
    return RuleReading(point and FigurePoint(*point), since, breached, fine, unknown)
