"""Every trigger gets one answer, and it is the one that the rules say."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest

from headrace.domain.control.base import ControlFinding
from headrace.domain.control.drift import DriftHarmed, DriftOpened
from headrace.domain.control.events import ControlEvent
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
from tests.retrain.reference_policy import Answered, Asked, Ended, rule_of

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
BEGIN = 1_790_000_000_000
SEQUENCES = 1_000
STREAMS = ("predictions", "outcomes", "shadow-predictions", "dead-letters")
SOURCES = ("drift", "harm", "schedule", "volume", "person")


def event_of(asked: Asked) -> ControlEvent:
    """The event by which a trigger comes."""
    finding: ControlFinding = RetrainAsked(asked.source, "because")
    if asked.source in ("drift", "harm"):
        kind = DriftOpened if asked.source == "drift" else DriftHarmed
        finding = kind(asked.incident, asked.stream, asked.time, model=asked.model)
    return ControlEvent(asked.name, "p", asked.time, "somebody", finding)


def policy_of(chance: random.Random) -> Retrain:
    """Any policy."""
    return Retrain(
        on=tuple(source for source in SOURCES[:-1] if chance.random() < 0.8),
        debounce=chance.choice([0, 0, 10 * MINUTE, 6 * HOUR]),
        cooldown=chance.choice([0, HOUR, DAY]),
        settle=chance.choice([1, HOUR, DAY]),
        per_month=chance.choice([None, 0, 1, 3, 10]),
    )


class Sequence:
    """A random course of triggers, answers and ends, given to the policy and to its reference."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.policy = policy_of(self.chance)
        self.history = TrainingHistory()
        self.past: list[Answered | Ended] = []
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
            stream, incident = self.chance.choice(STREAMS), f"i{self.chance.randrange(step + 1)}"
            asked = replace(asked, model=self.chance.choice(self.models), stream=stream, incident=incident)
        self.waiting.append(asked)
        self.fold(event_of(asked))

    def answer_all(self) -> None:
        """What waits is answered, in its order."""
        assert [trigger.event_id for trigger in self.history.open()] == [asked.name for asked in self.waiting]
        for trigger, asked in zip(self.history.open(), self.waiting, strict=True):
            event = answer(self.policy, self.history, trigger, "p", self.now, lambda run: f"order of {run}")
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
        if self.chance.random() < 0.3:
            self.fold(ControlEvent(f"e{step}", "p", self.now, "retrain", RetrainFailed(run.run)))
            self.past.append(Ended(start, self.now))
            return
        model = f"m@{step + 2}"
        self.fold(ControlEvent(f"e{step}", "p", self.now, "retrain", RetrainFinished(run.run, model)))
        self.fold(ControlEvent(f"r{step}", "p", self.now, "retrain", ModelRegistered(model, run=run.run)))
        self.models.append(model)
        self.past.append(Ended(start, self.now, model))


@pytest.mark.slow
def test_a_thousand_sequences_are_answered_as_the_rules_say() -> None:
    """Each trigger once, none trained beside another, the budget kept, by a reference; every rule decides some."""
    decided: Counter[str] = Counter()
    for seed in range(SEQUENCES):
        course = Sequence(seed)
        course.run(60)
        answers = [each for each in course.past if isinstance(each, Answered)]
        asked = [event for event in course.events if event.event_id.startswith("t")]
        assert len(answers) == len({each.asked.name for each in answers}) == len(asked)
        decided.update(each.rule for each in answers)
        months = Counter(month_of(run.began) for run in course.history.runs.values())
        assert course.policy.per_month is None or max(months.values(), default=0) <= course.policy.per_month
        for before, after in pairwise(course.history.runs.values()):
            assert before.ended is not None
            assert before.ended <= after.began
        again = TrainingHistory()
        for event in course.events:
            again.fold(event)
        assert again.__dict__ == course.history.__dict__, "a fold that depends on repeats"
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
