"""The service `kpi`: what is told follows from one log, whoever goes on with it and whenever."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from prometheus_client import CollectorRegistry

from headrace.domain.control.events import read_event
from headrace.domain.control.kpi import KpiBreached, KpiFinding, KpiRecovered
from headrace.domain.kpi.parts import PARTS
from headrace.domain.pipeline.check import load
from headrace.domain.pipeline.workspace import Workspace
from headrace.domain.retrain.trigger import Trigger, trigger_of
from headrace.streaming.contracts.schemas import load_schema
from headrace.streaming.records.batch import Batch, Output, slot
from headrace.streaming.watermarks.idleness import Quiet
from services.kpi.metrics import KpiMetrics
from services.kpi.service import Kpis
from tests.members import ROOT

FILES = {
    "scorecards": "scorecard", "drift": "drift", "dead-letters": "dead_letter", PARTS: "kpi_part", "kpis": "kpi",
    "control": "control_event",
}  # fmt: skip  # a table
SCHEMAS = {name: load_schema(ROOT / f"schemas/{file}.avsc").arrow for name, file in FILES.items()}
SCHEMAS["predictions"] = pa.schema(
    [(name, pa.timestamp("ms", "UTC")) for name in ("event_time", "ingest_time", "predicted_time")]
)
COUNTS = dict.fromkeys(Kpis.inputs, 1)
HERE = slot(Kpis.inputs.index(PARTS), 0)
DAY = 86_400_000
CARDS = ROOT / "pipelines/card_fraud.yaml"
RULES = """
kpis:
  floor: {scorecard: recall, below: 0.5, for: 2 windows, severity: critical, retrain: true}
  small: {scorecard: recall, below: 0.5, segment: amount_band, group: "<10"}
  moved: {drift: evidence, above: 1}
  shifted: {drift: effect, column: amount, above: 0.1}
  worse: {drift: worse, stream: outcomes, above: 0.1}
  refused: {operational: dead_letters_share, above: 0.1}
  slow: {operational: latency_p99_ms, above: 100}
  lag: {operational: lag, service: score, above: 5}
"""


class SaidLags:
    """What a test says of lags."""

    def __init__(self) -> None:
        self.said: dict[str, Any] = {}

    def start(self) -> None:
        """Nothing has to be asked."""

    def lags(self, now: float) -> dict[str, Any]:
        """As the test has it."""
        return self.said


@dataclass
class World:
    """Topics, and one member of the service after another.

    Attributes:
        logs: by topic, (time of the record in ms, row).
        read: by topic, offsets that are committed.
        events: rows of the control topic that were committed.
        standing: the newest row of each rule.
    """

    pipeline: Any
    logs: dict[str, list[tuple[int, dict[str, Any]]]] = field(default_factory=lambda: {name: [] for name in FILES})
    read: dict[str, int] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    standing: dict[str, dict[str, Any]] = field(default_factory=dict)
    letters: list[str] = field(default_factory=list)
    now: float = 1_600_000_000.0
    lags: SaidLags = field(default_factory=SaidLags)
    kept: tuple[int, bytes] | None = None

    def __post_init__(self) -> None:
        self.logs["predictions"] = []
        self.begin()

    def begin(self) -> None:
        """Another member goes on from the checkpoint."""
        metrics = KpiMetrics(CollectorRegistry())
        self.service = Kpis(self.pipeline, self.lags, SCHEMAS, metrics)
        self.service.start(COUNTS)
        since, state = self.kept or (0, None)
        self.service.restore(HERE, state)
        if since < self.read.get(PARTS, 0):
            self.service.replay(self._batch(PARTS, since, self.read[PARTS]))

    def keep(self) -> None:
        """A checkpoint."""
        self.kept = self.read.get(PARTS, 0), self.service.snapshot(HERE)

    def _batch(self, topic: str, first: int, end: int) -> Batch:
        rows = self.logs[topic][first:end]
        columns = pa.RecordBatch.from_pylist([row for _, row in rows], schema=SCHEMAS[topic])
        here = np.full(len(rows), slot(Kpis.inputs.index(topic), 0), np.int32)
        times = np.array([time for time, _ in rows], np.int64)
        return Batch(topic, columns, pa.nulls(len(rows), pa.binary()), here, first + np.arange(len(rows)), times)

    def _commit(self, output: Output) -> None:
        for emit in output.emits:
            rows = [(int(self.now * 1000), row) for row in emit.columns.to_pylist()]
            if emit.topic == PARTS:
                self.logs[PARTS] += rows
            elif emit.topic == "control":
                self.events += [row for _, row in rows]
            else:
                self.standing |= {row["rule"]: row for _, row in rows}

    def turn(self, draw: Random | None = None, seconds: float = 5.0) -> None:
        """Read, cut anywhere, and tick; a member may die before anything is committed, and another goes on."""
        for topic in Kpis.inputs:
            while (first := self.read.get(topic, 0)) < len(self.logs[topic]):
                end = len(self.logs[topic]) if draw is None else draw.randint(first + 1, len(self.logs[topic]))
                admitted = self.service.admit(self._batch(topic, first, end), self.now)
                self.letters += [reject.detail for reject in admitted.rejects]
                output = self.service.process(admitted.batch, self.now)
                if draw is not None and draw.random() < 0.1:
                    self.begin()
                    continue
                self._commit(output)
                self.read[topic] = end
                if draw is not None and draw.random() < 0.3:
                    self.keep()
        output = self.service.tick(self.now, {slot(at, 0): Quiet(self.now - 1, self.now) for at in range(4)})
        if draw is not None and draw.random() < 0.2:
            self.begin()
        else:
            self._commit(output)
        self.now += seconds

    def turns(self, count: int, draw: Random | None = None) -> None:
        """So many of them."""
        for _ in range(count):
            self.turn(draw)

    def write(self, topic: str, *rows: dict[str, Any]) -> None:
        """Records of other services."""
        self.logs[topic] += [(int(self.now * 1000), row) for row in rows]

    def findings(self) -> list[KpiFinding]:
        """What was told, in order."""
        found = [read_event(row) for row in self.events]
        return [event.finding for event in found if event is not None and isinstance(event.finding, KpiFinding)]

    def told(self, rule: str) -> list[str]:
        """Kinds that were told of a rule."""
        return [finding.type for finding in self.findings() if finding.rule == rule]


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The cards' pipeline with rules of every kind."""
    file = tmp_path_factory.mktemp("kpi") / "cards.yaml"
    text = CARDS.read_text().replace("[drift, schedule]", "[drift, scorecard, schedule]")
    file.write_text(text + RULES)
    return load(file, Workspace.of(CARDS))


def card(day: int, recall: float | None, group: tuple[str, str] = ("", "")) -> dict[str, Any]:
    """A mature card of the champion."""
    figure = {"name": "recall", "value": recall, "low": None, "high": None, "note": "none", "basis": "outcomes"}
    return {
        "pipeline": "p", "window_start": day * DAY, "window_end": (day + 1) * DAY,
        "model": {"name": "m", "version": "1", "digest": "d"}, "arm": "champion", "segment": group[0],
        "group": group[1], "time": 0, "predictions": 100, "outcomes": 100, "labelled": 10, "presumed": 90,
        "repeats": 0, "mature": True, "exact": True, "relative_error": 0.0, "figures": [figure],
    }  # fmt: skip  # a record


def column(name: str, time: int, evidence: float, effect: float | None = None, loss: float | None = None) -> Any:
    """How a column stands; of outcomes where it has a loss."""
    harm = None
    if loss is not None:
        fields = {
            each.name: 0.0 if pa.types.is_floating(each.type) else 0 for each in SCHEMAS["drift"].field("harm").type
        }
        harm = {**fields, "incident": "", "kind": "", "unknown": [], "groups": [], "loss": loss, "reference": 0.1}
    return {
        "pipeline": "p", "stream": "predictions" if loss is None else "outcomes",
        "model": {"name": "m", "version": "1", "digest": "d"}, "column": name, "time": time, "reached": time,
        "events": 9, "evidence": evidence, "state": "watched", "learnt": None, "incident": None, "divergence": 0.1,
        "edges": [], "levels": [], "reference": [], "recent": [], "effect": effect, "harm": harm,
    }  # fmt: skip  # a record


def prediction(at: float, took_ms: int) -> dict[str, Any]:
    """A prediction that took so long."""
    time = int(at * 1000)
    return {"event_time": time - took_ms, "ingest_time": time - took_ms, "predicted_time": time}


def letter() -> dict[str, Any]:
    """A record that was refused."""
    return {
        "topic": "t", "partition": 0, "offset": 0, "timestamp": 0, "key": None, "value": None, "headers": [],
        "reason": "r", "detail": "", "service": "enrich", "group": "g", "code_version": "1", "time": 0,
    }  # fmt: skip  # a record


def story(world: World, draw: Random | None) -> None:
    """Figures of every kind go wrong, and well again."""
    world.lags.said = {"score": [0, 0.0]}
    small, other = ("amount_band", "<10"), ("amount_band", "10-50")
    world.write("scorecards", card(0, 0.9), card(0, 0.9, small), card(0, 0.1, other))
    world.write("drift", column("", 1_000, 0.2), column("amount", 1_000, 0.1, 0.01), column("", 1_000, 0.1, None, 0.1))
    world.turns(12, draw)
    for day, recall in enumerate([0.2, 0.2, 0.2], start=1):
        world.write("scorecards", card(day, recall), card(day, recall, small))
    world.write("drift", column("", 9_000, 1.5), column("amount", 9_000, 0.1, 0.5), column("", 9_000, 0.1, None, 0.3))
    world.lags.said = {"score": [9, 1.0]}
    for _ in range(12):
        world.write("predictions", *[prediction(world.now, 500)] * 8)
        world.write("dead-letters", letter(), letter())
        world.turn(draw)
    world.turns(6, draw)
    world.write("scorecards", card(4, 0.7), card(4, 0.7, small))
    world.write("drift", column("", 19_000, 0.5), column("amount", 19_000, 0, 0.05), column("", 19_000, 0, None, 0.1))
    world.lags.said = {"score": [1, 0.1]}
    for _ in range(30):
        world.write("predictions", *[prediction(world.now, 5)] * 50)
        world.turn(draw)
    world.turns(8, draw)


def test_each_breach_and_its_end_are_told_once(pipeline: Any) -> None:
    """Of every kind of figure; and how all rules stand is said."""
    world = World(pipeline)
    story(world, None)
    for rule in ("floor", "small", "moved", "shifted", "worse", "refused", "slow", "lag"):
        assert world.told(rule) == ["kpi_breached", "kpi_recovered"], rule
    assert {row["state"] for row in world.standing.values()} == {"ok"}
    floor = next(each for each in world.findings() if each.rule == "floor")
    assert isinstance(floor, KpiBreached)
    assert (floor.value, floor.since, floor.at, floor.model, floor.retrain) == ("0.2", DAY, 2 * DAY, "m@1", 1)
    ends = [row for row in world.events if row["type"] == KpiRecovered.type]
    assert {row["cause"] for row in ends} == {row["event_id"] for row in world.events} - {r["event_id"] for r in ends}


@pytest.mark.parametrize("seed", range(4))
def test_members_that_die_tell_nothing_twice_and_leave_nothing_out(pipeline: Any, seed: int) -> None:
    """Batches are cut anywhere, and what a member did is lost before it is committed now and then."""
    world = World(pipeline)
    story(world, Random(seed))
    for rule in ("floor", "small", "moved", "shifted", "worse", "refused", "slow", "lag"):
        assert world.told(rule) == ["kpi_breached", "kpi_recovered"], rule
    assert len({row["event_id"] for row in world.events}) == len(world.events)


def test_a_breach_asks_for_a_training_where_its_rule_says_so(pipeline: Any) -> None:
    """The trigger names the model and since when; other breaches ask for none."""
    world = World(pipeline)
    story(world, None)
    events = [event for row in world.events if (event := read_event(row)) is not None]
    (trigger,) = [found for event in events if (found := trigger_of(event)) is not None]
    assert isinstance(trigger, Trigger)
    assert (trigger.source, trigger.model, trigger.stream, trigger.since) == ("scorecard", "m@1", "predictions", DAY)
    assert "floor: recall of champion is 0.2" in trigger.reason


def test_a_part_that_nobody_of_ours_wrote_is_refused(pipeline: Any) -> None:
    """It becomes a dead letter, and the others go on."""
    world = World(pipeline)
    world.write(PARTS, {"kind": "clock", "source": "kpi", "payload": b"nonsense"})
    world.write(PARTS, {"kind": "card", "source": "kpi", "payload": b"{}"})
    world.write(PARTS, {"kind": "strange", "source": "kpi", "payload": b"{}"})
    world.turns(4)
    assert len(world.letters) == 3
    assert world.standing.keys() == set(pipeline.kpis)


def test_rules_of_another_file_take_the_place_of_those_of_the_state(pipeline: Any) -> None:
    """A member that starts with fewer rules ends what was told of those that are gone."""
    world = World(pipeline)
    world.lags.said = {"score": [9, 1.0]}
    world.turns(8)
    assert world.told("lag") == ["kpi_breached"]
    world.keep()
    world.pipeline = replace(pipeline, kpis={"moved": pipeline.kpis["moved"]})
    world.begin()
    world.turns(4)
    assert world.told("lag") == ["kpi_breached", "kpi_recovered"]
    assert "taken out" in world.findings()[-1].because
