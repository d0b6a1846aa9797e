"""Takes records from producers' topics: each is an event or a label once, keyed anew, or a dead letter."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from random import Random

import pyarrow as pa

from headrace.columnar.partitioner import partitions_of
from services.intake.app import build
from services.intake.settings import IntakeSettings
from tests.simulated.groups import Part
from tests.simulated.plan import Plan
from tests.simulated.product.crew import Crew
from tests.simulated.product.product_scene import MINUTE, SECOND, ProductScene, Said
from tests.simulated.scene import Row, named

DOOR = Path(__file__).parent / "door.yaml"
CUSTOMERS = 6
FEEDS = {"events": "events-feed", "labels": "labels-feed"}
NAMES = {"events": "parcel", "labels": "event_id"}
BAD = (
    b"{",
    b'{"parcel": "x"}',
    b"[]",
    b'{"parcel":"x","sent_at":1,"customer":1,"weight":"5","lost":true,"known_at":"1"}',
)


class IntakeScene(ProductScene):
    """Parcels that producers write in JSON to any partition, some of them long ago at once; losses; what is neither."""

    service = "intake"
    inputs = ("events-feed", "labels-feed")
    outputs = ("events", "labels")
    pipeline = DOOR

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.crew = Crew(build, IntakeSettings, DOOR)

    def publish(self, draw: Random, number: int) -> Sequence[tuple[Part, Said]]:
        at = int(self.broker.wall * 1000) - 60 * MINUTE + number * 20 * SECOND
        parcel = {
            "parcel": f"p{number}", "sent_at": at - draw.randrange(30) * SECOND, "customer": draw.randrange(CUSTOMERS),
            "weight": draw.randint(0, 99) / 4,
        }  # fmt: skip  # one row
        found = [self._written(draw, "events", parcel)]
        if draw.random() < 0.3:
            loss = {"parcel": f"p{number}", "lost": draw.random() < 0.5, "known_at": at + MINUTE}
            found.append(self._written(draw, "labels", loss))
        return found

    def _written(self, draw: Random, logical: str, row: Row) -> tuple[Part, Said]:
        where = (named(FEEDS[logical]), draw.randrange(self.plan.partitions))
        if draw.random() < 0.06:
            return where, Said("", row, draw.choice(BAD), good=False)
        return where, Said("", row, json.dumps(row).encode())

    def fold(self, part: Part, below: int) -> object:
        raise AssertionError("it keeps no state")

    def judge(self) -> None:
        self.bad_refused_once()
        for logical, feed in FEEDS.items():
            told = {event.row["parcel"]: event.row for event in self.said(feed)}
            parts = self.rows(logical)
            self.each_once(f"among {logical}", [row[NAMES[logical]] for part in parts for row in part], told)
            for number, part in enumerate(parts):
                for row in part:
                    if row[NAMES[logical]] in told:
                        self.right(logical, row, told[row[NAMES[logical]]], number)
                if self.once:
                    self.in_order(logical, [row[NAMES[logical]] for row in part])

    def right(self, logical: str, row: Row, told: Row, number: int) -> None:
        """A record says what the producer's did, and lies where its key belongs."""
        if logical == "events":
            wanted, key = dict(told), str(told["customer"])
        else:
            key = told["parcel"]
            wanted = {
                "event_id": key, "value": float(told["lost"]), "label_time": told["known_at"], "source": "desk"
            }  # fmt: skip  # one row
        if dict(row) != wanted:
            self.note(f"{row} was written to {logical}, and the producer said {told}")
        if int(partitions_of(pa.array([key]), self.count(logical))[0]) != number:
            self.note(f"{row} lies in partition {number} of {logical}")

    def in_order(self, logical: str, names: Sequence[str]) -> None:
        """Records of a partition of the producer's follow one another as they did there."""
        home = {
            event.row["parcel"]: (number, offset)
            for (topic, number, offset), event in self.events.items()
            if topic == named(FEEDS[logical]) and event.good
        }
        places = sorted((home[name] for name in names if name in home), key=lambda place: place[0])
        for (number, before), (other, after) in pairwise(places):
            if number == other and after <= before:
                self.note(f"{logical} go from {before} back to {after} of partition {number}")
