"""Rules over figures, against brute force on random figures that come late, again and corrected."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.domain.kpi.decisions import KpiDecision
from headrace.domain.kpi.fold import KpiFold
from headrace.domain.kpi.parts import CARD, CLOCK, DRIFT_ROW, READ, RULES
from headrace.domain.pipeline.kpi.spec import KpiRule
from tests.kpi.reference_rules import AHEAD, CardsByHand, held_for

TOPICS = {"scorecards": 1, "dead-letters": 1, "predictions": 1}
STEP = 10_000


class Clerk:
    """Hands parts to a fold, and may have it begin anew from what it remembers."""

    def __init__(self, *rules: KpiRule, window: int = 1, matures_after: int = 2) -> None:
        self.fold = KpiFold()
        self.told: list[KpiDecision] = []
        self.now = 0
        self.window, self.matures_after = window, matures_after
        self.lags: dict[str, Any] = {}
        self.rules(*rules)

    def give(self, kind: str, said: dict[str, Any]) -> None:
        """One part, as it is on the topic."""
        self.told += self.fold.take(kind, json.loads(json.dumps(said)))

    def rules(self, *rules: KpiRule) -> None:
        """The pipeline file has these."""
        said = {
            "time": self.now,
            "window": self.window,
            "matures_after": self.matures_after,
            "rules": [rule.plain() for rule in rules],
        }
        self.give(RULES, said)
        assert self.fold.adopted(json.loads(json.dumps(said)))

    def clock(self, read: bool = True) -> None:
        """Ten seconds later; `read`: all topics are read to their ends."""
        self.now += STEP
        for topic in TOPICS if read else ():
            self.give(READ, {"topic": topic, "partition": 0, "spans": {}, "until": self.now})
        self.give(CLOCK, {"time": self.now, "topics": TOPICS, "lags": self.lags})

    def restart(self) -> None:
        """Another process goes on."""
        said = json.loads(json.dumps(self.fold.plain()))
        self.fold = KpiFold()
        self.fold.restore(said)
        assert json.loads(json.dumps(self.fold.plain())) == said

    def kinds(self, name: str = "r") -> list[tuple[str, int]]:
        """(what, `at` of the point that decided) of what was told of a rule."""
        return [
            (each.kind, -1 if each.reading.point is None else each.reading.point.at)
            for each in self.told
            if each.rule.name == name
        ]


def card(start: int, value: float | None, mature: bool = True, rows: int = 100, digest: str = "a") -> dict[str, Any]:
    """A card of the champion."""
    figures = {"coverage": 1.0, **({"recall": value} if mature else {})}
    return {
        "arm": "champion", "segment": "", "group": "", "start": start, "digest": digest, "model": f"{digest}@1",
        "predictions": rows, "outcomes": rows if mature else rows // 2, "mature": mature, "figures": figures,
        "notes": {},
    }  # fmt: skip


FLOOR = KpiRule("r", "scorecard", "recall", low=0.5, hold=2, least=20)
CARDS = st.one_of(
    st.builds(
        card,
        st.integers(0, 9),
        st.sampled_from([None, 0.2, 0.2, 0.4, 0.4, 0.5, 0.6, 0.9]),
        st.sampled_from([False, True, True, True]),
        st.sampled_from([10, 100, 100, 100]),
        st.sampled_from(["a", "a", "b"]),
    ),
    st.builds(card, st.integers(AHEAD, AHEAD + 1), st.just(0.1), st.booleans(), st.just(3)),
)
STEPS = st.lists(st.one_of(CARDS, CARDS, CARDS, st.sampled_from(["clock", "restart"])), min_size=20, max_size=60)


@settings(deadline=None, max_examples=100)
@given(STEPS, st.integers(1, 4))
def test_breaches_of_cards_are_those_that_brute_force_finds(steps: list[Any], hold: int) -> None:
    """Whatever the order in which cards come, are corrected, and wait again; over restarts as without."""
    rule = KpiRule("r", "scorecard", "recall", low=0.5, hold=hold, least=20)
    clerk, reference = Clerk(rule), CardsByHand(rule)
    clerk.clock()
    for start in range(10):  # time has come as far, with rows that are too few to tell anything
        clerk.give(CARD, card(start, 0.1, rows=19))
        reference.came.append(card(start, 0.1, rows=19))
    for step in [*steps, "clock"]:
        if step == "clock":
            clerk.clock()
            reference.look()
        elif step == "restart":
            clerk.restart()
        else:
            clerk.give(CARD, step)
            reference.came.append(step)
    assert clerk.kinds() == reference.told
    assert clerk.fold.states["r"].breached == reference.breached


POINTS = st.lists(st.one_of(st.none(), st.sampled_from([1.0, 5.0, 6.0, 9.0])), max_size=40)


@settings(deadline=None, max_examples=60)
@given(POINTS, st.integers(0, 6), st.sets(st.integers(0, 40)))
def test_what_is_told_of_a_lag_is_what_brute_force_finds(
    values: list[float | None], hold: int, restarts: set[int]
) -> None:
    """What is unknown for a while neither breaks a run nor, for longer than a minute, belongs to one."""
    rule = KpiRule("r", "operational", "lag", high=5.0, hold=hold * STEP, service="score")
    clerk = Clerk(rule)
    for place, value in enumerate(values):
        if place in restarts:
            clerk.restart()
        clerk.lags = {"score": "Kafka does not answer" if value is None else [value, 0.0]}
        clerk.clock()
    moments = [((place + 1) * STEP, value) for place, value in enumerate(values)]
    assert clerk.kinds() == held_for(rule, moments, 60_000)


RECORDS = st.lists(st.tuples(st.integers(0, 200_000), st.booleans()), min_size=20, max_size=60)


@settings(deadline=None, max_examples=40)
@given(RECORDS, st.lists(st.integers(1, 60), min_size=4, max_size=20), st.integers(1, 3))
def test_rates_follow_from_the_records_alone(records: list[tuple[int, bool]], cuts: list[int], spans: int) -> None:
    """However records are cut into batches, and however late they are read: each moment is judged once."""
    rule = KpiRule("r", "operational", "dead_letters_per_minute", high=5.9, hold=0, within=spans * STEP)
    clerk = Clerk(rule)
    clerk.clock()
    start = clerk.now
    ordered = sorted((start + at, letter) for at, letter in records)
    places = sorted({min(cut, len(ordered)) for cut in cuts} | {len(ordered)})
    done = 0
    for place in places:
        for topic, wanted in (("dead-letters", True), ("predictions", False)):
            part = [at for at, letter in ordered[done:place] if letter is wanted]
            counts: dict[str, list[Any]] = {}
            for at in part:
                said = counts.setdefault(str(at // STEP), [0, 0, [], 0])
                said[0], said[1] = said[0] + 1, max(said[1], at)
            if part:
                clerk.give(READ, {"topic": topic, "partition": 0, "spans": counts, "until": part[-1]})
        done = place
        clerk.clock(read=False)
        clerk.restart()
    while clerk.now < start + 220_000:
        clerk.clock(read=False)
    clerk.clock()
    wanted = []
    breached = False
    for at in range(start + STEP, clerk.now - 5_000 + 1, STEP):
        count = sum(letter and at - spans * STEP <= stamp < at for stamp, letter in ordered)
        if (count * 6 / spans > 5.9) != breached:
            breached = not breached
            wanted.append(("breached" if breached else "recovered", at))
    assert clerk.kinds() == wanted


def test_windows_that_come_together_are_told_one_by_one() -> None:
    """A breach and its end within the same ten seconds are both told; those before the first look are not."""
    clerk = Clerk(FLOOR)
    for start, value in enumerate([0.1, 0.1, 0.9]):
        clerk.give(CARD, card(start, value))
    clerk.clock()
    for start, value in enumerate([0.1, 0.1, 0.1, 0.9], start=3):
        clerk.give(CARD, card(start, value))
    clerk.clock()
    assert clerk.kinds() == [("breached", 4), ("recovered", 6)]


def test_a_correction_may_end_a_breach_and_make_one() -> None:
    """The newest mature card of a window holds, whenever it comes."""
    clerk = Clerk(FLOOR)
    for start, value in enumerate([0.9, 0.1, 0.1]):
        clerk.give(CARD, card(start, value))
    clerk.clock()
    clerk.clock()
    clerk.give(CARD, card(1, 0.6))
    clerk.clock()
    clerk.give(CARD, card(1, None, mature=False))
    clerk.clock()
    clerk.give(CARD, card(1, 0.2))
    clerk.clock()
    assert [kind for kind, _ in clerk.kinds()] == ["breached", "recovered", "breached"]
    assert "corrected" in clerk.told[1].because
    assert [each.number for each in clerk.told] == [1, 1, 2]


def test_what_was_not_known_for_longer_than_a_minute_is_in_no_run() -> None:
    """Half a minute is: a broker that is slow once is no recovery."""
    for unknown, told in [(3, ["breached"]), (7, [])]:
        clerk = Clerk(KpiRule("r", "operational", "lag", high=5.0, hold=60_000, service="score"))
        for value in [9, *[None] * unknown, 9, 9, 9]:
            clerk.lags = {"score": "Kafka does not answer" if value is None else [value, 0.0]}
            clerk.clock()
        assert [kind for kind, _ in clerk.kinds()] == told


def test_nothing_is_fine_before_it_is_known() -> None:
    """A rule says why its figure is not known, and until when."""
    lag = KpiRule("lag", "operational", "lag", high=5, hold=0, service="score")
    drift = KpiRule("drift", "drift", "evidence", high=1, hold=0)
    age = KpiRule("age", "operational", "age_of_last_prediction_seconds", high=60, hold=0)
    clerk = Clerk(FLOOR, lag, drift, age)
    states = clerk.fold.states
    assert {state.state for state in states.values()} == {"unknown"}
    clerk.clock()
    clerk.clock()
    clerk.clock()
    assert {state.state for state in states.values()} == {"unknown"}
    assert not clerk.told
    for name, why in [
        ("r", "rows enough"),
        ("lag", "nobody has asked"),
        ("drift", "told nothing"),
        ("age", "no record"),
    ]:
        unknown = states[name].reading.unknown
        assert why in str(unknown)
        assert "until" in str(unknown)


@pytest.mark.parametrize(
    ("cards", "why"),
    [
        ([card(0, 0.4), *[card(start, None, False) for start in range(1, 9)]], "50 of 100 predictions"),
        ([card(0, 0.4), *[card(start, 0.4, rows=10) for start in range(1, 9)]], "10 rows, fewer than 20"),
        ([card(0, 0.4), *[card(start, None) for start in range(1, 9)]], "recall is not defined"),
        ([card(0, 0.4), card(8, None, False)], "no card of champion for the window"),
        ([card(start, None, False) for start in range(3)], "50 of 100 predictions"),
    ],
)
def test_a_window_that_tells_nothing_says_why(cards: list[dict[str, Any]], why: str) -> None:
    """Waiting for outcomes, too few rows, not defined, not there: each in its words, and a breach goes on meanwhile."""
    clerk = Clerk(KpiRule("r", "scorecard", "recall", low=0.5, least=20))
    clerk.clock()
    clerk.give(CARD, cards[0])
    clerk.clock()
    for each in cards[1:]:
        clerk.give(CARD, each)
    clerk.clock()
    state = clerk.fold.states["r"]
    unknown = state.reading.unknown
    assert why in str(unknown)
    assert "until" in str(unknown)
    assert state.state == ("breached" if cards[0]["mature"] else "unknown")


def test_a_figure_that_is_unknown_for_too_long_is_told_once_and_its_end() -> None:
    """By the clock, with the reason; what was told of it ends once it is known."""
    rule = KpiRule("r", "operational", "lag", high=5, hold=0, service="score", unknown_after=30_000)
    clerk = Clerk(rule)
    for _ in range(6):
        clerk.clock()
    clerk.lags = {"score": [1, 0.0]}
    clerk.clock()
    clerk.clock()
    assert [(each.kind, each.was) for each in clerk.told] == [("unknown", "unknown"), ("recovered", "unknown")]
    assert "nobody has asked" in clerk.told[0].because


def test_who_has_just_begun_and_asked_nobody_leaves_a_lag_as_it_was_for_a_minute() -> None:
    """A process that goes on where another died knows no lag for a moment: no rule becomes unknown by that."""
    clerk = Clerk(KpiRule("r", "operational", "lag", high=5, hold=0, service="score"))
    clerk.lags = {"score": [1, 0.0]}
    clerk.clock()
    clerk.lags = {}
    clerk.restart()
    seen = []
    for _ in range(8):
        clerk.clock()
        seen.append(clerk.fold.states["r"].state)
    assert seen == ["ok"] * 6 + ["unknown"] * 2
    clerk.lags = {"score": "Kafka does not answer"}
    clerk.clock()
    assert "does not answer" in str(clerk.fold.states["r"].reading.unknown)


def test_a_rule_that_is_taken_out_or_changed_ends_what_was_told() -> None:
    """Who was told of a breach is told that nobody watches it any more; who is told may change without that."""
    clerk = Clerk(FLOOR)
    clerk.clock()
    for start in range(4):
        clerk.give(CARD, card(start, 0.1))
    clerk.clock()
    clerk.rules(KpiRule("r", "scorecard", "recall", low=0.5, hold=2, least=20, severity="critical", tell=("oncall",)))
    assert [each.kind for each in clerk.told] == ["breached"]
    clerk.rules()
    assert [(each.kind, each.because) for each in clerk.told[1:]] == [
        ("recovered", "the rule was taken out of the pipeline file")
    ]
    assert clerk.told[1].rule.tell == ("oncall",)


def test_a_rule_that_is_new_knows_the_cards_there_are() -> None:
    """Of all rows, cards of recent windows are kept with all their figures."""
    clerk = Clerk()
    clerk.clock()
    for start in range(4):
        clerk.give(CARD, card(start, 0.1))
    clerk.clock()
    clerk.rules(FLOOR)
    clerk.clock()
    assert clerk.kinds() == [("breached", 3)]


def test_cards_that_came_before_any_rule_are_kept() -> None:
    """Whoever begins reads cards before it says the rules; also where it is killed between."""
    for killed in (False, True):
        clerk = Clerk()
        clerk.fold = KpiFold()
        for start in range(4):
            clerk.give(CARD, card(start, 0.1))
        if killed:
            clerk.restart()
        clerk.rules(FLOOR)
        clerk.clock()
        assert clerk.kinds() == [("breached", 3)]


def test_cards_are_forgotten_that_no_rule_looks_at() -> None:
    """State is bounded by maturity and the longest rule."""
    clerk = Clerk(FLOOR)
    for start in range(90):
        clerk.give(CARD, card(start, 0.9))
        clerk.clock()
    (windows,) = [windows for _, *windows in [clerk.fold.plain()["cards"]]]
    assert len(windows[1]) == 2 + 2 + 10 + 1


def test_of_several_models_in_a_window_the_worst_counts() -> None:
    """While one takes the other's place, and of drift while both answer; a model that is gone counts no more."""
    cards = Clerk(KpiRule("r", "scorecard", "recall", low=0.5, least=20))
    for digest, value in [("a", 0.9), ("b", 0.1)]:
        cards.give(CARD, card(0, value, digest=digest))
    cards.clock()
    assert cards.kinds() == [("breached", 0)]
    rule = KpiRule("r", "drift", "evidence", high=1.0, hold=0)
    clerk = Clerk(rule)

    def said(digest: str, evidence: float, time: int) -> dict[str, Any]:
        figures = {"evidence": evidence, "divergence": 0.0, "effect": None, "worse": None}
        return {
            "stream": "predictions", "digest": digest, "model": f"{digest}@1", "column": "", "time": time,
            "reached": time, "state": "watched", "learnt": None, "events": 9, "figures": figures, "why": "",
        }  # fmt: skip

    clerk.give(DRIFT_ROW, said("a", 0.2, 1_000))
    clerk.give(DRIFT_ROW, said("b", 1.5, 1_000))
    clerk.clock()
    clerk.give(DRIFT_ROW, said("a", 0.3, 100_000))
    clerk.clock()
    assert clerk.kinds() == [("breached", 1_000), ("recovered", 100_000)]
    assert clerk.told[0].reading.point is not None
    assert clerk.told[0].reading.point.model == "b@1"
