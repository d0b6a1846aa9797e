"""Releases: control events and plans, each of which becomes one entry of the ledger."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

from headrace.columnar import packing
from headrace.domain.control.drift import DriftClosed
from headrace.domain.control.events import ControlEvent
from headrace.domain.ledger.entry import LedgerEntry, digest_of, read_entry
from headrace.domain.ledger.sources import COMPACTED, CONTROL, PLANS, SOURCES, record_of
from headrace.domain.ledger.verification import SourceRecord, broken_links, gaps
from headrace.domain.plans.plans import Arm, Plan
from headrace.domain.records.release_parts import PARTS
from headrace.streaming.records.batch import Batch
from headrace.streaming.task.service import Service
from services.release.app import build
from services.release.service import Releases
from services.release.settings import ReleaseSettings
from tests.simulated.broker import Broker
from tests.simulated.groups import Part
from tests.simulated.plan import Plan as Schedule
from tests.simulated.product.contracts import rows_of
from tests.simulated.product.crew import Crew
from tests.simulated.product.product_scene import Fold, ProductScene, Said
from tests.simulated.scene import named


class ReleaseScene(ProductScene):
    """Control events of services and people, and plans that people write; some records nobody can read."""

    service = "release"
    inputs = Releases.inputs
    outputs = ("ledger",)
    counts = {CONTROL: 1, PLANS: 1, PARTS: 1, "ledger": 1}  # noqa: RUF012 - nobody changes it

    def __init__(self, plan: Schedule) -> None:
        super().__init__(plan)
        self.crew = Crew(build, ReleaseSettings)

    def open(self, broker: Broker) -> None:
        super().open(broker)
        self._parts = LedgerFold(self, self.undisturbed(), PARTS)

    # ---- what is published ---------------------------------------------------------------------------------------

    def publish(self, draw: Random, number: int) -> Sequence[tuple[Part, Said]]:
        topic = PLANS if draw.random() < 0.3 else CONTROL
        row = self._plan(number) if topic == PLANS else self._event(number)
        if draw.random() < 0.05:
            return [((named(topic), 0), Said("p", row, b"nobody can read this", good=False))]
        return [((named(topic), 0), self.record(topic, "p", row))]

    def _event(self, number: int) -> dict[str, Any]:
        closed = DriftClosed(f"predictions/{number}", "predictions", number, None, "m@1", because="it is as before")
        return ControlEvent(f"e{number}", "p", number, "drift", closed).row()

    def _plan(self, number: int) -> dict[str, Any]:
        return Plan("p", number + 1, (Arm("champion", "m", "1", "sha256:00", "m/1"),)).fact(number, "ann", "better")

    # ---- what must come of it ------------------------------------------------------------------------------------

    def state(self, part: Part, snapshot: bytes) -> Any:
        return packing.json_of(packing.unpack(snapshot)["said"])

    def fold(self, part: Part, below: int) -> Any:
        return self.state(part, self._parts.snapshot(part[1], below))

    def judge(self) -> None:
        self.bad_refused_once()
        entries = list(self._entries())
        told = [entry for _, entry in entries]
        for fault in broken_links(told[0].pipeline if told else "p", entries):
            self.note(f"the ledger is {fault.kind} at entry {fault.number}: {fault.what}")
        found = gaps(told, list(self._records()), COMPACTED)
        for fault in found.faults:
            self.note(f"the ledger is {fault.kind}: {fault.what}")
        if found.behind and not self.lossy:
            self.note(f"never entered: {[(each.source, each.offset) for each in found.behind]}")
        self._parts.run_all()
        if not self.lossy and told != self._parts.entries:
            self.note(f"{len(told)} entries, and one process writes {len(self._parts.entries)}, or others")

    def _entries(self) -> Iterator[tuple[int, LedgerEntry]]:
        for rows in self.rows("ledger"):
            yield from enumerate(map(read_entry, rows))

    def _records(self) -> Iterator[SourceRecord]:
        for source in SOURCES:
            for (topic, partition, offset), event in sorted(self.events.items()):
                if topic == named(source) and event.good:
                    row = dict(event.row) | ({"evidence": dict(event.row["evidence"])} if source == CONTROL else {})
                    content = record_of(source, partition, offset, row).content
                    yield SourceRecord(source, partition, offset, digest_of(content), json.dumps(row)[:60])


class LedgerFold(Fold):
    """What one process makes of the parts that there are.

    Attributes:
        entries: that it writes.
    """

    def __init__(self, scene: ProductScene, service: Service, logical: str) -> None:
        super().__init__(scene, service, logical)
        self.entries: list[LedgerEntry] = []

    def begin(self, partition: int) -> None:
        self.entries = []

    def take(self, partition: int, batch: Batch) -> None:
        admitted = self._service.admit(batch, 0.0).batch
        for emit in self._service.process(admitted, 0.0).emits:
            self.entries += [read_entry(row) for row in rows_of(emit.columns)] if emit.topic == "ledger" else []
