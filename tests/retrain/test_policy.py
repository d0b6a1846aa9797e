"""Every trigger gets one answer, and it is the one that the rules say."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest

from headrace.domain.control.base import ControlFinding
from headrace.domain.control.drift import DriftClosed, DriftHarmed, DriftOpened
from headrace.domain.control.events import ControlEvent
from headrace.domain.control.kpi import KpiBreached
from headrace.domain.control.release import ReleaseRejected, ReleaseRolledBack
from headrace.domain.control.retrain import (
    ModelRegistered,
    RetrainAsked,
    RetrainFailed,
    RetrainFinished,
    RetrainIgnored,
    RetrainStarted,
)
from headrace.domain.pipeline.retrain.spec import Retrain
from headrace.domain.retrain.answer import answer
from headrace.domain.retrain.history import TrainingHistory, month_of
from tests.retrain.reference_policy import Answered, Asked, Ended, Undone, came_to_nothing, rule_of

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
BEGIN = 1_790_000_000_000
SEQUENCES = 1_000
STREAMS = ("predictions", "outcomes", "shadow-predictions", "dead-letters")
SOURCES = ("drift", "harm", "scorecard", "schedule", "volume", "person")
AHEAD = 8 * 365 * DAY
"""Of the wall clock before event time, where what happened years ago is played."""


def event_of(asked: Asked, by_events: bool = False) -> ControlEvent:
    """The event by which a trigger comes; `by_events`: years after what it is about."""
    finding: ControlFinding = RetrainAsked(asked.source, "because", asked.time if by_events else None)
    if asked.source in ("drift", "harm"):
        kind = DriftOpened if asked.source == "drift" else DriftHarmed
        finding = kind(asked.incident, asked.stream, asked.time, model=asked.model)
    if asked.source == "scorecard":
        arm = "champion" if asked.stream == "predictions" else "challenger"
        finding = KpiBreached("r", "scorecard", model=asked.model, arm=arm, retrain=1)
    return ControlEvent(asked.name, "p", asked.time + AHEAD * by_events, "somebody", finding)


def policy_of(chance: random.Random) -> Retrain:
    """Any policy."""
    return Retrain(
        on=tuple(source for source in SOURCES[:-1] if chance.random() < 0.8),
        debounce=chance.choice([0, 0, 10 * MINUTE, 6 * HOUR]),
        cooldown=chance.choice([0, HOUR, DAY]),
        settle=chance.choice([1, HOUR, DAY]),
        per_month=chance.choice([None, 0, 1, 3, 10]),
        clock=chance.choice(["wall", "events"]),
    )


class Sequence:
    """A random course of triggers, answers and ends, given to the policy and to its reference."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.policy = policy_of(self.chance)
        self.history = TrainingHistory(self.policy.by_events)
        self.past: list[Answered | Ended | Undone] = []
        self.waiting: list[Asked] = []
        self.events: list[ControlEvent] = []
        self.now = BEGIN
        self.models = ["m@1"]

    def fold(self, event: ControlEvent) -> None:
        """An event comes, some a second time, as at-least-once has it."""
        self.events.append(event)
        self.history.fold(event)
        if self.chance.random() < 0.2:
            self.history.fold(self.chance.choice(self.events))

    def run(self, steps: int) -> None:
        """A number of things happen."""
        for step in range(steps):
            self.now += int(self.chance.choice([0, MINUTE, HOUR, 10 * HOUR, 5 * DAY]) * self.chance.random())
            if self.chance.random() < 0.3 and self.history.active is not None:
                self.end(step)
            elif self.chance.random() < 0.1 and len(self.models) > 1:
                self.undo(step)
            else:
                self.ask(step)
            if self.chance.random() < 0.9:  # else the service is away, and answers later
                self.answer_all()
        self.answer_all()

    def ask(self, step: int) -> None:
        """A trigger comes, told a while ago."""
        source = self.chance.choice(SOURCES)
        asked = Asked(f"t{step}", source, self.now - self.chance.choice([0, 0, MINUTE, HOUR]))
        if source in ("drift", "harm"):
            stream, incident = self.chance.choice(STREAMS), f"i{self.chance.randrange(step // 4 + 1)}"
            asked = replace(asked, model=self.chance.choice(self.models), stream=stream, incident=incident)
        if source == "scorecard":
            stream = self.chance.choice(("predictions", "shadow-predictions"))
            asked = replace(asked, model=self.chance.choice(self.models), stream=stream)
        self.waiting.append(asked)
        self.fold(event_of(asked, self.policy.by_events))

    def undo(self, step: int) -> None:
        """A model that a training made is rejected, or put back."""
        model = self.chance.choice(self.models[1:])
        kind = self.chance.choice([ReleaseRejected, ReleaseRolledBack])
        self.fold(ControlEvent(f"u{step}", "p", self.now + AHEAD, "release", kind(f"release {step}", model)))
        self.past.append(Undone(model))

    def answer_all(self) -> None:
        """What waits is answered, in its order."""
        assert [trigger.event_id for trigger in self.history.open()] == [asked.name for asked in self.waiting]
        for trigger, asked in zip(self.history.open(), self.waiting, strict=True):
            wall, order = self.now + AHEAD, "order of {}".format
            event = answer(self.policy, self.history, trigger, "p", self.now, order, wall)
            assert event.time == (wall if self.policy.by_events else self.now)
            rule, until = rule_of(self.policy, self.past, asked, self.now)
            if isinstance(event.finding, RetrainStarted):
                assert rule == "", f"{asked} was not to start: {rule}"
                assert self.history.active is None, "one training beside another"
            else:
                assert isinstance(event.finding, RetrainIgnored)
                assert (event.finding.rule, event.finding.until) == (rule, until), asked
                assert event.finding.because
            self.past.append(Answered(asked, self.now, rule))
            self.fold(event)
        self.waiting = []

    def end(self, step: int) -> None:
        """The training that runs ends, well or not."""
        run = self.history.active
        assert run is not None
        start = next(a.asked for a in self.past if isinstance(a, Answered) and a.asked.name == run.trigger)
        by_events = self.policy.by_events
        time, at = self.now + AHEAD * by_events, self.now if by_events else None
        if self.chance.random() < 0.3:
            self.fold(ControlEvent(f"e{step}", "p", time, "retrain", RetrainFailed(run.run, at=at)))
            self.past.append(Ended(start, self.now))
            return
        model = f"m@{step + 2}"
        self.fold(ControlEvent(f"e{step}", "p", time, "retrain", RetrainFinished(run.run, model, at=at)))
        self.fold(ControlEvent(f"r{step}", "p", time, "retrain", ModelRegistered(model, run=run.run, at=at)))
        self.models.append(model)
        self.past.append(Ended(start, self.now, model))


@pytest.mark.slow
def test_a_thousand_sequences_are_answered_as_the_rules_say() -> None:
    """Each trigger once, none trained beside another, the budget kept, by a reference; every rule decides some."""
    decided: Counter[str] = Counter()
    started, again = Counter[str](), Counter[int]()
    for seed in range(SEQUENCES):
        course = Sequence(seed)
        course.run(60)
        answers = [each for each in course.past if isinstance(each, Answered)]
        asked = [event for event in course.events if event.event_id.startswith("t")]
        assert len(answers) == len({each.asked.name for each in answers}) == len(asked)
        decided.update(each.rule for each in answers)
        sources = {each.asked.source for each in answers if each.rule == ""}
        started.update(sources)
        incidents = Counter(each.asked.incident for each in answers if each.rule == "" and each.asked.incident)
        again.update(incidents.values())
        months = Counter(month_of(run.begin) for run in course.history.runs.values())
        assert course.policy.per_month is None or max(months.values(), default=0) <= course.policy.per_month
        for before, after in pairwise(course.history.runs.values()):
            assert before.ended is not None
            assert before.ended <= after.began
        anew = TrainingHistory(course.policy.by_events)
        for event in course.events:
            anew.fold(event)
        assert anew.__dict__ == course.history.__dict__, "a fold that depends on repeats"
        for incident in incidents:
            _had_one_after_the_other(course.past, incident)
    assert set(started) == set(SOURCES)
    assert again[2] > 10, "no incident had another training"
    assert set(decided) == {
        "",
        "off",
        "dark",
        "refused",
        "incident",
        "debounce",
        "active",
        "loop",
        "cooldown",
        "budget",
    }


def _had_one_after_the_other(past: list[Answered | Ended | Undone], incident: str) -> None:
    """Each training of an incident but the first began by its harm, when the one before had come to nothing."""
    places = [
        at
        for at, each in enumerate(past)
        if isinstance(each, Answered) and each.rule == "" and each.asked.incident == incident
    ]
    for before, after in pairwise(places):
        first, second = past[before], past[after]
        assert isinstance(first, Answered)
        assert isinstance(second, Answered)
        (end,) = (each for each in past[before:after] if isinstance(each, Ended) and each.asked == first.asked)
        assert came_to_nothing(past[:after], end)
        assert second.asked.source == "harm"


def test_an_incident_harms_on_until_it_is_over() -> None:
    """It asks for more where its training failed, or its model was sent away; not before, and not once it is over."""
    harm = DriftHarmed("i", "outcomes", BEGIN, model="m@0")
    events = [
        DriftOpened("i", "outcomes", BEGIN, model="m@0"),
        RetrainStarted("t0", "drift", "r0"),
        harm,
        RetrainFinished("r0", "m@1"),
        ModelRegistered("m@1", run="r0"),
        ReleaseRejected("1", "m@1"),
    ]
    history, still = TrainingHistory(), []
    for number, finding in enumerate(events):
        history.fold(ControlEvent(f"t{number}", "p", BEGIN + number, "somebody", finding))
        still.append([trigger.event_id for trigger in history.still_harmed()])
    assert still == [[], [], [], [], [], ["t2"]]
    assert history.fruitless == {"r0": "its model m@1 was rejected"}
    history.fold(ControlEvent("t9", "p", BEGIN + 9, "drift", DriftClosed("i")))
    history.fold(ControlEvent("t10", "p", BEGIN + 10, "drift", replace(harm, basis="labels")))
    assert not [*history.still_harmed()], "it is over, though it is judged still"


def test_a_loop_of_our_own_ends() -> None:
    """A model that drifts whenever it was trained is trained log2(T / settle + 1) + 1 times in a time T."""
    policy, history, now = Retrain(on=("drift",), settle=HOUR), TrainingHistory(), BEGIN
    model = "m@0"
    for step in range(3 * 24 * 60):  # three days, a finding a minute
        now += MINUTE
        found = DriftOpened(f"i{step}", "predictions", now, model=model)
        event = ControlEvent(f"t{step}", "p", now, "drift", found)
        history.fold(event)
        (trigger,) = history.open()
        said = answer(policy, history, trigger, "p", now, lambda run: run)
        history.fold(said)
        if isinstance(said.finding, RetrainStarted):
            model = f"m@{step + 1}"
            end = ControlEvent(f"r{step}", "p", now, "retrain", ModelRegistered(model, run=said.finding.run))
            history.fold(ControlEvent(f"e{step}", "p", now, "retrain", RetrainFinished(said.finding.run, model)))
            history.fold(end)
    assert len(history.runs) == 7  # 1 + the whole part of log2(72 + 1)


def test_the_answer_to_a_trigger_has_one_identity() -> None:
    """So a repeat is known, whoever answers, and whatever it is."""
    asked = event_of(Asked("t", "person", BEGIN))
    ids = set()
    for month, now in ((None, BEGIN), (0, BEGIN + 5)):
        history = TrainingHistory()
        history.fold(asked)
        (trigger,) = history.open()
        said = answer(Retrain(per_month=month), history, trigger, "p", now, lambda run: run)
        assert said.cause == "t"
        ids.add(said.event_id)
    assert len(ids) == 1


def test_before_the_first_outcome_events_tell_no_time() -> None:
    """Where rules go by events, a finding then is ignored, and a person is heard: what comes of it is theirs."""
    policy = Retrain(on=("drift",), clock="events", cooldown=DAY)
    for source, rule in (("drift", "early"), ("person", "")):
        history = TrainingHistory(by_events=True)
        history.fold(event_of(Asked("t", source, BEGIN, stream="predictions", incident="i", model="m@1")))
        (trigger,) = history.open()
        said = answer(policy, history, trigger, "p", 0, lambda run: run, BEGIN)
        assert said.time == BEGIN
        assert (said.finding.rule if isinstance(said.finding, RetrainIgnored) else "") == rule


def test_what_the_wall_clock_answered_is_long_ago_for_events() -> None:
    """A pipeline that changes its clock is not held up for years by answers that have no event time."""
    policy = Retrain(on=("drift",), clock="events", cooldown=DAY, per_month=1)
    history = TrainingHistory(by_events=True)
    past = ControlEvent("a", "p", BEGIN + AHEAD, "retrain", RetrainStarted("t0", "schedule", "r0"))
    history.fold(past)
    history.fold(ControlEvent("e", "p", BEGIN + AHEAD, "retrain", RetrainFinished("r0", "m@1")))
    history.fold(event_of(Asked("t1", "drift", BEGIN + 1, stream="predictions", incident="i", model="m@0"), True))
    (trigger,) = history.open()
    said = answer(policy, history, trigger, "p", BEGIN, lambda run: run, BEGIN + AHEAD + 1)
    assert isinstance(said.finding, RetrainStarted)
    assert said.finding.at == BEGIN
