"""Decisions, the plans that they make and the ledger: people and the machine race for the plan, and one wins."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

import numpy as np
import pytest

from headrace.columnar import packing
from headrace.domain.control.events import ControlEvent
from headrace.domain.control.release import PromotionAsked, RollbackAsked
from headrace.domain.ledger.sources import CONTROL, PLANS
from headrace.domain.ledger.verification import broken_links
from headrace.domain.pipeline.release.spec import Release
from headrace.domain.plans.plans import CHAMPION, Arm, Plan, parsed
from headrace.domain.records.outcome_parts import OutcomePart, pack
from headrace.domain.records.release_parts import OUTCOMES
from headrace.domain.release.evidence.outcome_rows import OutcomeRows
from services.release.decision_fold import DecisionFold, FoldAnswer, PartRecord, part_record
from services.release.fold_columns import load_fold, save_fold

RULES = Release(approvals=0, canary=(0.1, 1.0), releases_per_year=1_000)
MODELS = 3


def arm(model: int, kind: str = CHAMPION) -> Arm:
    """A model in a plan."""
    return Arm(kind, "m", str(model), f"sha256:{model}", f"m/{model}")


def control(offset: int, row: dict[str, Any]) -> PartRecord:
    """A control event among the parts."""
    return PartRecord(CONTROL, 0, offset, row | {"evidence": dict(row["evidence"])})


def event(name: str, kind: str, **evidence: str) -> dict[str, Any]:
    """A control event of others."""
    same = {"event_id": name, "pipeline": "p", "time": 5, "actor": "retrain", "cause": None}
    return {**same, "type": kind, "evidence": evidence}


def registered(name: str, model: int) -> dict[str, Any]:
    """A package comes."""
    about = {"model": f"m@{model}", "digest": f"sha256:{model}", "uri": f"m/{model}", "run": "r"}
    return event(name, "model_registered", **about)


def passed(name: str, model: int) -> dict[str, Any]:
    """Its gates are passed."""
    return event(name, "model_evaluated", model=f"m@{model}", digest=f"sha256:{model}", verdict="passed")


def asked(name: str, kind: type[PromotionAsked] | type[RollbackAsked], model: int) -> dict[str, Any]:
    """Ann asks for something."""
    finding = kind(model=f"m@{model}", digest=f"sha256:{model}", reason="why not")
    return ControlEvent(name, "p", 5, "ann", finding).row()


@dataclass
class Pipeline:
    """Topics, and a fold of the parts: what it wants to write is written if nobody else wrote a plan since.

    Attributes:
        parts: in their order; `plans` and `control`: records, of which those from `plans_read` and `control_read` on
            do not stand among the parts yet.
    """

    rules: Release = RULES
    parts: list[PartRecord] = field(default_factory=list)
    plans: list[dict[str, Any]] = field(default_factory=list)
    control: list[dict[str, Any]] = field(default_factory=list)
    ledger: list[Any] = field(default_factory=list)
    plans_read: int = 0
    control_read: int = 0
    lost: int = 0

    def __post_init__(self) -> None:
        self.fold = DecisionFold("p", self.rules)

    def by_hand(self, *arms: Arm) -> None:
        """Somebody writes the plan that follows the newest one."""
        version = self.plans[-1]["plan_version"] + 1 if self.plans else 1
        self.plans.append(Plan("p", version, arms, f"salt {version}").fact(5, "ann", "better"))

    def tell(self, row: dict[str, Any]) -> None:
        """A control event is written."""
        self.control.append(row)

    def order_plan(self) -> None:
        """The next plan comes to stand among the parts."""
        self.take(PartRecord(PLANS, 0, self.plans_read, self.plans[self.plans_read]))
        self.plans_read += 1

    def order_event(self) -> None:
        """So does the next control event."""
        self.take(control(self.control_read, self.control[self.control_read]))
        self.control_read += 1

    def take(self, part: PartRecord) -> None:
        """A part is taken in, and what follows is written."""
        self.parts.append(part)
        for told in self.fold.take(part):
            self.write(told)

    def write(self, told: FoldAnswer) -> None:
        """In one transaction, or not at all."""
        if told.plans and len(self.plans) - 1 > told.after:
            self.lost += 1
            return
        self.plans += map(dict, told.plans)
        self.control += map(dict, told.events)
        self.ledger += told.entries

    def settle(self) -> None:
        """All that was written comes to stand among the parts."""
        while self.plans_read < len(self.plans) or self.control_read < len(self.control):
            if self.plans_read < len(self.plans):
                self.order_plan()
            else:
                self.order_event()

    def said(self) -> list[str]:
        """What the machine told, by kind."""
        return [row["type"] for row in self.control if row["actor"] == "release"]

    def begun(self, model: int = 2) -> None:
        """A model is in the dark beside the champion."""
        self.by_hand(arm(1))
        self.tell(registered("e1", model))
        self.tell(passed("e2", model))
        self.settle()

    @property
    def arms(self) -> list[tuple[str, str]]:
        """Of the newest plan."""
        return [(each.arm, each.version) for each in parsed(self.plans[-1]).arms]


def test_a_decision_its_plan_and_its_entries_are_one() -> None:
    """A model that may start is a challenger of the next plan."""
    pipeline = Pipeline()
    pipeline.begun()
    assert pipeline.said() == ["release_started"]
    assert [(plan["plan_version"], plan["actor"]) for plan in pipeline.plans] == [(1, "ann"), (2, "release")]
    assert pipeline.arms == [("champion", "1"), ("challenger", "2")]
    assert [entry.type for entry in pipeline.ledger] == [
        "plan", "model_registered", "model_evaluated", "release_started", "plan",
    ]  # fmt: skip  # a row of words
    assert [entry.source_offset for entry in pipeline.ledger] == [0, 0, 1, None, 1]


def test_who_comes_second_decides_upon_the_plan_of_who_came_first() -> None:
    """A plan that the machine does not know of yet keeps its decision from being written; then it decides again."""
    pipeline = Pipeline()
    pipeline.by_hand(arm(1))
    pipeline.tell(registered("e1", 2))
    pipeline.tell(passed("e2", 2))
    pipeline.order_plan()
    pipeline.order_event()
    pipeline.by_hand(arm(3))
    pipeline.order_event()
    assert pipeline.said() == []
    assert pipeline.lost == 1
    pipeline.settle()
    assert pipeline.said() == ["release_started"]
    assert [(plan["plan_version"], plan["actor"]) for plan in pipeline.plans] == [
        (1, "ann"), (2, "ann"), (3, "release"),
    ]  # fmt: skip  # a row of versions
    assert pipeline.arms == [("champion", "3"), ("challenger", "2")]


def test_a_request_to_put_back_is_not_lost_with_the_race() -> None:
    """Somebody changes another arm at the same moment: what was asked is done upon their plan."""
    pipeline = Pipeline()
    pipeline.begun()
    pipeline.tell(asked("e3", PromotionAsked, 2))
    pipeline.settle()
    assert ("canary", "2") in pipeline.arms
    pipeline.tell(asked("e4", RollbackAsked, 2))
    pipeline.by_hand(*parsed(pipeline.plans[-1]).arms, arm(3, "shadow"))
    while pipeline.control_read < len(pipeline.control):
        pipeline.order_event()
    assert pipeline.lost == 1
    pipeline.settle()
    assert pipeline.said()[-2:] == ["release_rebased", "release_rolled_back"]
    assert pipeline.arms == [("champion", "1"), ("shadow", "3")]


def test_what_makes_no_plan_keeps_nobody_from_deciding() -> None:
    """A record without a champion is entered, and what was decided is decided upon the plan before."""
    pipeline = Pipeline()
    pipeline.by_hand(arm(1))
    pipeline.tell(registered("e1", 2))
    pipeline.tell(passed("e2", 2))
    pipeline.order_plan()
    pipeline.by_hand()
    pipeline.settle()
    assert pipeline.said() == ["release_started"]
    assert pipeline.arms == [("champion", "1"), ("challenger", "2")]


SECOND = 1_000


def outcomes(first: int, count: int, worse: float) -> PartRecord:
    """A part of outcomes: so many events a second apart, all mature, of champion m@1 and candidate m@2, whose scores of
    positives are lower by `worse`.
    """
    number = np.arange(first, first + count)
    label = (number % 2).astype(np.float64)
    scores = np.where(label == 1, 0.7, 0.3)
    rows = {
        "progress": np.repeat((number - 1) * SECOND, 2), "source": np.zeros(2 * count, np.int64),
        "offset": np.arange(2 * first, 2 * (first + count)), "model": np.tile([0, 1], count),
        "key": np.repeat(number, 2), "time": np.repeat(number * SECOND, 2),
        "score": np.stack([scores, scores - worse * label], 1).ravel(), "label": np.repeat(label, 2),
    }  # fmt: skip  # one column's worth
    none = np.zeros(2, np.int64)
    part = OutcomePart(("sha256:1", "sha256:2"), OutcomeRows.of(rows), none, none)
    told = {
        "next_offset": 2 * (first + count),
        "progress": (first + count) * SECOND,
        "idle": False,
        "partitions": 1,
        "seen": 7,
    }
    row = {"source": OUTCOMES, "source_partition": 0, "time": 7, "payload": pack(part), **told}
    return part_record(row)


def weighed(worse: float) -> Pipeline:
    """A model in the dark, and outcomes until it is decided."""
    pipeline = Pipeline(replace(RULES, minimum=100, guard=SECOND))
    pipeline.begun()
    for first in range(0, 6_000, 500):
        pipeline.take(outcomes(first, 500, worse))
        pipeline.settle()
    return pipeline


def test_a_model_that_harms_is_put_back_by_outcomes() -> None:
    """Its scores of positives are lower; nobody has to ask."""
    pipeline = weighed(0.4)
    assert pipeline.said() == ["release_started", "release_rolled_back"]
    assert pipeline.arms == [("champion", "1")]
    told = dict(pipeline.control[-1]["evidence"])
    assert (told["rule"], told["person"]) == ("harm", "")
    assert float(told["log_harm"]) >= float(told["harm_needed"])


def test_a_model_that_does_not_harm_becomes_the_champion() -> None:
    """In the dark, in a canary, as the champion, and settled, by outcomes and stream time alone."""
    pipeline = weighed(0.0)
    assert pipeline.said() == ["release_started", "release_advanced", "release_promoted", "release_settled"]
    assert ("champion", "2") in pipeline.arms
    assert list(broken_links("p", enumerate(pipeline.ledger))) == []


def test_evidence_of_harm_is_not_lost_with_the_race() -> None:
    """Somebody changes another arm as it is found: the model is put back upon their plan."""
    pipeline = Pipeline(replace(RULES, minimum=100))
    pipeline.begun()
    pipeline.by_hand(*parsed(pipeline.plans[-1]).arms, arm(3, "shadow"))
    for first in range(0, 2_000, 500):
        pipeline.take(outcomes(first, 500, 0.4))
    assert pipeline.lost == 1
    kept = save_fold(pipeline.fold)
    pipeline.fold = DecisionFold("p", pipeline.rules)
    load_fold(pipeline.fold, packing.unpack(packing.pack(kept)), 1)
    pipeline.settle()
    assert pipeline.said() == ["release_started", "release_rebased", "release_rolled_back"]
    assert pipeline.arms == [("champion", "1"), ("shadow", "3")]


def race(seed: int) -> Pipeline:
    """People change plans, ask and register while parts come in any order; now and then another member goes on, from a
    snapshot and what came since.
    """
    draw, pipeline = Random(seed), Pipeline()
    pipeline.by_hand(arm(1))
    kept: tuple[int, dict[str, packing.Column] | None] = (0, None)
    for number in range(60):
        happens(pipeline, draw, f"e{number}")
        for _ in range(draw.choice((0, 1, 3))):
            if draw.random() < 0.4 and pipeline.plans_read < len(pipeline.plans):
                pipeline.order_plan()
            elif pipeline.control_read < len(pipeline.control):
                pipeline.order_event()
        if draw.random() < 0.2:
            kept = (len(pipeline.parts), save_fold(pipeline.fold))
        if draw.random() < 0.2:
            pipeline.fold = DecisionFold("p", RULES)
            if kept[1] is not None:
                load_fold(pipeline.fold, packing.unpack(packing.pack(kept[1])))
            for part in pipeline.parts[kept[0] :]:
                pipeline.fold.take(part)
    pipeline.settle()
    return pipeline


def happens(pipeline: Pipeline, draw: Random, name: str) -> None:
    """Somebody does something."""
    model, what = draw.randint(1, MODELS), draw.randrange(7)
    if what == 0:
        pipeline.by_hand(arm(model))
    elif what < 3:
        pipeline.tell(registered(name, model))
    elif what < 5:
        pipeline.tell(passed(name, model))
    else:
        pipeline.tell(asked(name, PromotionAsked if what == 5 else RollbackAsked, model))


@pytest.mark.parametrize("seed", range(60))
def test_in_any_order_plans_follow_one_another_and_the_ledger_has_all(seed: int) -> None:
    """No two plans have one version, each decision that names a plan has it, and each record its entry, once."""
    pipeline = race(seed)
    assert [plan["plan_version"] for plan in pipeline.plans] == [*range(1, 1 + len(pipeline.plans))]
    assert list(broken_links("p", enumerate(pipeline.ledger))) == []
    entered = [(entry.source, entry.source_offset) for entry in pipeline.ledger]
    assert [at for source, at in entered if source == PLANS] == [*range(len(pipeline.plans))]
    told = [entry.content for entry in pipeline.ledger if entry.source == CONTROL]
    assert len(told) == len(set(told)) == len(pipeline.control)
    made = [evidence["plan"] for row in pipeline.control if "plan" in (evidence := dict(row["evidence"]))]
    assert sorted(map(int, made)) == [plan["plan_version"] for plan in pipeline.plans if plan["actor"] == "release"]


def test_both_win_some_races() -> None:
    """Else nothing was tried."""
    pipelines = [race(seed) for seed in range(20)]
    assert sum(pipeline.lost for pipeline in pipelines) > 10
    assert sum(plan["actor"] == "release" for pipeline in pipelines for plan in pipeline.plans) > 10
