"""A canary that breaks, with `score` and `release` in one schedule: each event is answered, and it is put back once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import isnan
from pathlib import Path
from random import Random

import pyarrow as pa

from headrace.domain.control.breach import NON_FINITE, ArmBreached
from headrace.domain.control.events import ControlEvent, read_event
from headrace.domain.control.release import PromotionAsked, ReleaseFinding, ReleaseRolledBack
from headrace.domain.control.retrain import ModelEvaluated, ModelRegistered
from headrace.domain.ledger.sources import CONTROL, PLANS
from headrace.domain.plans.canary_split import shares
from headrace.domain.plans.plans import CANARY, CHAMPION
from headrace.domain.records.release_parts import PARTS
from headrace.streaming.task.runner import Runner
from services.release.app import build as build_release
from services.release.service import Releases
from services.release.settings import ReleaseSettings
from services.score.app import build
from tests.simulated.groups import Part
from tests.simulated.plan import Plan
from tests.simulated.process import SimulatedLibrary
from tests.simulated.product.crew import Crew
from tests.simulated.product.models import BREAKING, MODEL, STORE, cache_folder, score_of, stored
from tests.simulated.product.product_scene import Said
from tests.simulated.product.release_scene import ReleaseScene
from tests.simulated.product.score_scene import PASSED, ScoreMember, ScoreScene
from tests.simulated.scene import PIPELINE, Row, Store, named

ENTITIES = 12
BREAKING_FILE = Path(__file__).parent / "breaking.yaml"
NEXT = "3"
"""The model that comes after the one that breaks; it never does."""
STORY: Mapping[int, tuple[str, ...]] = {
    0: (f"register {BREAKING}", f"evaluate {BREAKING}"),
    **dict.fromkeys(range(1, 6), (f"promote {BREAKING}",)),
    8: (f"register {NEXT}", f"evaluate {NEXT}"),
    **dict.fromkeys(range(9, 13), (f"promote {NEXT}",)),
}
"""What people and retraining say beside the event of a number; requests that come too early are refused."""
AFTER_ALL, LAST = 1_000, 20
"""Number of the features that come when all else is done, and how many: some that a canary breaks at are among them."""


class BreachScene(ReleaseScene, ScoreScene):
    """Features, a third of which the canary has no score for; people let a model in, and after it another one."""

    pipeline = BREAKING_FILE
    inputs = (*Releases.inputs, "features")
    outputs = ("ledger", "predictions")
    counts = {CONTROL: 1, PLANS: 1, PARTS: 1, "ledger": 1}  # noqa: RUF012 - nobody changes it

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.crew = Crew(build_release, ReleaseSettings, self.pipeline)
        self._scorers = Crew(build, ScoreMember, self.pipeline, models=STORE, model_cache=cache_folder())
        self._late = False

    # ---- two services --------------------------------------------------------------------------------------------

    def names(self) -> list[str]:
        """Of each service at least one member."""
        return [f"{letter}{number}" for number in range(max(self.plan.members, 1)) for letter in "rs"]

    def member(self, name: str, library: SimulatedLibrary, store: Store) -> Runner:
        crew = self.crew if name[0] == "r" else self._scorers
        return crew.member(self.plan, name, library)

    def groups(self) -> list[str]:
        return [self.group, self.group_of(named("features"))]

    def group_of(self, topic: str) -> str:
        return f"{PIPELINE}.score" if topic == named("features") else self.group

    def place(self, logical: str) -> int:
        return Releases.inputs.index(logical) if logical in Releases.inputs else 0

    # ---- what is published ---------------------------------------------------------------------------------------

    def publish(self, draw: Random, number: int) -> Sequence[tuple[Part, Said]]:
        told = [self._said(f"{number}/{words}", *words.split()) for words in STORY.get(number, ())]
        events = [((named(CONTROL), 0), self.record(CONTROL, "p", row.row())) for row in told]
        return [*events, *self._features(draw, number, draw.choice((1, 3, 6)))]

    def done(self) -> bool:
        """When all is, the last features come."""
        if not super().done() or self._late:
            return super().done()
        self._late = True
        for where, told in self._features(Random(f"last {self.plan.seed}"), AFTER_ALL, LAST):
            offset = self.broker.append(where, told.key.encode(), told.value)
            self.events[*where, offset] = told
        return False

    def _said(self, name: str, what: str, version: str) -> ControlEvent:
        package, uri = stored(version)
        title = f"{MODEL}@{version}"
        finding = {
            "register": ModelRegistered(title, package.digest, uri, "r1"),
            "evaluate": ModelEvaluated(title, package.digest, "r1", "passed"),
            "promote": PromotionAsked(model=title, digest=package.digest, reason="why not"),
        }[what]
        return ControlEvent(name, PIPELINE, 5, "ann", finding)

    def _features(self, draw: Random, number: int, count: int) -> Iterator[tuple[Part, Said]]:
        for at in range(count):
            entity, time = draw.randrange(ENTITIES), int(self.broker.wall * 1000) + number
            counts = {name: draw.randint(0, 9) for name in ("sent_1m", "most_1m", "sent_10m", "most_10m")}
            kilos = {name: float(draw.randint(0, 9)) for name in ("kilos_1m", "kilos_10m")}
            row = {
                "event_id": f"e{number}.{at}", "entity": f"c{entity}", "event_time": time, "ingest_time": time + 5,
                "event": {"weight": draw.choice((1, 5, 9))}, "customer": {**counts, **kilos},
            }  # fmt: skip  # one line's worth
            yield (named("features"), entity % self.count("features")), self.record("features", row["entity"], row)

    # ---- what must come of it ------------------------------------------------------------------------------------

    def judge(self) -> None:
        ReleaseScene.judge(self)
        plans = {row["plan_version"]: {arm["arm"]: arm for arm in row["arms"]} for row in self._plans()}
        events = [event for rows in self._control() for row in rows if (event := read_event(row)) is not None]
        breaches = [event.finding for event in events if isinstance(event.finding, ArmBreached)]
        self._answered(plans, {each.plan_version for each in breaches})
        broken, after = stored(BREAKING)[0].digest, stored(NEXT)[0].digest
        for breach in breaches:
            canary = plans.get(breach.plan_version, {}).get(CANARY, {})
            if (breach.digest, breach.breaker, canary.get("digest")) != (broken, NON_FINITE, broken):
                self.note(f"{breach.model} is said to have broken under plan {breach.plan_version}: {breach.detail}")
        if not self.lossy:
            self._put_back([each.finding for each in events if isinstance(each.finding, ReleaseFinding)], breaches)
            if not set(plans[max(plans)]) >= {CHAMPION} or plans[max(plans)][CHAMPION]["version"] != "1":
                self.note("the champion of before does not answer any more")
            if breaches and broken in {arm["digest"] for arm in plans[max(plans)].values()}:
                self.note(f"{BREAKING} broke, and plan {max(plans)} has it: {after}")

    def _put_back(self, said: Sequence[ReleaseFinding], breaches: Sequence[ArmBreached]) -> None:
        """Once, where it broke, however many members say so; and nothing else is."""
        back = [(each.model, each.rule) for each in said if isinstance(each, ReleaseRolledBack)]
        wanted = [(f"{MODEL}@{BREAKING}", "breaker")] if breaches else []
        if back != wanted:
            self.note(f"put back were {back}, and of {len(breaches)} breaches follows {wanted}")

    def _answered(self, plans: Mapping[int, Mapping[str, Row]], told: set[int]) -> None:
        """Each event once: by the canary for its share, and by the champion where it has no score, which is told."""
        rows = {event.row["event_id"]: event.row for event in self.said("features")}
        found = [row for part in self.rows("predictions") for row in part]
        self.each_once("predicted", [row["event_id"] for row in found], rows)
        for row in found:
            features, arms = rows[row["event_id"]], plans.get(row["plan_version"])
            if any(row[field] != features[field] for field in PASSED):
                self.note(f"the prediction of {row['event_id']} has other features than the event")
            if arms is None:
                self.note(f"{row['event_id']} was answered by plan {row['plan_version']}, which nobody published")
                continue
            arm = arms[CHAMPION]
            if CANARY in arms and shares(pa.array([row["entity"]]), "salt")[0] < arms[CANARY]["share"]:
                if not isnan(score_of(arms[CANARY]["version"], features)):
                    arm = arms[CANARY]
                elif row["plan_version"] not in told:
                    self.note(f"the champion answered {row['event_id']} for a canary of which no breach was told")
            self.right(row, features, arm)
