"""The service `release`: the same ledger, whoever reads what, in whatever pieces."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from prometheus_client import CollectorRegistry

from headrace.domain.control.drift import DriftClosed
from headrace.domain.control.events import ControlEvent
from headrace.domain.ledger.entry import LedgerEntry, read_entry
from headrace.domain.ledger.sources import CONTROL, PLANS, record_of, rows_told
from headrace.domain.ledger.verification import broken_links
from headrace.domain.pipeline.release.spec import Release
from headrace.domain.plans.plans import Arm, Plan
from headrace.domain.records.release_parts import PARTS
from headrace.streaming.contracts.schemas import load_schema
from headrace.streaming.records.batch import Batch, Emit, slot
from headrace.streaming.watermarks.idleness import Quiet
from services.release.metrics import ReleaseMetrics
from services.release.service import Releases
from tests.members import ROOT
from tests.release.outcome_logs import Shape, logs

FILES = {CONTROL: "control_event", PLANS: "plan", PARTS: "release_part", "ledger": "ledger_entry"}
SCHEMAS = {name: load_schema(ROOT / f"schemas/{file}.avsc").arrow for name, file in FILES.items()}
HERE = slot(Releases.inputs.index(PARTS), 0)


def member() -> Releases:
    """A member without partitions."""
    made = Releases("p", Release(), True, SCHEMAS, 10.0, ReleaseMetrics(CollectorRegistry()))
    made.start({"outcomes": 2, "exchange": 2})
    return made


def event(number: int) -> dict[str, Any]:
    """A control event."""
    closed = DriftClosed(f"predictions/{number}", "predictions", 5, None, "m@1", because="it is as before")
    return ControlEvent(f"e{number}", "p", 1_000 * number, "drift", closed).row()


def plan(version: int) -> dict[str, Any]:
    """A plan that somebody wrote."""
    return Plan("p", version, (Arm("champion", "m", str(version), "sha256:00", "m/1"),)).fact(version, "ann", "better")


def batch(topic: str, rows: list[Mapping[str, Any]], first: int) -> Batch:
    """Records of a topic with one partition, from an offset on."""
    columns = pa.RecordBatch.from_pylist(rows, schema=SCHEMAS[topic])
    count = len(rows)
    here = np.full(count, slot(Releases.inputs.index(topic), 0), np.int32)
    return Batch(
        topic, columns, pa.nulls(count, pa.binary()), here, first + np.arange(count), np.zeros(count, np.int64)
    )


def told(emits: tuple[Emit, ...], topic: str) -> list[pa.RecordBatch]:
    """What was written to a topic."""
    return [emit.columns for emit in emits if emit.topic == topic]


def ledger_of(parts: Batch, seed: int) -> list[LedgerEntry]:
    """What members make of parts: they take them in pieces, one after the other, some from a snapshot of before."""
    draw, at, found = Random(seed), 0, list[LedgerEntry]()
    service, kept = member(), (0, None)
    service.restore(HERE, None)
    while at < len(parts):
        upto = at + draw.randint(1, 4)
        emits = service.process(parts.slice(slice(at, upto)), 0.0).emits
        found += [read_entry(row) for columns in told(emits, "ledger") for row in rows_told(columns)]
        at = min(upto, len(parts))
        if draw.random() < 0.3:
            kept = (at, service.snapshot(HERE))
        if draw.random() < 0.3:
            service.drop(HERE)
            service = member()
            service.restore(HERE, kept[1])
            service.replay(parts.slice(slice(kept[0], at)))
    return found


def test_partitions_of_outcomes_at_their_ends_are_told_again_and_again() -> None:
    """With when they were seen there; it makes nobody busy; while outcomes wait, something is left to do."""
    service, made, rows = member(), logs(Shape(1, sources=2)), list[dict[str, Any]]()
    for partition in (HERE, 0, 1):
        service.restore(partition, None)
    for source in (0, 1):
        count = len(made.rows[source])
        (part,) = told(service.process(made.batch(source, 0, count), 100.0).emits, PARTS)
        rows += part.to_pylist()
        assert not service.process(batch(PARTS, rows[-1:], len(rows) - 1), 100.0).housekeeping
    left = []
    for now in range(100, 140):
        output = service.tick(float(now), {number: Quiet(100.0, now - 0.25) for number in (0, 1)})
        left.append(output.unfinished)
        for part in told(output.emits, PARTS):
            rows += part.to_pylist()
            assert service.process(batch(PARTS, rows[-1:], len(rows) - 1), float(now)).housekeeping
    notices = [(row["source_partition"], row["seen"].timestamp()) for row in rows if row["idle"]]
    assert notices == [(number, at + 0.75) for at in range(110, 140, 5) for number in (0, 1)]
    assert left == [now <= 116 for now in range(100, 140)]


@pytest.fixture
def parts() -> Batch:
    """Events and plans in one order, as stage one has put them."""
    service, rows = member(), list[dict[str, Any]]()
    for number in range(12):
        topic, row = (PLANS, plan(number + 1)) if number % 4 == 1 else (CONTROL, event(number))
        for columns in told(service.process(batch(topic, [row], 10 * number), 0.0).emits, PARTS):
            rows += columns.to_pylist()
    return batch(PARTS, rows, 0)


@pytest.mark.parametrize("seed", range(20))
def test_the_ledger_does_not_depend_on_who_wrote_it(parts: Batch, seed: int) -> None:
    """Pieces, snapshots and replays do not show in it, and each record has its entry once."""
    found = ledger_of(parts, seed)
    assert found == ledger_of(parts, seed + 100)
    assert list(broken_links("p", enumerate(found))) == []
    assert [(entry.source, entry.source_offset) for entry in found] == [
        (PLANS if number % 4 == 1 else CONTROL, 10 * number) for number in range(12)
    ]


def test_an_entry_says_what_its_record_said(parts: Batch) -> None:
    """Read back from its topic it has the same digest, so that `headrace ledger verify` can tell."""
    for entry in ledger_of(parts, 0):
        number = (entry.source_offset or 0) // 10
        row = plan(number + 1) if entry.source == PLANS else event(number)
        (again,) = rows_told(batch(entry.source, [row], 0).columns)
        assert record_of(entry.source, 0, entry.source_offset, again).content == entry.content
        assert entry.actor == row["actor"]
        assert entry.time == row["time"]


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"source": "labels"}, "it tells of labels"),
        ({"payload": b"{"}, "no record"),
        ({"payload": b"[]"}, "JSON without names"),
        ({"payload": b"{}"}, "has no 'type'"),
    ],
)
def test_parts_of_strangers_are_refused(parts: Batch, changed: dict[str, Any], why: str) -> None:
    """Each becomes a dead letter, and the others are taken."""
    rows = parts.columns.to_pylist()[:3]
    rows[1] = rows[0] | changed
    service = member()
    service.restore(HERE, None)
    admitted = service.admit(batch(PARTS, rows, 0), 0.0)
    (reject,) = admitted.rejects
    assert why in reject.detail
    assert (reject.offset, len(admitted.batch)) == (1, 2)
