"""The `kpis` section as frozen values; everything in them has been checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from headrace.domain.pipeline import units

SCORECARD, DRIFT, OPERATIONAL = "scorecard", "drift", "operational"
SOURCES = (SCORECARD, DRIFT, OPERATIONAL)
"""Where figures come from."""
MINUTE = 60_000
LEAST_ROWS = 30


@dataclass(frozen=True, slots=True)
class KpiRule:
    """A figure that is watched.

    Attributes:
        name: what the file calls it.
        source: of `SOURCES`.
        figure: its name there.
        low, high: it is breached below the one and above the other; None: not on that side.
        hold: for how long it has to be breached: windows of a scorecard; milliseconds, of event time for drift and of
            the clock for operational figures.
        severity: of `SEVERITIES`.
        tell: channels of the section `notify`; empty: those that want events of this kind and severity.
        retrain: whether a breach asks for a training.
        least: of a scorecard, windows with fewer rows tell nothing.
        unknown_after: milliseconds by the clock after which it is told that the figure is unknown; None: never.
        arm, model, segment, group: of a scorecard: which part, `name@version` or empty for any, which rows.
        stream, column: of drift: the logical topic whose rows tell of it; the column, empty for all of them together.
        service: of an operational figure on lag.
        within: of an operational figure on records, milliseconds of the clock that it is made of.
    """

    name: str
    source: str
    figure: str
    low: float | None = None
    high: float | None = None
    hold: int = 1
    severity: str = "warning"
    tell: tuple[str, ...] = ()
    retrain: bool = False
    least: int = LEAST_ROWS
    unknown_after: int | None = None
    arm: str = "champion"
    model: str = ""
    segment: str = ""
    group: str = ""
    stream: str = "predictions"
    column: str = ""
    service: str = ""
    within: int = MINUTE

    def excess(self, value: float) -> float:
        """By how much a value is beyond its bounds; negative, or 0, where it is not.

        >>> rule = KpiRule("r", "scorecard", "recall", low=0.5)
        >>> rule.excess(0.25), rule.excess(0.75)
        (0.25, -0.25)
        """
        beyond = [] if self.low is None else [self.low - value]
        beyond += [] if self.high is None else [value - self.high]
        return max(beyond)

    def breaches(self, value: float) -> bool:
        """Whether a value is beyond its bounds; on them it is not."""
        return self.excess(value) > 0

    @property
    def condition(self) -> str:
        """As the file has it.

        >>> KpiRule("r", "scorecard", "recall", low=0.5).condition, KpiRule("r", "scorecard", "bias", -1, 1).condition
        ('below 0.5', 'outside [-1, 1]')
        """
        if self.low is not None and self.high is not None:
            return f"outside [{self.low:.6g}, {self.high:.6g}]"
        return f"below {self.low:.6g}" if self.low is not None else f"above {self.high:.6g}"

    @property
    def held(self) -> str:
        """For how long, as the file has it.

        >>> KpiRule("r", "scorecard", "recall", low=0, hold=3).held, KpiRule("r", "drift", "effect", hold=60_000).held
        ('3 windows', '1m')
        """
        if self.source == SCORECARD:
            return "1 window" if self.hold == 1 else f"{self.hold} windows"
        return units.duration(self.hold)

    @property
    def subject(self) -> str:
        """The figure and what it is of, for people.

        >>> KpiRule("r", "scorecard", "recall", low=0.5, segment="amount", group="<10").subject
        'recall of champion, amount <10'
        """
        if self.source == SCORECARD:
            rows = f", {self.segment} {self.group}".rstrip() if self.segment else ""
            return f"{self.figure} of {' '.join(filter(None, (self.arm, self.model)))}{rows}"
        if self.source == DRIFT:
            of = ", ".join(filter(None, (self.column or "all columns", self.model)))
            return f"{self.figure} of {of} on {self.stream}"
        return (
            f"{self.figure} of {self.service}"
            if self.service
            else f"{self.figure} within {units.duration(self.within)}"
        )

    def plain(self) -> dict[str, Any]:
        """As JSON has it."""
        return {**asdict(self), "tell": list(self.tell)}


def rule_of(said: Mapping[str, Any]) -> KpiRule:
    """The inverse of `plain`; what this version does not know is left out. Raises TypeError for no rule."""
    known = {each.name for each in fields(KpiRule)}
    given = {key: value for key, value in said.items() if key in known}
    return KpiRule(**{**given, "tell": tuple(given.get("tell", ()))})
