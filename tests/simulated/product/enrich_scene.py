"""Features: every event that may pass is answered once, with the windows of its entity as they were when it came."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from random import Random
from typing import NamedTuple

from headrace.streaming.records.batch import Batch
from services.enrich.app import build
from services.enrich.service import Enrich
from services.enrich.settings import EnrichSettings
from tests.simulated.broker import Broker
from tests.simulated.groups import Part
from tests.simulated.plan import Plan
from tests.simulated.product.contracts import rows_of
from tests.simulated.product.crew import Crew
from tests.simulated.product.product_scene import HOUR, MINUTE, SECOND, Fold, ProductScene, Said
from tests.simulated.scene import Row, named

CUSTOMERS = 3
WINDOWS: Mapping[str, int] = {"1m": MINUTE, "10m": 10 * MINUTE}
APART, LATENESS = 20 * SECOND, MINUTE
HEAVIEST = 100


class Fates(NamedTuple):
    """What becomes of events.

    Attributes:
        answers: features, by event id.
        refused: (topic, partition, offset).
    """

    answers: dict[str, Row]
    refused: list[tuple[str, int, int]]


class EnrichScene(ProductScene):
    """Events a little out of order: some wrong, under a wrong key, twice, twice in different words, or far too late."""

    service = "enrich"
    inputs = Enrich.inputs
    outputs = ("features",)
    counts = {"revisions": 1}  # noqa: RUF012 - nobody changes it

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.crew = Crew(build, EnrichSettings)

    def open(self, broker: Broker) -> None:
        super().open(broker)
        self._fold = EventFold(self)

    def publish(self, draw: Random, number: int) -> Sequence[tuple[Part, Said]]:
        who, fate = draw.randrange(CUSTOMERS), draw.random()
        where = (named("events"), who % self.plan.partitions)
        time = int(self.broker.wall * 1000) + number * APART - draw.randrange(LATENESS - 10 * SECOND)
        row = {"parcel": f"e{number}", "sent_at": time, "customer": f"c{who}", "weight": draw.randint(0, HEAVIEST)}
        if fate < 0.05:
            return [(where, self.record("events", row["customer"], row | {"weight": HEAVIEST + 1}))]
        if fate < 0.08:
            return [(where, self.record("events", "another", row))]
        if fate < 0.1:
            return [(where, Said(row["customer"], row, b"nobody can read this", good=False))]
        if fate < 0.15:
            return [(where, self.record("events", row["customer"], row | {"sent_at": time - HOUR}))]
        told = [(where, self.record("events", row["customer"], row))]
        written = [((topic, place), event) for (topic, place, _), event in self.events.items() if event.good]
        earlier = [each for each in written if each[0][0] == named("events")]
        if fate > 0.8 and earlier:
            place, event = draw.choice(earlier)
            other = event.row | {"weight": (event.row["weight"] + 1) % HEAVIEST}
            told.append((place, event if fate > 0.87 else self.record("events", event.key, other)))
        return told

    # ---- what must come of it ------------------------------------------------------------------------------------

    def state(self, part: Part, snapshot: bytes) -> str:
        return hashlib.sha256(snapshot).hexdigest()[:12]

    def fold(self, part: Part, below: int) -> str:
        return self.state(part, self._fold.snapshot(part[1], below))

    def judge(self) -> None:
        wanted = self._wanted()
        letters = [
            (row["topic"], row["partition"], row["offset"]) for part in self.rows("dead-letters") for row in part
        ]
        self.as_often("refused", letters, wanted.refused)
        told = [row for rows in self.rows("features") for row in rows]
        self.each_once("answered", [row["event_id"] for row in told], wanted.answers)
        alone = self._fold.answers()
        for row in told:
            name = row["event_id"]
            if {field: row[field] for field in ("entity", "event_time", "event", "customer")} != wanted.answers.get(
                name
            ):
                self.note(f"{name} was answered {row}, and deserves {wanted.answers.get(name)}")
            if row != alone.get(name):
                self.note(f"{name} was answered {row}, and one process alone says {alone.get(name)}")

    def _wanted(self) -> Fates:
        """The fold, said slowly: of a partition's events in their order."""
        fates = Fates({}, [])
        too_late = self._fold.too_late()
        known: dict[int, dict[str, Row]] = defaultdict(dict)
        before: dict[tuple[int, str], list[Row]] = defaultdict(list)
        for (topic, number, offset), event in sorted(self.events.items()):
            row, ids = event.row, known[number]
            strange = not event.good or event.key != row["customer"] or row["weight"] > HEAVIEST
            changed = ids.get(row["parcel"], row) != row
            if strange or changed or (number, offset) in too_late:
                fates.refused.append((topic, number, offset))
            elif row["parcel"] not in ids:
                ids[row["parcel"]] = row
                before[number, row["customer"]].append(row)
                fates.answers[row["parcel"]] = _features(row, before[number, row["customer"]])
        return fates


def _features(row: Row, events: Sequence[Row]) -> Row:
    """What is asked of an event, from its customer's events up to it."""
    found: dict[str, float] = {}
    for name, duration in WINDOWS.items():
        weights = [each["weight"] for each in events if row["sent_at"] - duration < each["sent_at"] <= row["sent_at"]]
        found |= {f"sent_{name}": len(weights), f"kilos_{name}": sum(weights), f"most_{name}": max(weights)}
    event = {"weight": row["weight"]}
    return {"entity": row["customer"], "event_time": row["sent_at"], "event": event, "customer": found}


class EventFold(Fold):
    """The fold of events."""

    def __init__(self, scene: EnrichScene) -> None:
        super().__init__(scene, scene.undisturbed(), "events")
        self._answers: dict[int, list[Row]] = {}
        self._late: dict[int, list[tuple[int, int]]] = {}

    def answers(self) -> dict[str, Row]:
        """All features, by event id."""
        self.run_all()
        return {row["event_id"]: row for rows in self._answers.values() for row in rows}

    def too_late(self) -> set[tuple[int, int]]:
        """Events that come too late: by rules that have tests of their own, and that no batch shows in."""
        self.run_all()
        return {place for places in self._late.values() for place in places}

    def begin(self, partition: int) -> None:
        self._answers[partition], self._late[partition] = [], []

    def take(self, partition: int, batch: Batch) -> None:
        admitted = self._service.admit(batch, 0.0)
        late = [(each.partition, each.offset) for each in admitted.rejects if each.reason == "too_late"]
        self._late[partition] += late
        if len(admitted.batch):
            for emit in self._service.process(admitted.batch, 0.0).emits:
                self._answers[partition] += rows_of(emit.columns)
