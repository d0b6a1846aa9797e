"""Rules, and what they are about, folded in one order: what is to be told of each, once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from headrace.domain.kpi.activity import STALE, Activity
from headrace.domain.kpi.card_book import SPARE, UNSAID, CardBook
from headrace.domain.kpi.card_readings import card_readings
from headrace.domain.kpi.decisions import KpiDecision, RuleState, state_of, watched
from headrace.domain.kpi.drift_book import DriftBook
from headrace.domain.kpi.figure_point import FigurePoint, RuleReading
from headrace.domain.kpi.parts import CARD, CLOCK, DRIFT_ROW, READ, RULES
from headrace.domain.kpi.point_run import PointRun
from headrace.domain.pipeline.kpi.figures import OF_A_SERVICE
from headrace.domain.pipeline.kpi.spec import DRIFT, OPERATIONAL, SCORECARD, rule_of
from headrace.domain.pipeline.units import moment

SCORECARDS = "scorecards"


class KpiFold:
    """A pure function of parts in their order.

    Cards, drift and records are taken up as they come, and judged when the clock is told: so what comes together is
    judged together, and a figure that is late is not taken for one that is not there.

    Attributes:
        states: by the name of a rule.
        topics: how many partitions the topics that are read have.
        now: by the clock, when rules were judged last, milliseconds.
    """

    def __init__(self) -> None:
        self.states: dict[str, RuleState] = {}
        self.topics: dict[str, int] = {}
        self._matures_after = 0
        self._cards, self._drift, self._activity = CardBook(UNSAID), DriftBook(), Activity()
        self._runs: dict[str, PointRun] = {}
        self._plain_rules: list[Any] = []
        self.now = 0

    def take(self, kind: str, said: Mapping[str, Any]) -> list[KpiDecision]:
        """Take up a part; what is to be told of it."""
        if kind == RULES:
            return list(self._adopt(said))
        if kind == CARD:
            self._cards.take(said)
        elif kind == DRIFT_ROW:
            self._drift.take(said)
        elif kind == READ:
            self._activity.take(said["topic"], said["partition"], said["spans"], said["until"])
        elif kind == CLOCK:
            return list(self._judge(said))
        return []

    # ---- rules come and go ---------------------------------------------------------------------------------------

    def adopted(self, said: Mapping[str, Any]) -> bool:
        """Whether these rules, as parts have them, are those that hold."""
        there = (self._plain_rules, self._cards.window, self._matures_after)
        return there == (list(said["rules"]), said["window"], said["matures_after"])

    def _adopt(self, said: Mapping[str, Any]) -> Iterator[KpiDecision]:
        now = max(self.now, said["time"])
        rules = {rule.name: rule for rule in map(rule_of, said["rules"])}
        # Cards that came before any rules did are of these windows, and are kept.
        other = self._cards.window not in (UNSAID, said["window"])
        for name, state in list(self.states.items()):
            same = name in rules and watched(rules[name]) == watched(state.rule)
            if not same or (other and state.rule.source == SCORECARD):
                gone = "was changed" if name in rules else "was taken out of the pipeline file"
                yield from state.end(f"the rule {gone}", now)
                del self.states[name]
                self._runs.pop(name, None)
            else:
                state.rule = rules[name]
        if other:
            self._cards = CardBook()
        self.states = {name: self.states.get(name) or RuleState(rule) for name, rule in rules.items()}
        self._plain_rules = [rule.plain() for rule in rules.values()]
        self._matures_after = said["matures_after"]
        longest = max([rule.hold for rule in rules.values() if rule.source == SCORECARD], default=0)
        self._cards.window = said["window"]
        self._cards.keep = self._matures_after + (longest + SPARE) * said["window"]

    # ---- the clock goes on ---------------------------------------------------------------------------------------

    def _judge(self, said: Mapping[str, Any]) -> Iterator[KpiDecision]:
        self.now = now = max(self.now, said["time"])
        self.topics = dict(said["topics"])
        moments = list(self._activity.moments(self.topics, now))
        behind = self._activity.behind(self.topics, now)
        self._cards.forget()
        for name, state in self.states.items():
            if state.rule.source == SCORECARD:
                yield from self._judge_cards(state, now)
                continue
            run = self._runs.setdefault(name, PointRun(STALE if state.rule.source == OPERATIONAL else None))
            for point in self._points(state, moments, behind, said["lags"], now):
                run.take(state.rule, point)
                yield from state.take(run.reading(state.rule), now)
            yield from state.take(run.reading(state.rule), now)

    def _judge_cards(self, state: RuleState, now: int) -> Iterator[KpiDecision]:
        until = self._activity.complete(self.topics, (SCORECARDS,))
        if until is None or now - until > STALE:
            there = "not all partitions" if until is None else f"up to {moment(until)}"
            before = state.reading
            said = f"kpi has read scorecards: {there}, until it has caught up"
            yield from state.take(RuleReading(before.point, before.since, False, False, said), now)
            return
        for reading in card_readings(state.rule, self._cards, self._matures_after, state.judged):
            yield from state.take(reading, now)
        if state.reading.point is not None:
            state.judged = max(state.judged or state.reading.point.at, state.reading.point.at)

    def _points(
        self, state: RuleState, moments: list[int], behind: str | None, lags: Mapping[str, Any], now: int
    ) -> Iterator[FigurePoint | str]:
        rule = state.rule
        if rule.source == DRIFT:
            yield self._drift.figure(rule)
        elif rule.figure in OF_A_SERVICE:
            last = self._runs[rule.name].point
            # Who has just begun has asked nobody yet: what was known a moment ago still holds.
            if rule.service in lags or last is None or now - last.at > STALE:
                yield _lag(rule.figure, rule.service, lags, now)
        else:
            yield from (self._activity.figure(rule, at) for at in moments)
            if behind is not None:
                yield behind

    # ---- state comes and goes ------------------------------------------------------------------------------------

    def plain(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "states": [state.plain() for state in self.states.values()],
            "runs": {name: [run.longest_gap, *run.plain()] for name, run in self._runs.items()},
            "topics": self.topics,
            "matures_after": self._matures_after,
            "cards": [self._cards.window, self._cards.keep, self._cards.plain()],
            "drift": self._drift.plain(),
            "activity": self._activity.plain(),
            "now": self.now,
        }

    def restore(self, said: Mapping[str, Any]) -> None:
        """Become what `plain` said."""
        states = [state_of(each) for each in said["states"]]
        self.states = {state.rule.name: state for state in states}
        self._plain_rules = [state.rule.plain() for state in states]
        self._runs = {}
        for name, (gap, *rest) in said["runs"].items():
            self._runs[name] = PointRun(gap)
            self._runs[name].restore(rest)
        self.topics, self._matures_after, self.now = said["topics"], said["matures_after"], said["now"]
        window, keep, cards = said["cards"]
        self._cards = CardBook(window, keep)
        self._cards.restore(cards)
        self._drift.restore(said["drift"])
        self._activity.restore(said["activity"])


def _lag(figure: str, service: str, lags: Mapping[str, Any], now: int) -> FigurePoint | str:
    """`lags`: by service (records, seconds), or why that is not known."""
    found = lags.get(service, "nobody has asked yet")
    if isinstance(found, str):
        return f"the lag of {service} is not known: {found}, until Kafka says it"
    records, seconds = found
    return FigurePoint(now, float(records if figure == "lag" else seconds))
