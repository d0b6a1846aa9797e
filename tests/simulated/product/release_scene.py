"""Releases: control events and plans, each of which becomes one entry of the ledger, and what is decided on them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from random import Random
from typing import Any

from confluent_kafka import KafkaException

from headrace.columnar import packing
from headrace.domain.control.drift import DriftClosed
from headrace.domain.control.events import ControlEvent
from headrace.domain.control.release import ApprovalGiven, HoldAsked, PromotionAsked, ReleaseRequest, RollbackAsked
from headrace.domain.ledger.entry import LedgerEntry, digest_of, read_entry
from headrace.domain.ledger.sources import COMPACTED, CONTROL, PLANS, SOURCES, record_of
from headrace.domain.ledger.verification import SourceRecord, broken_links, gaps
from headrace.domain.pipeline.release.spec import Release
from headrace.domain.plans.plans import CANARY, CHAMPION, Arm, Plan
from headrace.domain.records.release_parts import OUTCOMES, PARTS
from headrace.domain.release.evidence.evidence_fold import EvidenceFold, EvidenceQuestion
from headrace.domain.release.margin import Margin
from headrace.streaming.records.batch import Batch
from headrace.streaming.watermarks.source_marks import SourceMarks
from services.release.app import build
from services.release.decision_fold import DecisionFold, PartRecord, part_record
from services.release.machine_inputs import plan_in
from services.release.service import Releases
from services.release.settings import ReleaseSettings
from tests.simulated.broker import Broker
from tests.simulated.groups import Part
from tests.simulated.plan import Plan as Schedule
from tests.simulated.product.contracts import contracts
from tests.simulated.product.crew import Crew
from tests.simulated.product.product_scene import MINUTE, SECOND, Fold, ProductScene, Said
from tests.simulated.scene import Row, named
from tests.simulated.transactions import Holder

MODELS, BURST = 2, 10
APART, DAY = 3 * MINUTE, 60 * MINUTE
"""Of bursts: events are so far apart, and days of them."""
OUTCOME: dict[str, Any] = {
    "entity": "c", "arm": "challenger", "plan_version": 1, "decision": False, "event": {"weight": 1.0},
    "customer": {f"{what}_{window}": 1 for what in ("sent", "kilos", "most") for window in ("1m", "10m")},
    "revision": 0, "state": "labelled", "label_delay": 0, "label_source": "bank", "former_state": None,
    "former_label": None, "reports": 1, "conflicting": False,
}  # fmt: skip  # one line for what belongs together
"""What all outcomes share."""
UNREADABLE = b"nobody can read this"
WRITER = f"{named(PLANS)}.writer"
"""What whoever writes plans holds meanwhile, see `domain.plans.plan_log`."""


class ReleaseScene(ProductScene):
    """Models that are registered, judged, approved and promoted by people, who change plans by hand at the same time.

    A person who changes the plan looks at the newest one and writes the next, some after others have gone on meanwhile.
    With `bursts`, outcomes of a day come at once over all partitions, and those of the next day when all was calm.
    """

    service = "release"
    inputs = Releases.inputs
    outputs = ("ledger",)
    beside = ("exchange",)
    waits_by_the_clock = True
    counts = {CONTROL: 1, PLANS: 1, PARTS: 1, "ledger": 1}  # noqa: RUF012 - nobody changes it

    def __init__(self, plan: Schedule) -> None:
        super().__init__(plan)
        self.crew = Crew(build, ReleaseSettings)
        self._bursts = "bursts" in plan.variants
        self._asked_at, self._proven = -1, False
        self._writes: tuple[Holder, Said] | None = None
        self._people = 0

    def open(self, broker: Broker) -> None:
        super().open(broker)
        self._began = int(broker.wall * 1000)
        self._folds = {logical: StateFold(self, self.undisturbed(), logical) for logical in (OUTCOMES, PARTS)}

    # ---- what is published ---------------------------------------------------------------------------------------

    def resting(self) -> bool:
        """With bursts, the next one comes when all was calm."""
        return self._bursts and bool(self.events) and not self._all_proven()

    def _all_proven(self) -> bool:
        """Whether all partitions of outcomes were at their ends for long enough: then all of them is evidence."""
        (log,) = self.broker.topics[named(PARTS)]
        if log.stable != self._asked_at:
            marks = SourceMarks()
            marks.grow(self.count(OUTCOMES))
            for row in (row for rows in self.rows(PARTS) for row in rows if row["source"] == OUTCOMES):
                marks.take(*(row[name] for name in ("source_partition", "next_offset", "progress", "idle", "seen")))
            self._asked_at, self._proven = log.stable, not marks.behind and marks.bound() is not None
        return self._proven

    def publish(self, draw: Random, number: int) -> Sequence[tuple[Part, Said]]:
        self._finish_plan()
        if number == 0 or draw.random() < 0.25:
            self._begin_plan(draw)
            if number == 0 or draw.random() < 0.5:
                self._finish_plan()
        if draw.random() < 0.06:
            return [((named(CONTROL), 0), Said("p", {}, UNREADABLE, good=False))]
        told = [self._event(draw, f"e{number}.{at}") for at in range(draw.choice((1, 2, 4)))]
        events = [((named(CONTROL), 0), self.record(CONTROL, "p", row)) for row in told]
        return [*events, *(self._outcomes(draw, number) if self._bursts or draw.random() < 0.25 else ())]

    def _outcomes(self, draw: Random, number: int) -> Iterator[tuple[Part, Said]]:
        """Events that all models scored, mature when they are told; all but the first miss every positive."""
        for at in range(BURST):
            day, apart = (DAY, APART) if self._bursts else (MINUTE, SECOND)
            name, time = f"o{number}.{at}", self._began + number * day + at * apart
            where, label = draw.randrange(self.count(OUTCOMES)), float(at % 2)
            for model in range(1, 2 + MODELS):
                row = OUTCOME | {
                    "prediction_id": f"{name}/{model}", "event_id": name, "event_time": time, "ingest_time": time,
                    "predicted_time": time, "model": {"name": "m", "version": str(model), "digest": _digest(model)},
                    "score": 0.9 * label if model == 1 else 0.1, "label": label, "label_time": time, "as_of": time,
                    "mature_before": time - MINUTE,
                }  # fmt: skip  # one line for what belongs together
                yield (named(OUTCOMES), where), self.record(OUTCOMES, name, row)

    def _event(self, draw: Random, name: str) -> dict[str, Any]:
        """An event about one of a few models, in no particular order."""
        model = draw.randint(2, 1 + MODELS)
        kind = draw.choice(("registered", "registered", "evaluated", "evaluated", "asked", "asked", "asked", "other"))
        about = {"model": f"m@{model}", "digest": _digest(model)}
        if kind == "registered":
            return _row(name, "model_registered", about | {"uri": f"m/{model}", "run": "r1"}, "retrain")
        if kind == "evaluated":
            return _row(
                name, "model_evaluated", about | {"verdict": draw.choice(("passed", "passed", "passed", "failed"))}, "r"
            )
        if kind == "other":
            return ControlEvent(name, "p", 5, "drift", DriftClosed(model=about["model"], because="as before")).row()
        asked: type[ReleaseRequest] = draw.choice(
            (ApprovalGiven, ApprovalGiven, PromotionAsked, RollbackAsked, HoldAsked)
        )
        finding = asked(**about, reason="why not")
        if isinstance(finding, PromotionAsked) and draw.random() < 0.5:
            finding = replace(finding, to="champion")
        return ControlEvent(name, "p", 5, draw.choice(("ann", "ben")), finding).row()

    def _begin_plan(self, draw: Random) -> None:
        """A person takes the name of those who write plans, and looks at the newest one."""
        holder = self.broker.transactions.take_over(WRITER, 60.0, self.broker.now)
        if holder is None:
            return
        rows = [row for row in self._plans() if plan_in(row) is not None]
        newest = max((plan for row in rows if (plan := plan_in(row))), key=lambda plan: plan.version, default=None)
        self._people += 1
        salt, pipeline = f"of ann {self._people}", contracts(self.pipeline).pipeline.name
        if newest is None or draw.random() < 0.3:
            arms: tuple[Arm, ...] = (_arm(CHAMPION, draw.randint(1, 1 + MODELS)),)
        else:  # Another arm goes, or nothing but who meets a canary changes.
            arms = tuple(arm for arm in newest.arms if arm.arm != CANARY or draw.random() < 0.5)
        version = max((row["plan_version"] for row in self._plans()), default=0) + 1
        said = self.record(PLANS, "p", Plan(pipeline, version, arms, salt).fact(7, "ann", "better"))
        self._writes = holder, Said("p", {}, UNREADABLE, good=False) if draw.random() < 0.05 else said

    def _finish_plan(self) -> None:
        """They write the next one, unless somebody has taken that name since."""
        if self._writes is None:
            return
        (holder, said), self._writes = self._writes, None
        try:
            offset = self.broker.append((named(PLANS), 0), b"p", said.value, (), 0, holder)
            self.broker.transactions.end(holder, True)
        except KafkaException:
            return
        self.events[named(PLANS), 0, offset] = said

    def _plans(self) -> list[Row]:
        """The plans that can be read."""
        (log,) = self.broker.topics[named(PLANS)]
        values = [entry.value for _, entry in log.history() if entry.value not in (None, UNREADABLE)]
        return [*self.read(PLANS, [value for value in values if value is not None])]

    # ---- what must come of it ------------------------------------------------------------------------------------

    def state(self, part: Part, snapshot: bytes) -> Any:
        if part[0] != named(PARTS):
            return json.loads(snapshot)
        return {name: column.tobytes() for name, column in packing.unpack(snapshot).items()}

    def fold(self, part: Part, below: int) -> Any:
        fold = self._folds[part[0].partition(".")[2]]
        return self.state(part, fold.snapshot(part[1], below))

    def done(self) -> bool:
        # What a transaction wrote may be readable only after its offsets are: parts that are still to be taken up.
        if not super().done() or self.broker.transactions.unsettled:
            return False
        return not self._bursts or self._all_proven()

    def judge(self) -> None:
        self.bad_refused_once()
        entries = [*enumerate(read_entry(row) for rows in self.rows("ledger") for row in rows)]
        told = [entry for _, entry in entries]
        for fault in broken_links(told[0].pipeline if told else "p", entries):
            self.note(f"the ledger is {fault.kind} at entry {fault.number}: {fault.what}")
        found = gaps(told, [record for source in SOURCES for record in self._records(source)], COMPACTED)
        for fault in found.faults:
            if fault.kind != "missing" or not self.lossy:
                self.note(f"the ledger is {fault.kind}: {fault.what}")
        if found.behind and not self.lossy:
            self.note(f"never entered: {[(each.source, each.offset) for each in found.behind]}")
        self._plans_follow_one_another()
        if not self.lossy:
            self._decided_once()
            self._as_one_process(told)
            if self._bursts and "clock" not in self.plan.rates:
                self._none_late()

    def _records(self, source: str) -> Iterator[SourceRecord]:
        """What the ledger has to have."""
        (log,) = self.broker.topics[named(source)]
        for offset, entry in log.history():
            if entry.value not in (None, UNREADABLE):
                (row,) = self.read(source, [entry.value or b""])
                content = record_of(source, 0, offset, _plain(row)).content
                yield SourceRecord(source, 0, offset, digest_of(content), json.dumps(content)[:80])

    def _plans_follow_one_another(self) -> None:
        """No two have one version, and none was made from another than the one before it."""
        versions = [row["plan_version"] for row in self._plans()]
        if versions != [*range(1, 1 + len(versions))]:
            self.note(f"plans have the versions {versions}")

    def _decided_once(self) -> None:
        """Each plan of the service's has its decision, and each decision that names one its plan."""
        plans = [row["plan_version"] for row in self._plans() if row["actor"] == "release"]
        rows = [row for rows in self._control() for row in rows if row["actor"] == "release"]
        named_by = [int(plan) for row in rows if (plan := dict(row["evidence"]).get("plan"))]
        self.as_often("planned by a decision", named_by, plans)
        names = [row["event_id"] for row in rows]
        if len(names) != len(set(names)):
            self.note(f"decisions that came twice: {sorted({name for name in names if names.count(name) > 1})}")

    def _control(self) -> Iterator[Sequence[Row]]:
        (log,) = self.broker.topics[named(CONTROL)]
        values = [entry.value or b"" for _, entry in log.history() if entry.value not in (None, UNREADABLE)]
        yield self.read(CONTROL, values)

    def _as_one_process(self, told: Sequence[LedgerEntry]) -> None:
        """Entries are those that one fold of the parts writes, which knows how each attempt ended."""
        records = self._parts()
        plans = [record for record in records if record.source == PLANS]
        spec = contracts(self.pipeline).pipeline
        fold, wanted = DecisionFold(spec.name, spec.release or Release()), list[LedgerEntry]()
        for record in records:
            for each in fold.take(record):
                after = next((plan for plan in plans if plan.offset > each.after), None)
                ours = [record_of(PLANS, 0, None, plan).digest for plan in each.plans]
                if not ours or (after is not None and after.record.digest == ours[0]):
                    wanted += each.entries
        if list(told) != wanted:
            self.note(f"{len(told)} entries, and one process writes {len(wanted)}, or others")

    def _parts(self) -> list[PartRecord]:
        (log,) = self.broker.topics[named(PARTS)]
        times = [entry.timestamp for _, entry in log.history()]
        (parts,) = self.rows(PARTS)
        return [part_record({**part, "time": time}) for part, time in zip(parts, times, strict=True)]

    def _outcome_parts(self) -> Iterator[PartRecord]:
        return (part for part in self._parts() if part.source == OUTCOMES)

    def _none_late(self) -> None:
        """What parts tell of outcomes that came at once has them in the order of time, whoever read them when."""
        fold, asked = EvidenceFold(), EvidenceQuestion(_digest(2), _digest(1), Margin(0.05))
        fold.begin("asked", asked)
        for part in self._outcome_parts():
            content, told = part.content, part.content["told"]
            mark = (content[name] for name in ("next_offset", "progress", "idle"))
            [*fold.take(part.partition, *mark, content["partitions"], told.digests, told.rows, content["seen"])]
        late = fold.standing("asked").late
        if late:
            self.note(f"{late} pairs of outcomes that came at once were late")


class StateFold(Fold):
    """What one process makes of the parts that there are."""

    def begin(self, partition: int) -> None:
        pass

    def take(self, partition: int, batch: Batch) -> None:
        self._service.replay(self._service.admit(batch, 0.0).batch)


def _row(name: str, kind: str, evidence: dict[str, str], actor: str) -> dict[str, Any]:
    return {
        "event_id": name, "pipeline": "p", "type": kind, "time": 5, "actor": actor, "cause": None,
        "evidence": [*evidence.items()],
    }  # fmt: skip  # one line for what belongs together


def _plain(row: Row) -> Row:
    return {**row, "evidence": dict(row["evidence"])} if "evidence" in row else row


def _digest(model: int) -> str:
    return f"sha256:{model:064}"


def _arm(arm: str, model: int) -> Arm:
    return Arm(arm, "m", str(model), _digest(model), f"m/{model}")
