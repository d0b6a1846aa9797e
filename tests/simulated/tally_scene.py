"""One input: for each event, how many its key has had and what they sum to. It holds, refuses, keeps and admits."""

from __future__ import annotations

import json
from itertools import pairwise
from random import Random

import numpy as np
import pyarrow as pa

from headrace.errors import Transient
from headrace.streaming.records.batch import Batch, Emit, Output
from headrace.streaming.task.service import Service
from tests.simulated.groups import Part
from tests.simulated.scene import Event, Scene, Store, named
from tests.streaming.tally import TALLY, Tally

State = dict[str, list[int]]
KEYS = 4


class StoreTally(Tally):
    """As `Tally`, with a store that it needs for each row."""

    def __init__(self, store: Store) -> None:
        super().__init__()
        self.store = store

    def process(self, batch: Batch, now: float) -> Output:
        if self.store.slow():
            raise Transient("the store does not answer")
        held = frozenset(partition for partition, _ in batch.runs() if self.store.lacks(partition))
        ready = batch.take(~np.isin(batch.partition, list(held))) if held else batch
        columns = pa.RecordBatch.from_pylist(self.fold(ready), schema=TALLY.arrow)
        return Output((Emit("tallies", columns, columns["key"], ready.partition),), held=held)

    def snapshot(self, partition: int) -> bytes:
        return json.dumps(self.state[partition], sort_keys=True).encode() + b"\n"


class TallyScene(Scene):
    """Events of a few keys; each deserves the count and the sum of its key up to it."""

    service = "tally"
    inputs = ("events",)
    outputs = ("tallies", "notes")

    def serve(self, store: Store) -> Service:
        return StoreTally(store)

    def publish(self, draw: Random, number: int) -> list[tuple[Part, Event]]:
        key = draw.randrange(KEYS)
        amount = -1 if draw.random() < 0.08 else draw.randint(1, 9)
        partition = key % len(self.broker.topics[named("events")])
        return [((named("events"), partition), Event(f"e{number}", f"k{key}", amount))]

    def grow(self) -> None:
        if len(self.broker.topics[named("events")]) == self.plan.partitions:
            self.broker.grow(named("events"))
            self.broker.grow(named("notes"))

    def fold(self, part: Part, below: int) -> State:
        state: State = {}
        for (topic, number, offset), event in sorted(self.events.items()):
            if (topic, number) == part and offset < below and event.amount >= 0:
                tally = state.setdefault(event.key, [0, 0])
                tally[0] += 1
                tally[1] += event.amount
        return state

    def judge(self) -> None:
        states: dict[int, State] = {}
        answers, home = {}, {}
        for (_, number, _), event in sorted(self.events.items()):
            if event.amount >= 0:
                tally = states.setdefault(number, {}).setdefault(event.key, [0, 0])
                tally[0] += 1
                tally[1] += event.amount
                answers[event.name] = (event.key, *tally)
                home[event.name] = (number, event.key)  # A key may have moved, and counts anew where it is then.
        seen: list[str] = []
        for rows in self.rows("tallies"):
            last: dict[tuple[int, str] | None, int] = {}
            for row in rows:
                name, found = row["id"], (row["key"], row["count"], row["total"])
                seen.append(name)
                if found != answers.get(name):
                    self.note(f"{name} was answered {found}, and deserves {answers.get(name)}")
                before = last.get(home.get(name), 0)
                if self.once and found[1] != before + 1:
                    self.note(f"the answers of {found[0]} go from {before} to {found[1]}")
                last[home.get(name)] = found[1]
        self.each_once("answered", seen, answers)
        self.refused_once()
        if self.once:
            self._admitted_once()

    def _admitted_once(self) -> None:
        """What is written at admission names each event once."""
        for partition, rows in enumerate(self.rows("notes")):
            spans = sorted((row["first"], row["last"]) for row in rows)
            for before, after in pairwise(spans):
                if after[0] <= before[1]:
                    self.note(f"admitted twice: {before} and {after} of partition {partition}")
            for (_, number, offset), event in self.events.items():
                inside = any(first <= offset <= last for first, last in spans)
                if number == partition and not inside and not self.lossy:
                    self.note(f"{event.name} was never admitted")
