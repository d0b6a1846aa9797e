"""Predictions and outcomes in, scorecards out: sums of each partition, then cards of sums, on a topic of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa

from headrace.domain.aggregations.two_stage_service import SLICE_S, PartRules, SourceRules, TwoStageService
from headrace.domain.pipeline.segments import WHOLE
from headrace.domain.pipeline.spec import Pipeline
from headrace.domain.scorecards.card import Card, whole
from headrace.domain.scorecards.card_builder import Maker
from headrace.domain.scorecards.grouped_tallies import CARDS, OUTCOMES, PARTS, GroupedTallies, Tallies
from headrace.domain.scorecards.identity import Identity, identities
from headrace.domain.scorecards.shift_rows import FeatureBins, NoShift, PackagedRows
from headrace.domain.scorecards.window_sums import Measure, OutcomeTallies, PredictionTallies, WindowSums, span
from headrace.streaming.process.logs import logger
from headrace.streaming.records.batch import Admission, Batch, Emit, Output
from headrace.streaming.watermarks.idleness import Quiet
from services.scorecards.metrics import ScorecardsMetrics
from services.scorecards.record_checks import sound

log = logger("scorecards")
PREDICTED = ("predictions", "shadow-predictions")
OWED_SHARE = 0.1
"""Of the time may go into estimates under shifted inputs while there is more to read: cards are told without them."""


class Scorecards(TwoStageService[Identity, WindowSums, Tallies]):
    """The service `scorecards` for one pipeline.

    Stage one folds predictions, shadow predictions and outcomes into sums by window, model, arm and group; stage two
    folds what is told of them, which is keyed by model and arm, into cards. A card that is written again replaces the
    one before.

    Parameters:
        pipeline: its windows, segments, value matrix.
        measure: encoded bytes of each row of predictions, int64.
        packages: rows that models were not fitted on, and the bins by which predictions are sampled.
        parts, cards: schemas of the topics written.
        cap: most distinct scores of a tally.
        publish_s: seconds between two publications.
        figures: metrics.
        clock: seconds, monotonic; measures what publishing costs.
    """

    inputs = (*PREDICTED, OUTCOMES, PARTS)
    answers = ("scorecards",)
    counted = (OUTCOMES, PARTS)  # Of outcomes' entities, days are remembered where their next outcome comes.

    def __init__(
        self,
        pipeline: Pipeline,
        measure: Measure,
        packages: PackagedRows,
        parts: pa.Schema,
        cards: pa.Schema,
        cap: int,
        publish_s: float,
        figures: ScorecardsMetrics,
        clock: Callable[[], float],
    ) -> None:
        rules = pipeline.scorecards
        sources: dict[str, SourceRules[Identity, WindowSums, Tallies]] = {
            topic: SourceRules(PredictionTallies(pipeline, cap, measure, self._bins), span(pipeline, topic))
            for topic in PREDICTED
        }
        sources[OUTCOMES] = SourceRules(OutcomeTallies(pipeline, cap), span(pipeline, OUTCOMES))
        kind = GroupedTallies(cap, max(rules.precision_at))
        told: PartRules[Identity, Tallies] = PartRules(PARTS, parts, kind, rules.window, rules.keep)
        super().__init__(sources, told, publish_s, figures, clock)
        self._pipeline = pipeline
        self._schema = cards
        self._card_figures = figures
        self._packages = packages
        self._known_bins: dict[str, FeatureBins | None] = {}
        self._maker = Maker(pipeline, cap, packages.rows, packages.interval)
        self._newest_told: dict[Identity, int] = {}
        self._behind, self._owed_due = False, 0.0

    def admit(self, batch: Batch, now: float) -> Admission:
        """Refuse what cannot be counted: it would be in no figure, or stop them all."""
        good, rejects = sound(batch, PARTS, self._pipeline.model.classes)
        return Admission(good, rejects=rejects)

    def process(self, batch: Batch, now: float) -> Output:
        """Fold; what follows from it is published by `tick`.

        Raises Transient while the package of a model cannot be had, by whose bins its predictions are sampled.
        """
        if batch.topic in PREDICTED:  # before anything changes
            digests = batch.columns.column("model").field("digest").unique().to_pylist()
            if not self._known_bins.keys() >= set(digests):
                for who in identities(batch.columns)[1]:
                    self._bins_of(who, batch.columns.schema)
        return super().process(batch, now)

    def _bins(self, columns: pa.RecordBatch) -> FeatureBins | None:
        """By which bins predictions of one model are sampled; None: they are not."""
        digest = columns.column("model").field("digest")[0].as_py()
        if digest not in self._known_bins:  # a replay: a package that cannot be had ends the process
            self._bins_of(identities(columns)[1][0], columns.schema)
        return self._known_bins[digest]

    def _bins_of(self, who: Identity, schema: pa.Schema) -> None:
        if who.digest in self._known_bins:
            return
        found = self._packages.bins(who, schema) if self._pipeline.model.output == "probability" else None
        if isinstance(found, NoShift):
            log.warning("predictions are not sampled", model=f"{who.name}@{who.version}", reason=found.reason)
        self._known_bins[who.digest] = found if isinstance(found, FeatureBins) else None

    def tick(self, now: float, at_end: Mapping[int, Quiet]) -> Output:
        """See `TwoStageService`."""
        self._behind = not at_end.keys() >= {*self.windows, *self.aggregates}
        output = super().tick(now, at_end)
        told = any(emit.topic == CARDS for emit in output.emits)
        if told and not self._behind and any(aggregate.owes() for aggregate in self.aggregates.values()):
            self._rest_due = now  # nobody waits for the time
        return output

    def followed(self, now: float) -> Emit | None:
        """Cards of all windows that changed, then those of windows that lack what takes longer."""
        found: dict[str, tuple[dict[str, Any], int]] = {}  # what is owed takes the place of what was told before
        began = self._clock()
        for part in (self._maker.cards, self._maker.owed):
            if part == self._maker.owed and self._behind and now < self._owed_due:
                break
            reached = self._clock()
            for number, aggregate in self.aggregates.items():
                for who, start, made in part(aggregate):
                    newest = aggregate.newest(who)
                    if newest is None or start <= newest:  # what lies beyond is dated ahead, and would stay the newest
                        self._tell(who, start, made[WHOLE])
                    self._card_figures.withheld.inc(not whole(made[WHOLE].tally))
                    for (segment, group), each in made.items():
                        row = self._row(who, start, segment, group, each, now)
                        found[f"{who.text}/{start}/{segment}/{group}"] = row, number
                    if self._clock() - began > SLICE_S:
                        break
            if part == self._maker.owed:
                self._owed_due = now + (self._clock() - reached) / OWED_SHARE
            if self._clock() - began > SLICE_S:
                break
        if not found:
            return None
        self._card_figures.cards.inc(len(found))
        rows, sources = zip(*found.values(), strict=True)
        columns = pa.RecordBatch.from_pylist(list(rows), schema=self._schema)
        return Emit(CARDS, columns, pa.array(found), np.array(sources, np.int32))

    def _row(self, who: Identity, start: int, segment: str, group: str, each: Card, now: float) -> dict[str, Any]:
        tally = each.tally
        tables = (tally.predicted, tally.known)
        return {
            "pipeline": self._pipeline.name,
            "window_start": start,
            "window_end": start + self._pipeline.scorecards.window,
            "model": who.model,
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
        if whole.mature and start >= self._newest_told.get(who, start):
            self._newest_told[who] = start
            for name, figure in whole.figures.items():
                if figure.value is not None:
                    self._card_figures.value.labels(who.name, who.version, who.arm, name).set(figure.value)
