"""Predictions and outcomes in, scorecards out: sums of each partition, then cards of sums, on a topic of its own."""

from __future__ import annotations

from collections.abc import Callable
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
from headrace.domain.scorecards.identity import Identity
from headrace.domain.scorecards.window_sums import Measure, OutcomeTallies, PredictionTallies, WindowSums, span
from headrace.streaming.records.batch import Admission, Batch, Emit
from services.scorecards.metrics import ScorecardsMetrics
from services.scorecards.record_checks import sound


class Scorecards(TwoStageService[Identity, WindowSums, Tallies]):
    """The service `scorecards` for one pipeline.

    Stage one folds predictions, shadow predictions and outcomes into sums by window, model, arm and group; stage two
    folds what is told of them, which is keyed by model and arm, into cards. A card that is written again replaces the
    one before.

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
        measure: Measure,
        parts: pa.Schema,
        cards: pa.Schema,
        cap: int,
        publish_s: float,
        figures: ScorecardsMetrics,
        clock: Callable[[], float],
    ) -> None:
        rules = pipeline.scorecards
        sources: dict[str, SourceRules[Identity, WindowSums, Tallies]] = {
            topic: SourceRules(PredictionTallies(pipeline, cap, measure), span(pipeline, topic))
            for topic in ("predictions", "shadow-predictions")
        }
        sources[OUTCOMES] = SourceRules(OutcomeTallies(pipeline, cap), span(pipeline, OUTCOMES))
        kind = GroupedTallies(cap, max(rules.precision_at))
        told: PartRules[Identity, Tallies] = PartRules(PARTS, parts, kind, rules.window, rules.keep)
        super().__init__(sources, told, publish_s, figures, clock)
        self._pipeline = pipeline
        self._schema = cards
        self._card_figures = figures
        self._maker = Maker(pipeline, cap)
        self._newest_told: dict[Identity, int] = {}

    def admit(self, batch: Batch, now: float) -> Admission:
        """Refuse what cannot be counted: it would be in no figure, or stop them all."""
        good, rejects = sound(batch, PARTS)
        return Admission(good, rejects=rejects)

    def followed(self, now: float) -> Emit | None:
        """Cards of all windows that changed."""
        rows, keys, sources = [], [], []
        began = self._clock()
        for number, aggregate in self.aggregates.items():
            for who, start, made in self._maker.cards(aggregate):
                newest = aggregate.newest(who)
                if newest is None or start <= newest:  # what lies beyond is dated ahead, and would stay the newest
                    self._tell(who, start, made[WHOLE])
                self._card_figures.withheld.inc(not whole(made[WHOLE].tally))
                for (segment, group), each in made.items():
                    rows.append(self._row(who, start, segment, group, each, now))
                    keys.append(f"{who.text}/{start}/{segment}/{group}")
                    sources.append(number)
                if self._clock() - began > SLICE_S:
                    break
        if not rows:
            return None
        self._card_figures.cards.inc(len(rows))
        columns = pa.RecordBatch.from_pylist(rows, schema=self._schema)
        return Emit(CARDS, columns, pa.array(keys), np.array(sources, np.int32))

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
