"""For how long a figure that is told again and again has been beyond its bounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from headrace.domain.kpi.figure_point import UNREAD, FigurePoint, RuleReading
from headrace.domain.pipeline.kpi.spec import KpiRule


@dataclass(slots=True)
class PointRun:
    """A fold of points in the order of their times.

        >>> rule, run = KpiRule("r", "operational", "lag", high=10, hold=20_000), PointRun(longest_gap=60_000)
        >>> for at, value in [(0, 11.0), (10_000, 12.0), (20_000, 13.0), (30_000, 5.0)]:
        ...     run.take(rule, FigurePoint(at, value))
        ...     print(run.reading(rule).breached)
        False
        False
        True
        False

    Attributes:
        longest_gap: milliseconds for which nothing may be known within a run; what was not known for longer is not
            taken to have been as it was before and after. None: any.
        point: the newest.
        since: where it is beyond the bounds: since when.
        unknown: why the figure is not known now.
    """

    longest_gap: int | None
    point: FigurePoint | None = None
    since: int | None = None
    unknown: str | None = UNREAD

    def take(self, rule: KpiRule, said: FigurePoint | str) -> None:
        """Take up a point, or why there is none."""
        if isinstance(said, str):
            self.unknown = said
            return
        before, self.point, self.unknown = self.point, said, None
        if not rule.breaches(said.value):
            self.since = None
        elif self.since is None or before is None or self._torn(before.at, said.at):
            self.since = said.at

    def _torn(self, before: int, at: int) -> bool:
        return self.longest_gap is not None and at - before > self.longest_gap

    def reading(self, rule: KpiRule) -> RuleReading:
        """What is to be said."""
        point, since = self.point, self.since
        breached = point is not None and since is not None and point.at - since >= rule.hold
        return RuleReading(point, since, breached, point is not None and since is None, self.unknown)

    def plain(self) -> list[Any]:
        """As JSON has it."""
        return [self.point and list(self.point), self.since, self.unknown]

    def restore(self, said: list[Any]) -> None:
        """Become what `plain` said."""
        point, self.since, self.unknown = said
        self.point = point and FigurePoint(*point)
