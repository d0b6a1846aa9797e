"""Predictions and outcomes in, scorecards out: sums of each partition, then cards of sums, on a topic of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa

from headrace.columnar.partitioner import partitions_of
from headrace.domain.pipeline.spec import Pipeline
from headrace.domain.scorecards.card import Card, whole
from headrace.domain.scorecards.card_builder import Maker
from headrace.domain.scorecards.global_aggregate import CARDS, OUTCOMES, PARTS, Assembly
from headrace.domain.scorecards.segments import WHOLE
from headrace.domain.scorecards.tumbling_windows import SAMPLED, Identity, TumblingWindows
from headrace.streaming.records.batch import Admission, Batch, Emit, Output, unslot
from headrace.streaming.task.service import Service
from headrace.streaming.watermarks.idleness import Quiet
from services.scorecards.metrics import ScorecardsMetrics
from services.scorecards.record_checks import sound

SHARE = 0.25
"""Of the time may go into publishing while there is more to read: what takes long is published less often."""
SLICE_S = 0.5
"""No longer at a time: the rest of the cards waits for the next."""


class Scorecards(Service):
    """The service `scorecards` for one pipeline.

    Stage one folds predictions, shadow predictions and outcomes, each partition by itself, into sums by window, model,
    arm and group, and writes them to the parts. Stage two folds parts, which are keyed by model and arm, into cards. A
    part or a card that is written again replaces the one before, so any number of members may share the work, and a
    repeat after a crash changes nothing.

    Parameters:
        pipeline: its windows, segments, value matrix.
        measure: encoded bytes of each row of predictions, int64.
        parts, cards: schemas of the topics written.
        cap: most distinct scores of a tally.
        publish_s: seconds between two publications.
        figures: metrics.
        clock: seconds, monotonic; measures what publishing costs.
    """

    inputs = ("predictions", "shadow-predictions", OUTCOMES, PARTS)
    answers = ("scorecards",)
    counted = (OUTCOMES, PARTS)  # Of outcomes' entities, days are remembered where their next outcome comes.

    def __init__(
        self,
        pipeline: Pipeline,
        measure: Callable[[pa.RecordBatch], np.ndarray[Any, Any]],
        parts: pa.Schema,
        cards: pa.Schema,
        cap: int,
        publish_s: float,
        figures: ScorecardsMetrics,
        clock: Callable[[], float],
    ) -> None:
        self._pipeline = pipeline
        self._measure = measure
        self._schemas = {PARTS: parts, CARDS: cards}
        self._cap = cap
        self._publish_s = publish_s
        self._figures = figures
        self._clock = clock
        self._maker = Maker(pipeline, cap)
        self._told: dict[Identity, int] = {}
        self._windows: dict[int, TumblingWindows] = {}
        self._assemblies: dict[int, Assembly] = {}
        self._partitions: Mapping[str, int] = {}
        self._due = {PARTS: 0.0, CARDS: 0.0}

    def start(self, partitions: Mapping[str, int]) -> None:
        """See `Service`."""
        self._partitions = partitions

    # ---- rows come in --------------------------------------------------------------------------------------------

    def admit(self, batch: Batch, now: float) -> Admission:
        """Refuse what cannot be counted: it would be in no figure, or stop them all."""
        good, rejects = sound(batch, PARTS)
        return Admission(good, rejects=rejects)

    def process(self, batch: Batch, now: float) -> Output:
        """Fold; what follows from it is published by `tick`."""
        self._fold(batch)
        return Output()

    def replay(self, batch: Batch) -> None:
        """Fold."""
        self._fold(batch)

    def _fold(self, batch: Batch) -> None:
        for partition, rows in batch.runs():
            part = batch.slice(rows)
            if batch.topic == PARTS:
                self._figures.late.inc(self._assemblies[partition].fold(part.columns))
                continue
            sampled = part.offset % SAMPLED == 0
            sizes = np.zeros(int(sampled.sum()), np.int64)
            if batch.topic != OUTCOMES and len(sizes):
                sizes = self._measure(part.columns.filter(pa.array(sampled)))
            self._windows[partition].fold(part.columns, part.offset, sizes)

    # ---- sums and cards go out -----------------------------------------------------------------------------------

    def tick(self, now: float, at_end: Mapping[int, Quiet]) -> Output:
        """Publish what changed, every `publish_s`, or less often when that takes long."""
        emits = []
        for topic, publish in ((PARTS, self._parts), (CARDS, self._cards)):
            if now >= self._due[topic]:
                began = self._clock()
                emit = publish(now)
                took = self._clock() - began
                self._due[topic] = now + max(self._publish_s if took < SLICE_S else 0.0, took / SHARE)
                emits += [] if emit is None else [emit]
        self._figures.windows.labels("sums").set(sum(map(len, self._windows.values())))
        return Output(tuple(emits), unfinished=self._unfinished())

    def _unfinished(self) -> bool:
        """Whether sums changed that are in no part yet, or parts that are in no card."""
        changed = any(windows.changed() for windows in self._windows.values())
        return changed or any(assembly.changed() for assembly in self._assemblies.values())

    def _parts(self, now: float) -> Emit | None:
        rows, keys, sources, who = [], [], [], []
        for number, windows in self._windows.items():
            place, partition = unslot(number)
            for at, payload in windows.published():
                source = self.inputs[place]
                rows.append(
                    {
                        "window_start": at.window,
                        "window_end": at.window + self._pipeline.scorecards.window,
                        "model": _model(at.who),
                        "arm": at.who.arm,
                        "source": source,
                        "source_partition": partition,
                        "generation": at.generation,
                        "next_offset": windows.next_offset,
                        "payload": payload,
                    }
                )
                keys.append(f"{at.who.text}/{at.window}/{source}/{partition}/{at.generation}")
                sources.append(number)
                who.append(at.who.text)
        if not rows:
            return None
        self._figures.parts.inc(len(rows))
        columns = pa.RecordBatch.from_pylist(rows, schema=self._schemas[PARTS])
        # By model and arm alone: estimates of a window rest on the model's other windows.
        target = partitions_of(pa.array(who), self._partitions[PARTS]).astype(np.int32)
        return Emit(PARTS, columns, pa.array(keys), np.array(sources, np.int32), target)

    def _cards(self, now: float) -> Emit | None:
        rows, keys, sources = [], [], []
        began = self._clock()
        for number, assembly in self._assemblies.items():
            for who, start, made in self._maker.cards(assembly):
                newest = assembly.newest(who)
                if newest is None or start <= newest:  # what lies beyond is dated ahead, and would stay the newest
                    self._tell(who, start, made[WHOLE])
                self._figures.withheld.inc(not whole(made[WHOLE].tally))
                for (segment, group), each in made.items():
                    rows.append(self._row(who, start, segment, group, each, now))
                    keys.append(f"{who.text}/{start}/{segment}/{group}")
                    sources.append(number)
                if self._clock() - began > SLICE_S:
                    break
        if not rows:
            return None
        self._figures.cards.inc(len(rows))
        columns = pa.RecordBatch.from_pylist(rows, schema=self._schemas[CARDS])
        return Emit(CARDS, columns, pa.array(keys), np.array(sources, np.int32))

    def _row(self, who: Identity, start: int, segment: str, group: str, each: Card, now: float) -> dict[str, Any]:
        tally = each.tally
        tables = (tally.predicted, tally.known)
        return {
            "pipeline": self._pipeline.name,
            "window_start": start,
            "window_end": start + self._pipeline.scorecards.window,
            "model": _model(who),
            "arm": who.arm,
            "segment": segment,
            "group": group,
            "time": int(now * 1000),
            "predictions": tally["predictions"],
            "outcomes": tally["outcomes"],
            "labelled": tally["labelled"],
            "presumed": tally["presumed"],
            "repeats": tally["repeats"],
            "mature": each.mature,
            "exact": all(table.exact for table in tables),
            "relative_error": max(table.relative_error for table in tables),
            "figures": [asdict(figure) for figure in each.figures.values()],
        }

    def _tell(self, who: Identity, start: int, whole: Card) -> None:
        """The newest mature card's figures, to Prometheus."""
        if whole.mature and start >= self._told.get(who, start):
            self._told[who] = start
            for name, figure in whole.figures.items():
                if figure.value is not None:
                    self._figures.value.labels(who.name, who.version, who.arm, name).set(figure.value)

    # ---- state comes and goes ------------------------------------------------------------------------------------

    def restore(self, partition: int, snapshot: bytes | None, end: int | None = None) -> None:
        """See `Service`."""
        place, _ = unslot(partition)
        state: TumblingWindows | Assembly
        rules = self._pipeline.scorecards
        if self.inputs[place] == PARTS:
            state = self._assemblies[partition] = Assembly(rules.keep, rules.window)
        else:
            state = self._windows[partition] = TumblingWindows(
                self._pipeline, self.inputs[place] == OUTCOMES, self._cap
            )
        if snapshot is not None:
            state.load(snapshot)

    def snapshot(self, partition: int) -> bytes:
        """See `Service`."""
        state = self._assemblies.get(partition) or self._windows[partition]
        return state.snapshot()

    def drop(self, partition: int) -> None:
        """See `Service`."""
        self._assemblies.pop(partition, None)
        self._windows.pop(partition, None)


def _model(who: Identity) -> dict[str, str]:
    return {"name": who.name, "version": who.version, "digest": who.digest}
