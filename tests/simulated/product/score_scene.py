"""Scores: every event's features are answered by a model that some plan names for its entity."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from math import inf, isclose, isnan
from random import Random
from typing import Any

import pyarrow as pa

from headrace.domain.models.sessions import SessionSettings
from headrace.domain.models.settings import InferenceSettings
from headrace.domain.plans.canary_split import shares
from services.score.app import build
from services.score.service import Score
from services.score.settings import ScoreSettings
from tests.simulated.broker import Broker
from tests.simulated.groups import Part
from tests.simulated.plan import Plan
from tests.simulated.product.crew import Crew
from tests.simulated.product.models import CANARY_SHARE, STORE, DarkArm, cache_folder, fact, score_of
from tests.simulated.product.product_scene import ProductScene, Said
from tests.simulated.scene import Row, named

ENTITIES = 6
UNREADABLE = b"nobody can read this"
PASSED = ("event_id", "entity", "event_time", "ingest_time", "event", "customer")
"""Fields that a prediction has from its features."""


class MeasuresNothing(InferenceSettings):
    """Settings of a member that measures nothing when it loads a model: that takes longer than all else."""

    def session(self, longest_call: float, classes: tuple[str, ...] = ()) -> SessionSettings:
        return replace(super().session(longest_call, classes), device="cpu", rows=16)


class ScoreMember(MeasuresNothing, ScoreSettings):
    """Settings of `score`."""


class ScoreScene(ProductScene):
    """Features, some of which no model has a score for or nobody can read, and now and then another plan."""

    service = "score"
    inputs = Score.inputs
    outputs = ("predictions", "control")
    counts = {"plans": 1, "control": 1}  # noqa: RUF012 - nobody changes it

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.crew = Crew(build, ScoreMember, models=STORE, model_cache=cache_folder())

    def open(self, broker: Broker) -> None:
        super().open(broker)
        where, first = (named("plans"), 0), self.first_plan()
        broker.append(where, first.key.encode(), first.value)
        self.events[*where, 0] = first

    def a_plan(self, number: int, champion: str, canary: str = "", dark: Sequence[DarkArm] = ()) -> Said:
        """A plan as it is published."""
        row = fact(number, champion, canary, dark)
        return self.record("plans", row["pipeline"], row)

    def first_plan(self) -> Said:
        """The plan that is there before all else."""
        return self.a_plan(1, "1")

    def next_plan(self, draw: Random, number: int) -> Said:
        """Another one."""
        champion, canary = draw.choice((("1", ""), ("2", ""), ("1", "2"), ("2", "1")))
        return self.a_plan(number, champion, canary)

    def publish(self, draw: Random, number: int) -> Sequence[tuple[Part, Said]]:
        entity, time = draw.randrange(ENTITIES), int(self.broker.wall * 1000) + number
        customer = {name: draw.randint(0, 9) for name in ("sent_1m", "most_1m", "sent_10m", "most_10m")}
        fate = draw.random()
        scored = fate >= 0.06
        row = {
            "event_id": f"e{number}", "entity": f"c{entity}", "event_time": time, "ingest_time": time + 5,
            "event": {"weight": draw.randint(0, 9)},
            "customer": {
                **customer,
                "kilos_1m": float(draw.randint(0, 9)) if scored else inf,
                "kilos_10m": float(draw.randint(0, 9)) if scored else inf,
            },
        }  # fmt: skip  # one line for what belongs together
        told = self.record("features", row["entity"], row, scored)
        if fate > 0.97:
            told = Said(told.key, row, UNREADABLE, good=False)
        found = [((named("features"), entity % self.count("features")), told)]
        if draw.random() < 0.15:
            found.append(((named("plans"), 0), self.next_plan(draw, number + 2)))
        return found

    def grow(self) -> None:
        if self.count("features") == self.plan.partitions:
            self.broker.grow(named("features"))

    def fold(self, part: Part, below: int) -> object:
        raise AssertionError("it keeps no state")

    def judge(self) -> None:
        self.bad_refused_once()
        rows: dict[str, Row] = {event.row["event_id"]: event.row for event in self.said("features")}
        plans = {event.row["plan_version"]: event.row for event in self.said("plans")}
        told = self.rows("predictions")
        self.each_once("predicted", [row["event_id"] for part in told for row in part], rows)
        for row in (row for part in self.rows("control") for row in part):
            self.note(f"{row['type']} was said, though whom the canary fails the champion does, too")
        for part in told:
            for row in part:
                if row["event_id"] in rows:
                    self.right(row, rows[row["event_id"]], self._arm(row, plans))
            if self.once:
                self.in_order(part)

    def _arm(self, row: Row, plans: Mapping[int, Row]) -> Row | None:
        """The arm that the plan which a prediction names has the event's entity answered by."""
        if row["plan_version"] not in plans:
            self.note(f"{row['event_id']} was answered by plan {row['plan_version']}, which nobody published")
            return None
        arms: dict[str, Row] = {arm["arm"]: arm for arm in plans[row["plan_version"]]["arms"]}
        tried = "canary" in arms and shares(pa.array([row["entity"]]), "salt")[0] < CANARY_SHARE
        return arms["canary" if tried else "champion"]

    def right(self, row: Row, features: Row, arm: Row | None) -> None:
        """A prediction says what an arm has for features."""
        name = row["event_id"]
        if any(row[field] != features[field] for field in PASSED):
            self.note(f"the prediction of {name} has other features than the event")
        if arm is None:
            return
        model = {"name": arm["model"], "version": arm["version"], "digest": arm["digest"]}
        wanted: dict[str, Any] = {
            "prediction_id": f"{name}/{arm['model']}@{arm['version']}/{arm['arm']}", "model": model, "arm": arm["arm"],
        }  # fmt: skip  # one line's worth
        found = {field: row[field] for field in wanted}
        if found != wanted:
            self.note(f"{name} was answered by {found}, and plan {row['plan_version']} says {wanted}")
        score = score_of(arm["version"], features)
        if isnan(score) or not isclose(row["score"], score, rel_tol=1e-5):
            self.note(f"{name} was scored {row['score']}, and deserves {score}")
        if row["decision"] != (row["score"] >= 0.5):
            self.note(f"{name} was scored {row['score']}, and decided {row['decision']}")

    def in_order(self, rows: Iterable[Row]) -> None:
        """Of an entity and a partition, predictions follow one another as features did."""
        home = {
            event.row["event_id"]: (number, offset)
            for (topic, number, offset), event in self.events.items()
            if topic == named("features")
        }
        answers = [(row["entity"], *home[row["event_id"]]) for row in rows if row["event_id"] in home]
        for (entity, number, before), (other, where, after) in pairwise(sorted(answers, key=lambda each: each[:2])):
            if (entity, number) == (other, where) and after <= before:
                self.note(f"predictions of {entity} go from {before} back to {after} of partition {number}")
