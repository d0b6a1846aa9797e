"""Cards, drift and records in, what is to be told of the rules of the pipeline file out.

Stage one writes what rules are judged by into one order, among it the clock, the rules themselves and how far services
are behind; stage two folds that (`headrace.domain.kpi.fold`). So what is told follows from the records of one partition
alone, whoever finds it again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from headrace.columnar import packing
from headrace.domain.control.events import emits_of
from headrace.domain.kpi.activity import LETTERS, PREDICTIONS
from headrace.domain.kpi.decisions import STATES, KpiDecision
from headrace.domain.kpi.fold import SCORECARDS, KpiFold
from headrace.domain.kpi.parts import CARD, CLOCK, DRIFT_ROW, PARTS, READ, RULES, content_of, record_part
from headrace.domain.pipeline.kpi.section import STEP
from headrace.domain.pipeline.kpi.spec import DRIFT, SCORECARD
from headrace.domain.pipeline.spec import Pipeline
from headrace.errors import ContractError
from headrace.streaming.records.batch import Admission, Batch, Emit, Output, Reject, slot, unslot
from headrace.streaming.task.service import Service
from headrace.streaming.watermarks.idleness import IdleNotices, Quiet
from services.kpi.events import KPIS, event_of, standing_row
from services.kpi.lag_gauge import LagSource
from services.kpi.metrics import KpiMetrics
from services.kpi.part_records import card_parts, drift_parts, end_part, read_part

CLOCK_S = STEP / 1000
"""Seconds between two looks at the clock, and between two signs of life of a partition at its end."""
CONTROL = "control"
FROM_US = "kpi"
"""The source of parts that are of no topic."""


class Kpis(Service):
    """The service `kpi` for one pipeline.

    Args:
        pipeline: its rules, windows and labels.
        lags: how far services are behind.
        schemas: of the topics written, by logical name.
        figures: metrics.
    """

    inputs = (SCORECARDS, "drift", LETTERS, PREDICTIONS, PARTS)
    stateful = (PARTS,)
    answers = (KPIS,)

    def __init__(
        self, pipeline: Pipeline, lags: LagSource, schemas: Mapping[str, pa.Schema], figures: KpiMetrics
    ) -> None:
        self._pipeline = pipeline
        self._lags = lags
        self._schemas = schemas
        self._figures = figures
        self._notices = IdleNotices(0.0, CLOCK_S)
        self._counts: Mapping[str, int] = {}
        self._fold: KpiFold | None = None
        self._clock_due = 0.0
        self._asked = False
        self._shown: Mapping[str, tuple[str, str]] = {}
        rules = pipeline.kpis.values()
        self._rules = [rule.plain() for rule in rules]
        self._groups = {(rule.segment, rule.group) for rule in rules if rule.source == SCORECARD and rule.segment}
        self._columns = {(rule.stream, rule.column) for rule in rules if rule.source == DRIFT and rule.column}

    @property
    def _here(self) -> int:
        """The partition of parts, as batches number it."""
        return slot(self.inputs.index(PARTS), 0)

    def start(self, partitions: Mapping[str, int]) -> None:
        """See `Service`."""
        self._counts = partitions
        self._lags.start()

    # ---- rows come in --------------------------------------------------------------------------------------------

    def admit(self, batch: Batch, now: float) -> Admission:
        """Refuse parts that nobody of ours wrote."""
        if batch.topic != PARTS:
            return Admission(batch)
        good, rejects = np.ones(len(batch), bool), []
        for at, part in enumerate(batch.columns.to_pylist()):
            try:
                content_of(part)
            except ContractError as error:
                good[at] = False
                rejects.append(Reject(int(batch.partition[at]), int(batch.offset[at]), "payload", str(error)))
        return Admission(batch.take(good), rejects=tuple(rejects))

    def process(self, batch: Batch, now: float) -> Output:
        """Put records into one order, or take up what is in it."""
        if batch.topic != PARTS:
            parts = (self._parts(batch.slice(rows), partition) for partition, rows in batch.runs())
            return Output(tuple(emit for emit in parts if emit is not None), housekeeping=True)
        decisions, judged = self._take(batch)
        for each in decisions:
            self._figures.decisions.labels(each.kind).inc()
        events = [event_of(self._pipeline.name, each).row() for each in decisions]
        emits = emits_of(events, self._schemas[CONTROL], self._here)
        return Output((*emits, *(self._standing() if judged else ())), housekeeping=not decisions)

    def replay(self, batch: Batch) -> None:
        """Fold without telling anything."""
        if batch.topic == PARTS:
            self._take(batch)

    def _take(self, batch: Batch) -> tuple[list[KpiDecision], bool]:
        """Take up parts in their order; what is to be told, and whether anything was judged."""
        assert self._fold is not None, "rows come after `restore`"
        told: list[KpiDecision] = []
        judged = False
        for part in batch.columns.to_pylist():
            kind, said = content_of(part)
            told += self._fold.take(kind, said)
            judged = judged or kind == CLOCK
        return told, judged

    def _parts(self, batch: Batch, partition: int) -> Emit | None:
        """Records of one partition, at their place among all others."""
        self._notices.forget(partition)
        if batch.topic == SCORECARDS:
            return self._written(CARD, batch.topic, card_parts(batch.columns, self._groups), partition)
        if batch.topic == "drift":
            return self._written(DRIFT_ROW, batch.topic, drift_parts(batch.columns, self._columns), partition)
        part = read_part(batch, unslot(partition)[1], self._pipeline.events.allowed_lateness)
        return self._written(READ, batch.topic, [part], partition)

    def _written(self, kind: str, source: str, said: Iterable[Mapping[str, Any]], partition: int) -> Emit | None:
        rows = [record_part(kind, source, each) for each in said]
        if not rows:
            return None
        columns = pa.RecordBatch.from_pylist(rows, schema=self._schemas[PARTS])
        keys = pa.array([f"{source}/{unslot(partition)[1]}"] * len(rows))
        return Emit(PARTS, columns, keys, np.full(len(rows), partition, np.int32), np.zeros(len(rows), np.int32))

    # ---- time goes on --------------------------------------------------------------------------------------------

    def tick(self, now: float, at_end: Mapping[int, Quiet]) -> Output:
        """Say which partitions are read to their end; who has the parts says the rules and the time."""
        emits = []
        awaited = {self.inputs.index(topic) for topic in (SCORECARDS, LETTERS, PREDICTIONS)}
        ours = {partition: quiet for partition, quiet in at_end.items() if unslot(partition)[0] in awaited}
        for partition in self._notices.due(ours):
            place, number = unslot(partition)
            topic = self.inputs[place]
            emits.append(self._written(READ, topic, [end_part(topic, number, ours[partition].until)], partition))
        if self._fold is not None and now >= self._clock_due:
            self._clock_due = now + CLOCK_S
            emits += self._clock(self._fold, now)
        return Output(tuple(emit for emit in emits if emit is not None), housekeeping=True)

    def _clock(self, fold: KpiFold, now: float) -> list[Emit | None]:
        time = int(now * 1000)
        topics = {topic: self._counts[topic] for topic in (SCORECARDS, LETTERS, PREDICTIONS)}
        clock = {"time": time, "topics": topics, "lags": dict(self._lags.lags(now))}
        emits = [self._written(CLOCK, FROM_US, [clock], self._here)]
        labels = self._pipeline.labels
        rules = {
            "time": time,
            "window": self._pipeline.scorecards.window,
            "matures_after": 0 if labels is None else labels.matures_after,
            "rules": self._rules,
        }
        if not self._asked and not fold.adopted(rules):
            self._asked = True
            emits.insert(0, self._written(RULES, FROM_US, [rules], self._here))
        return emits

    def _standing(self) -> tuple[Emit, ...]:
        """How all rules stand, as records and for Prometheus."""
        assert self._fold is not None
        rows = [standing_row(self._pipeline.name, state, self._fold.now) for state in self._fold.states.values()]
        self._show({state.rule.name: (state.rule.severity, state.state) for state in self._fold.states.values()})
        for state in self._fold.states.values():
            if state.reading.point is not None:
                self._figures.value.labels(state.rule.name).set(state.reading.point.value)
        if not rows:
            return ()
        columns = pa.RecordBatch.from_pylist(rows, schema=self._schemas[KPIS])
        return (Emit(KPIS, columns, columns["rule"], np.full(len(rows), self._here, np.int32)),)

    def _show(self, standing: Mapping[str, tuple[str, str]]) -> None:
        """Tell Prometheus how rules stand, where any stands otherwise: to set all takes longer than to judge them."""
        if standing == self._shown:
            return
        self._figures.state.clear()
        for rule, (severity, now) in standing.items():
            for name in STATES:
                self._figures.state.labels(rule, severity, name).set(now == name)
        self._shown = standing

    # ---- state comes and goes ------------------------------------------------------------------------------------

    def restore(self, partition: int, snapshot: bytes | None, end: int | None = None) -> None:
        """See `Service`."""
        self._fold, self._clock_due, self._asked = KpiFold(), 0.0, False
        if snapshot is not None:
            self._fold.restore(packing.json_of(packing.unpack(snapshot)["said"]))

    def snapshot(self, partition: int) -> bytes:
        """See `Service`."""
        assert self._fold is not None
        return packing.pack({"said": packing.json_column(self._fold.plain())})

    def drop(self, partition: int) -> None:
        """See `Service`."""
        self._notices.forget(partition)
        if partition == self._here:
            self._fold = None
            self._show({})
