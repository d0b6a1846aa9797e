"""Dark models: each scores every event of a plan that names it, once, or it is said from where on it does not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from random import Random
from typing import NamedTuple

from headrace.domain.control.dark_models import DarkModelFinding, ModelFailed, ModelShed, ModelUnanswered
from headrace.domain.control.events import read_event
from services.shadow.app import build
from services.shadow.service import Shadow
from services.shadow.settings import ShadowSettings
from tests.simulated.plan import Plan
from tests.simulated.product.crew import Crew
from tests.simulated.product.models import BROKEN, MODEL, STORE, cache_folder
from tests.simulated.product.product_scene import Said
from tests.simulated.product.score_scene import UNREADABLE, MeasuresNothing, ScoreScene
from tests.simulated.scene import Row, named

SHED_AFTER_S = 5.0
ALWAYS = (("3", "challenger", 5), ("4", "shadow", 3))
"""(version, arm, priority) of dark models that every plan names;"""
SOMETIMES = ("5", "shadow", 1)
"""one that only some do, like the one that nobody can load."""


class ShadowMember(MeasuresNothing, ShadowSettings):
    """Settings of `shadow`."""


class Scored(NamedTuple):
    """What was made of one event: the models that scored it, and the plans that they were of."""

    models: set[str]
    plans: set[int]


class ShadowScene(ScoreScene):
    """Features and plans as of `score`, with dark models, some of which are left out by members that were held up."""

    service = "shadow"
    inputs = Shadow.inputs
    outputs = ("shadow-predictions", "control")
    counts = {"plans": 1, "control": 1}  # noqa: RUF012 - nobody changes it

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.crew = Crew(build, ShadowMember, shed_after_s=SHED_AFTER_S, models=STORE, model_cache=cache_folder())

    def first_plan(self) -> Said:
        return self.a_plan(1, "1", dark=ALWAYS)

    def next_plan(self, draw: Random, number: int) -> Said:
        others = draw.choice(((), (SOMETIMES,), (SOMETIMES,), ((BROKEN, "shadow", 9),)))
        return self.a_plan(number, draw.choice("12"), dark=(*ALWAYS, *others))

    # ---- what must come of it ------------------------------------------------------------------------------------

    def refused(self, event: Said) -> bool:
        return event.value == UNREADABLE  # What no model has a score for is not the event's fault.

    def judge(self) -> None:
        self.bad_refused_once()
        features = {event.row["event_id"]: event.row for event in self.said("features")}
        plans = {event.row["plan_version"]: event.row for event in self.said("plans")}
        told = self.rows("shadow-predictions")
        found: dict[str, Scored] = defaultdict(lambda: Scored(set(), set()))
        for part in told:
            for row in part:
                name, place = row["event_id"], _place(row)
                if name not in features:
                    self.note(f"{name} was scored, which nobody published, or which no model has a score for")
                    continue
                if self.once and place in found[name].models:
                    self.note(f"{place} scored {name} twice")
                found[name].models.add(place)
                found[name].plans.add(row["plan_version"])
                self.right(row, features[name], self._arm(row, plans.get(row["plan_version"])))
            if self.once:
                for place in sorted({_place(row) for row in part}):
                    self.in_order([row for row in part if _place(row) == place])
        if not self.lossy:
            self._all_scored(found, plans)

    def _arm(self, row: Row, plan: Row | None) -> Row | None:
        """The arm of a plan that a prediction is of."""
        if plan is None:
            self.note(f"{row['event_id']} was scored by plan {row['plan_version']}, which nobody published")
            return None
        arms = {f"{arm['model']}@{arm['version']}/{arm['arm']}": arm for arm in plan["arms"]}
        place = _place(row)
        if place not in arms or row["arm"] not in ("challenger", "shadow"):
            self.note(f"{row['event_id']} was scored by {place}, which is not dark in plan {row['plan_version']}")
            return None
        return arms[place]

    def _all_scored(self, found: Mapping[str, Scored], plans: Mapping[int, Row]) -> None:
        """What a model did not score lies behind where it was said to be left out."""
        findings = list(self._findings())
        for name, scored in found.items():
            if self.once and len(scored.plans) > 1:
                self.note(f"{name} was scored by several plans: {sorted(scored.plans)}")
        every = [(version, arm) for version, arm, _ in (*ALWAYS, SOMETIMES)]
        for place, title, arm in ((f"{MODEL}@{version}/{arm}", f"{MODEL}@{version}", arm) for version, arm in every):
            mine = [finding for finding in findings if (finding.model, finding.arm) == (title, arm)]
            for number in range(self.count("features")):
                out = sorted(f.offsets[number] for f in mine if isinstance(f, ModelShed) and number in f.offsets)
                self._partition_scored(
                    place, number, out, found, plans, any(isinstance(f, ModelUnanswered) for f in mine)
                )
        told = {finding.plan_version for finding in findings if isinstance(finding, ModelFailed)}
        played = {number for scored in found.values() for number in scored.plans}
        broken = {number for number in played if any(arm["version"] == BROKEN for arm in plans[number]["arms"])}
        if silent := sorted(broken - told):
            self.note(f"nobody said that a model of plans {silent} cannot be loaded")

    def _partition_scored(
        self,
        place: str,
        number: int,
        out: list[int],
        found: Mapping[str, Scored],
        plans: Mapping[int, Row],
        unanswered: bool,
    ) -> None:
        """A model and a partition: `out` has the offsets from which it was said to be left out."""
        last = -1
        rows = [
            (offset, event)
            for (topic, partition, offset), event in sorted(self.events.items())
            if (topic, partition) == (named("features"), number)
        ]
        for offset, event in rows:
            name = event.row["event_id"]
            scored = found.get(name, Scored(set(), set()))
            if not event.good:
                told = unanswered or any(at <= offset for at in out)
                if self._names(place, plans) and not told and not self.refused(event):
                    self.note(f"nobody said that {place} has no score for {name}")
            elif place in scored.models:
                last = offset
            elif self._due(place, scored, plans) and not any(
                (last < at or not self.once) and at <= offset for at in out
            ):
                self.note(f"{place} did not score {name} ({number}@{offset}), and was last said to be out at {out}")
                last = offset

    def _due(self, place: str, scored: Scored, plans: Mapping[int, Row]) -> bool:
        """Whether a model is of the plan by which an event was scored; of no plan that is known, where nobody did."""
        if self._names(place, plans):
            return True
        return bool(scored.plans) and all(place in _places(plans[number]) for number in scored.plans if number in plans)

    def _names(self, place: str, plans: Mapping[int, Row]) -> bool:
        """Whether every plan names a model."""
        return all(place in _places(plan) for plan in plans.values())

    def _findings(self) -> Iterator[DarkModelFinding]:
        for rows in self.rows("control"):
            for row in rows:
                event = read_event(row)
                assert event is not None
                yield event.finding


def _place(row: Row) -> str:
    model = row["model"]
    return f"{model['name']}@{model['version']}/{row['arm']}"


def _places(plan: Row) -> set[str]:
    return {f"{arm['model']}@{arm['version']}/{arm['arm']}" for arm in plan["arms"]}
