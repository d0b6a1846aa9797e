"""Three inputs, one of them the service's own output: what was said left and right of the same event, together."""

from __future__ import annotations

from random import Random

import numpy as np

from headrace.errors import Transient
from headrace.streaming.records.batch import Batch, Output, unslot
from headrace.streaming.task.service import Service
from tests.simulated.groups import Part
from tests.simulated.scene import Event, Scene, Store, named
from tests.streaming.meeting import Meeting


class StoreMeeting(Meeting):
    """As `Meeting`, with a store that it needs for each row."""

    def __init__(self, store: Store) -> None:
        super().__init__()
        self.store = store

    def process(self, batch: Batch, now: float) -> Output:
        if self.store.slow():
            raise Transient("the store does not answer")
        held = frozenset(number for number, _ in batch.runs() if self.store.lacks(unslot(number)[1]))
        ready = batch.take(~np.isin(batch.partition, list(held))) if held else batch
        if not len(ready):
            return Output(held=held)
        done = super().process(ready, now)
        return Output(done.emits, done.rejects, held)


class MeetingScene(Scene):
    """Pairs, of which some never become whole: a side is refused, or never said. Left amounts are odd, right even."""

    service = "meeting"
    inputs = ("left", "right", "exchange")
    outputs = ("tallies", "exchange")

    def serve(self, store: Store) -> Service:
        return StoreMeeting(store)

    def publish(self, draw: Random, number: int) -> list[tuple[Part, Event]]:
        name, found = f"e{number}", []
        for side, parity in (("left", 1), ("right", 0)):
            amount = -1 if draw.random() < 0.06 else 2 * draw.randint(1, 9) + parity
            if draw.random() < 0.94:
                where = draw.randrange(self.plan.partitions)
                found.append(((named(side), where), Event(name, f"k{where}", amount)))
        return found

    def fold(self, part: Part, below: int) -> dict[str, int]:
        waiting: dict[str, int] = {}
        log = self.broker.log(*part)
        places = [offset for offset, _ in log.history() if offset < below]
        rows = self.rows("exchange")[part[1]]
        for row in rows[: len(places)]:
            if row["id"] in waiting:
                del waiting[row["id"]]
            else:
                waiting[row["id"]] = row["amount"]
        return waiting

    def judge(self) -> None:
        good = [event for event in self.events.values() if event.amount >= 0]
        exchanged = [f"{row['id']}/{row['amount']}" for rows in self.rows("exchange") for row in rows]
        self.each_once("exchanged", exchanged, [f"{event.name}/{event.amount}" for event in good])
        sides: dict[str, list[int]] = {}
        for event in good:
            sides.setdefault(event.name, []).append(event.amount)
        wanted = {name: sum(amounts) for name, amounts in sides.items() if len(amounts) == 2}
        told = [row for rows in self.rows("tallies") for row in rows]
        self.each_once("met", [row["id"] for row in told], wanted)
        for row in told:
            if row["total"] != wanted.get(row["id"]):
                self.note(f"{row['id']} met with {row['total']}, and deserves {wanted.get(row['id'])}")
        self.refused_once()
