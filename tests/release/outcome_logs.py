"""Made-up partitions of outcomes, as `labels` would write them, and what evidence they are, said slowly."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa

from headrace.columnar.hashes import codes_of
from headrace.columnar.partitioner import partitions_of
from headrace.domain.pipeline.check import load
from headrace.domain.pipeline.contracts import outcomes
from headrace.domain.release.evidence.pair_layout import STEPS
from headrace.domain.release.margin import Margin
from headrace.domain.release.paired_evidence import PairedEvidence
from headrace.streaming.contracts.schemas import load_schema
from headrace.streaming.records.batch import Batch
from headrace.streaming.watermarks.event_time import EARLIEST, NEVER
from tests.members import ROOT

SCHEMA = load_schema(outcomes(load(ROOT / "pipelines" / "card_fraud.yaml"))).arrow
FIELDS = ("event_id", "event_time", "model", "score", "label", "revision", "mature_before")
COLUMNS = pa.schema([SCHEMA.field(name) for name in FIELDS])
CHAMPION, CANDIDATE, APPROVED, OTHER = "champion", "candidate", "approved", "other"
MODELS = (CHAMPION, CANDIDATE, APPROVED, OTHER)
MATURES = 20
"""Milliseconds, as are all times here."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What a log is drawn with."""

    seed: int
    sources: int = 2
    joins: int = 2
    events: int = 40
    span: int = 100
    silence: bool = True
    classes: int = 0

    @property
    def names(self) -> list[str]:
        """Of classes, as fields."""
        return [f"k{place}" for place in range(self.classes)]


@dataclass
class Logs:
    """Partitions of outcomes: `rows` by source, in offset order."""

    shape: Shape
    rows: list[list[dict[str, Any]]] = field(default_factory=list)

    def batch(self, source: int, low: int, high: int) -> Batch:
        """Some records of a partition."""
        told = self.rows[source][low:high]
        rows = [{**row, "model": {"name": "m", "version": "1", "digest": row["model"]}} for row in told]
        schema = COLUMNS
        if self.shape.classes:
            kind = pa.struct([pa.field(name, pa.float64()) for name in self.shape.names])
            schema = schema.append(pa.field("scores", kind))
            rows = [{**row, "scores": dict(zip(self.shape.names, row["score"], strict=True))} for row in rows]
            rows = [{**row, "score": max(row["score"])} for row in rows]
        columns = pa.RecordBatch.from_pylist(rows, schema=schema)
        count = len(rows)
        here, nothing = np.full(count, source, np.int32), np.zeros(count, np.int64)
        return Batch("outcomes", columns, pa.nulls(count, pa.binary()), here, low + np.arange(count), nothing)


def join_of(event: str, joins: int) -> int:
    """The partition of the exchange that an event belongs to."""
    return int(partitions_of(pa.array([event]), joins)[0])


def logs(shape: Shape) -> Logs:
    """Events that two models and more answer; some labels come early, some never, some answers late, some twice; some
    outcomes are corrected. Joins tell in order, each at its own pace.
    """
    draw = Random(shape.seed)
    told: dict[tuple[int, int], list[dict[str, Any]]] = defaultdict(list)
    events = [
        (f"e{number}", draw.randrange(shape.span), draw.randrange(shape.sources)) for number in range(shape.events)
    ]
    waiting: list[tuple[int, int, int, dict[str, Any], int]] = []
    for event, time, source in events:
        label = float(draw.randrange(shape.classes) if shape.classes else draw.random() < 0.4)
        known = time + draw.randrange(MATURES) if label or not shape.silence or draw.random() < 0.2 else None
        if draw.random() < 0.1:
            known = None
        truth = label if known is not None else 0.0 if shape.silence else None
        for model in MODELS:
            if draw.random() < 0.1:
                continue
            came = time + (draw.randrange(3 * MATURES) if draw.random() < 0.15 else draw.randrange(3))
            row = {"event_id": event, "event_time": time, "model": model, "score": score(draw, shape), "label": truth}
            at = max(came, time + MATURES if known is None else min(known, time + MATURES))
            turn = 1 if known is None and came <= at == time + MATURES else 0
            waiting.append((at, turn, time, {**row, "revision": 0}, source))
            if draw.random() < 0.1:  # as canary and as challenger
                waiting.append((at, turn, time, {**row, "revision": 0}, source))
            if draw.random() < 0.1:
                later = at + draw.randrange(2 * MATURES)
                other = (label + 1) % shape.classes if shape.classes else 1.0 - label
                waiting.append((later, 0, time, {**row, "label": other, "revision": 1}, source))
            if draw.random() < 0.05:
                waiting.append((at, 0, time, {**row, "label": None, "revision": -1}, source))
    for at, turn, time, row, source in sorted(waiting, key=lambda each: each[:3]):
        before = time if turn else max(at - MATURES, EARLIEST)
        told[source, join_of(row["event_id"], shape.joins)].append({**row, "mature_before": before})
    found = Logs(shape)
    for source in range(shape.sources):
        several = [told[source, join] for join in range(shape.joins)]
        order = [join for join, rows in enumerate(several) for _ in rows]
        draw.shuffle(order)
        rows = [iter(each) for each in several]
        found.rows.append([next(rows[join]) for join in order])
    return found


def score(draw: Random, shape: Shape) -> Any:
    """A chance, or one of each class."""
    if not shape.classes:
        return draw.random()
    drawn = [draw.expovariate(1.0) for _ in range(shape.classes)]
    return [each / sum(drawn) for each in drawn]


@dataclass
class SlowPair:
    """A question, and what became of it."""

    candidate: str
    baseline: str
    evidence: PairedEvidence
    counts: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    steps: list[tuple[Any, ...]] = field(default_factory=list)
    most: list[float] = field(default_factory=lambda: [0.0, 0.0])

    def known(self, event: dict[str, Any]) -> None:
        """Its scores are known."""
        scores = event["scores"][self.candidate], event["scores"][self.baseline]
        self.steps.append(("known", *scores))
        self.evidence.foresee(*(np.array([score]) for score in scores))

    def take(self, event: dict[str, Any]) -> None:
        """Its event is mature."""
        if event["label"] is None:
            self.counts["unlabelled"] += 1
            return
        given = event["scores"][self.candidate], event["scores"][self.baseline], event["label"]
        self.steps.append(("taken", event["time"], *given))
        self.evidence.take(*(np.array([each]) for each in given))
        held = self.evidence.log_harm, self.evidence.log_safety
        self.most = [max(*each) for each in zip(self.most, held, strict=True)]


class SlowEvidence:
    """All rows at once, one after the other.

    Args:
        asked: by name, (candidate, baseline).
        every, patience, classes: as of the fold.
    """

    def __init__(
        self, asked: dict[str, tuple[str, str]], margin: Margin, every: int, patience: int, classes: int = 0
    ) -> None:
        self.pairs = {
            name: SlowPair(*models, PairedEvidence(margin, classes=classes)) for name, models in asked.items()
        }
        self.every, self.patience = every, patience
        self.events: dict[tuple[int, str], dict[str, Any]] = {}
        self.ring: list[tuple[int, str]] = []
        self.reached = NEVER
        self.boundary: int | None = None
        self.looks: list[tuple[Any, ...]] = []

    def fold(self, logs: Logs, begins: dict[int, int] | None = None) -> None:
        """All of the logs, then that they are at their ends."""
        ours = {model for pair in self.pairs.values() for model in (pair.candidate, pair.baseline)}
        rows: list[tuple[int, int, int, dict[str, Any]]] = []
        furthest = NEVER
        for source, told in enumerate(logs.rows):
            reached = [NEVER] * logs.shape.joins
            for offset, row in enumerate(told):
                if row["revision"] == 0 and row["model"] in ours:
                    rows.append((min(reached), source, offset, row))
                join = join_of(row["event_id"], logs.shape.joins)
                reached[join] = max(reached[join], row["mature_before"])
            furthest = max(furthest, *reached)
        for progress, source, offset, row in sorted(rows, key=lambda each: each[:3]):
            self.advance(progress)
            if self.boundary is None:
                self.boundary = (row["event_time"] // self.every + 1) * self.every
            self.insert(source, row, offset >= (begins or {}).get(source, 0))
        self.advance(furthest)

    def advance(self, time: int) -> None:
        """Stream time goes on."""
        if time <= self.reached:
            return
        while True:
            limit = time if self.boundary is None else min(time, self.boundary)
            due = [(event["time"], source, key) for (source, key), event in self.events.items() if not event["mature"]]
            ready = [each for each in due if each[0] < limit]
            if ready:
                at = min(each[0] for each in ready)
                group = sorted((source, code_of(key), key) for when, source, key in ready if when == at)
                for source, _, key in group:
                    event = self.events[source, key]
                    event["mature"] = True
                    self.ring.append((source, key))
                    for name, pair in self.pairs.items():
                        if self.whole(event, pair) and name not in event["taken"]:
                            event["taken"].add(name)
                            pair.take(event)
            elif self.boundary is not None and self.boundary <= time:
                self.expire(self.boundary)
                self.looks.append((self.boundary, *self.standings()))
                self.boundary += self.every
            else:
                break
        self.reached = time
        self.expire(time)

    def expire(self, time: int) -> None:
        """Give up mature events in the order in which they became so, until one happened later."""
        step = max(self.patience // STEPS, 1)
        limit = time // step * step - self.patience
        while self.ring and self.events[self.ring[0]]["time"] < limit:
            event = self.events.pop(self.ring.pop(0))
            for name, pair in self.pairs.items():
                here = pair.candidate in event["counted"], pair.baseline in event["counted"]
                if name not in event["taken"] and here[0] != here[1]:
                    pair.counts["alone" if here[0] else "baseline_alone"] += 1

    def whole(self, event: dict[str, Any], pair: SlowPair) -> bool:
        """Whether both models answered."""
        return {pair.candidate, pair.baseline} <= event["counted"]

    def insert(self, source: int, row: dict[str, Any], counts: bool) -> None:
        """A row comes."""
        time = row["event_time"]
        fresh = {"time": time, "label": row["label"], "scores": {}, "counted": set(), "taken": set()}
        place = source, row["event_id"]
        if place not in self.events:
            self.events[place] = {**fresh, "mature": time < self.reached}
            if time < self.reached:
                self.ring.append(place)
        event = self.events[place]
        if row["model"] in event["scores"]:
            return
        event["scores"][row["model"]] = row["score"]
        if not counts:
            return
        event["counted"].add(row["model"])
        for name, pair in self.pairs.items():
            if row["model"] in (pair.candidate, pair.baseline) and self.whole(event, pair):
                pair.known(event)
                if event["mature"]:
                    pair.counts["late"] += 1
                    event["taken"].add(name)
                    pair.take(event)

    def standings(self) -> list[tuple[Any, ...]]:
        """Of each question."""
        return [standing_of(name, pair) for name, pair in self.pairs.items()]


def standing_of(name: str, pair: SlowPair) -> tuple[Any, ...]:
    """As `test_evidence_fold.plain` says it."""
    evidence = pair.evidence
    counts = [pair.counts[each] for each in ("late", "unlabelled", "alone", "baseline_alone")]
    return (name, evidence.log_harm, evidence.log_safety, *pair.most, evidence.moments, evidence.known, *counts)


def code_of(event: str) -> int:
    """The hash by which events of one time are in order."""
    return int(codes_of(pa.array([event])).view(np.int64)[0])
