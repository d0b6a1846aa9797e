"""What follows from a rule: that it is breached, that it is so no more, that its figure is unknown for too long."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from headrace.domain.kpi.figure_point import UNREAD, RuleReading, reading_of
from headrace.domain.pipeline.kpi.spec import KpiRule, rule_of

OK, PENDING, BREACHED, UNKNOWN, RECOVERED = "ok", "pending", "breached", "unknown", "recovered"
STATES = (OK, PENDING, BREACHED, UNKNOWN)
"""Of a rule; `pending`: beyond its bounds, and not for long enough."""


@dataclass(frozen=True, slots=True)
class KpiDecision:
    """Something that is told once.

    Attributes:
        kind: `breached`, `recovered` or `unknown`.
        rule, reading: of which it is told, and its figure then.
        number: of the breach, or of the time that the figure was unknown, among those of the rule, from 1.
        began: by the clock, when that was told, milliseconds.
        was: what begins or ends: `breached` or `unknown`.
        because: a sentence.
        at: by the clock, milliseconds.
    """

    kind: str
    rule: KpiRule
    reading: RuleReading
    number: int
    began: int
    was: str
    because: str
    at: int


@dataclass(slots=True)
class RuleState:
    """A rule and how it stands: a fold of its readings.

    Attributes:
        breached: whether a breach was told and its end was not.
        missed: whether that its figure is unknown was told and its end was not.
        breaches, misses: how many there were.
        breach_began, miss_began: by the clock, when the newest of them was told, milliseconds.
        since: by the clock, since when `state` is what it is, milliseconds.
        unknown_since: by the clock, since when its figure is unknown; None: it is known.
        judged: of scorecards, the start of the newest window that was judged.
    """

    rule: KpiRule
    reading: RuleReading = field(default_factory=lambda: RuleReading(unknown=UNREAD))
    breached: bool = False
    missed: bool = False
    breaches: int = 0
    misses: int = 0
    breach_began: int = 0
    miss_began: int = 0
    since: int = 0
    unknown_since: int | None = None
    judged: int | None = None

    @property
    def state(self) -> str:
        """Of `STATES`. A breach goes on while its figure is not known."""
        if self.breached:
            return BREACHED
        if self.reading.unknown is not None:
            return UNKNOWN
        return PENDING if self.reading.since is not None else OK

    def take(self, reading: RuleReading, now: int) -> list[KpiDecision]:
        """Take up a reading at a moment of the clock; what is to be told of it."""
        before = self.state
        self.reading = reading
        found = []
        if reading.unknown is None:
            self.unknown_since = None
        elif self.unknown_since is None:
            self.unknown_since = now
        if reading.breached and not self.breached:
            self.breached, self.breaches, self.breach_began = True, self.breaches + 1, now
            found.append(self._decision(BREACHED, BREACHED, self._beyond(), now))
        elif reading.fine and self.breached:
            self.breached = False
            found.append(self._decision(RECOVERED, BREACHED, self._within(), now))
        after = self.rule.unknown_after
        if self.unknown_since is None:
            if self.missed:
                self.missed = False
                found.append(self._decision(RECOVERED, UNKNOWN, "its figure is known again", now))
        elif after is not None and not self.missed and now - self.unknown_since >= after:
            self.missed, self.misses, self.miss_began = True, self.misses + 1, now
            found.append(self._decision(UNKNOWN, UNKNOWN, reading.unknown or "", now))
        if self.state != before or not self.since:
            self.since = now
        return found

    def end(self, because: str, now: int) -> list[KpiDecision]:
        """The rule is no more: what was told of it ends."""
        found = []
        if self.breached:
            found.append(self._decision(RECOVERED, BREACHED, because, now))
        if self.missed:
            found.append(self._decision(RECOVERED, UNKNOWN, because, now))
        return found

    def _decision(self, kind: str, of: str, because: str, now: int) -> KpiDecision:
        number, began = (self.breaches, self.breach_began) if of == BREACHED else (self.misses, self.miss_began)
        return KpiDecision(kind, self.rule, self.reading, number, began, of, because, now)

    def _beyond(self) -> str:
        held = f" for {self.rule.held}" if self.rule.hold > 1 else ""
        return f"it is {self.rule.condition}{held}"

    def _within(self) -> str:
        point = self.reading.point
        if point is not None and not self.rule.breaches(point.value):
            return f"it is not {self.rule.condition} any more"
        return f"it was {self.rule.condition} for less than {self.rule.held}, as corrected figures say"

    def plain(self) -> list[Any]:
        """As JSON has it."""
        told = [self.breached, self.missed, self.breaches, self.misses, self.breach_began, self.miss_began]
        return [self.rule.plain(), self.reading.plain(), *told, self.since, self.unknown_since, self.judged]


def state_of(said: list[Any]) -> RuleState:
    """The inverse of `plain`."""
    rule, reading, *rest = said
    return RuleState(rule_of(rule), reading_of(reading), *rest)


def watched(rule: KpiRule) -> KpiRule:
    """What makes a rule another one: not who is told of it, how bad it is and what it asks for."""
    return replace(rule, severity="", tell=(), retrain=False, unknown_after=None)
