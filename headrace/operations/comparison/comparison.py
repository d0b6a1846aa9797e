"""Figures of two models side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from headrace.domain.pipeline.spec import Pipeline
from headrace.domain.quality.comparison.agreement import Agreement, disagreements, shift
from headrace.domain.quality.comparison.correlation import kendall, spearman
from headrace.domain.quality.comparison.influence_functions import linearised
from headrace.domain.quality.comparison.losses import paired_losses, unpaired_losses
from headrace.domain.quality.comparison.paired_tests import REPLICATES, Difference, delong, differences
from headrace.domain.quality.comparison.pairs import Pair
from headrace.domain.quality.comparison.unpaired_tests import Answered, unpaired
from headrace.domain.quality.statistics.proportions import difference as of_shares
from headrace.domain.scorecards.backfills import latency_of
from headrace.domain.scorecards.identity import Identity
from headrace.operations.comparison.pairing import Judged, Meeting
from headrace.operations.comparison.prediction_table import Flags, Ints, PredictionColumns
from headrace.operations.comparison.results import (
    BootstrapInterval,
    BootstrappedFigure,
    ComparedFigure,
    DecisionAgreement,
    DuelSide,
    GroupDuel,
    LatencyQuantiles,
    Median,
    ModelTime,
    OutcomeCounts,
    PairedQuality,
    RankDisagreement,
    RateDifference,
    ScoreAgreement,
    SeparateDecisions,
    UnpairedQuality,
)
from headrace.operations.comparison.verdict import verdict
from headrace.operations.scorecard_query.group_order import in_order
from headrace.operations.topics.tail import plain

DRAWN = 100_000_000
"""Rows that are drawn anew, in all, without anybody asking for it: some ten seconds."""


class Judge:
    """Compares two models.

    Parameters:
        pipeline: its model's output, value matrix, gates.
        replicates: of the bootstrap; None for 1,000 where that takes seconds, and influence functions else.
    """

    def __init__(self, pipeline: Pipeline, replicates: int | None) -> None:
        self._pipeline = pipeline
        self._worth = pipeline.value
        self._probability = pipeline.model.output == "probability"
        self._replicates = replicates

    def side(self, who: Identity, topic: str, own: PredictionColumns, once: Ints, rows: Ints) -> DuelSide:
        """What one model did by itself on some rows; `once`: each event that it scored."""
        latency, micros, waited = own.latency[rows], own.micros[rows], own.backfilled[rows]
        count = int(waited.sum())
        only, note = latency_of(count, len(rows))
        shown = latency if only else latency[~waited]
        return DuelSide(
            model=who.name,
            version=who.version,
            digest=who.digest,
            arm=who.arm,
            topic=topic,
            events=len(rows),
            repeats=len(own) - len(once),
            decision_rate=_mean(own.flagged[rows]),
            mean_score=_mean(own.scores[rows]),
            latency_ms=LatencyQuantiles(_quantile(shown, 50), _quantile(shown, 99)),
            latency_note=note,
            backfilled=count,
            backfill_latency_ms=Median(_quantile(latency[waited], 50)),
            compute_micros=ModelTime(_mean(micros), _quantile(micros, 50), _quantile(micros, 99)),
        )

    def alike(
        self, a: PredictionColumns, b: PredictionColumns, meeting: Meeting
    ) -> tuple[DecisionAgreement, ScoreAgreement] | None:
        """How alike they decide and score the same events; None where they scored none."""
        if not len(meeting.rows_a):
            return None
        agreed, share, kappa = self.agreed(a, b, meeting.rows_a, meeting.rows_b)
        pair = self._pair(a, b, meeting)
        moved = shift(pair)
        assert moved is not None, "there are rows"
        return (
            DecisionAgreement(agreed.both, agreed.only_a, agreed.only_b, agreed.neither, share, kappa),
            ScoreAgreement(moved.mean, moved.ks, moved.psi, spearman(pair), kendall(pair)),
        )

    def agreed(
        self, a: PredictionColumns, b: PredictionColumns, rows_a: Ints, rows_b: Ints
    ) -> tuple[Agreement, float | None, float | None]:
        """Decisions about some rows, the share that is alike, and kappa."""
        found = agreement_of(a.flagged[rows_a], b.flagged[rows_b])
        return found, found.share, found.kappa

    def apart(self, a: PredictionColumns, b: PredictionColumns, meeting: Meeting) -> SeparateDecisions:
        """How the decisions of two models on events of their own differ."""
        first, second = a.flagged[meeting.own_a], b.flagged[meeting.own_b]
        interval = of_shares((second.sum(), len(second)), (first.sum(), len(first)))
        low, high = (None, None) if interval is None else interval
        rates = _mean(first), _mean(second)
        gap = None if None in rates else float(np.mean(second) - np.mean(first))
        return SeparateDecisions(RateDifference(*rates, gap, low, high))

    def quality(
        self, a: PredictionColumns, b: PredictionColumns, meeting: Meeting, rows: Flags | None = None
    ) -> PairedQuality:
        """Who is better, on mature outcomes of the same events, or of some of them (a mask)."""
        known = meeting.both
        at = np.ones(len(known.labels), np.bool_) if rows is None else rows
        pair = self._pair(a, b, meeting)
        pair = Pair(pair.a[at], pair.b[at], pair.labels[at], pair.threshold_a, pair.threshold_b)
        flags = a.flagged[meeting.rows_a][at], b.flagged[meeting.rows_b][at]
        counts = counted(known, at)
        return PairedQuality(**asdict(counts), paired=True, figures=self._paired(pair, flags))

    def groups(self, a: PredictionColumns, b: PredictionColumns, meeting: Meeting) -> list[GroupDuel]:
        """The same for each group of the segment, by the group's name."""
        column = a.groups.take(meeting.rows_a) if len(meeting.rows_a) else a.groups.slice(0, 0)
        names, codes = column.dictionary.to_pylist(), column.indices.to_numpy(zero_copy_only=False)
        found = []
        for name in in_order([names[code] for code in np.unique(codes)]):
            rows = codes == names.index(name)
            agreed, share, kappa = self.agreed(a, b, meeting.rows_a[rows], meeting.rows_b[rows])
            quality = self.quality(a, b, meeting, rows)
            found.append(
                GroupDuel(
                    name,
                    agreed.rows,
                    share,
                    kappa,
                    **{name: getattr(quality, name) for name in asdict(counted(meeting.both, rows))},
                    paired=True,
                    figures=quality.figures,
                    verdict=verdict(quality, self._pipeline),
                )
            )
        return found

    def unpaired(self, a: PredictionColumns, b: PredictionColumns, meeting: Meeting) -> UnpairedQuality:
        """Who is better, each on mature outcomes of events of its own."""
        sides = [(a, meeting.own_a, meeting.first), (b, meeting.own_b, meeting.second)]
        first, second = (_answered(own, rows, known) for own, rows, known in sides)
        counts = [counted(known, np.ones(len(rows), np.bool_)) for _, rows, known in sides]
        summed = {name: sum(asdict(count)[name] for count in counts) for name in asdict(counts[0])}
        found = unpaired(first, second, self._worth) if self._probability else unpaired_losses(first, second)
        figures = {name: figure_of(each, "independent") for name, each in found.items()}
        return UnpairedQuality(**summed, a=counts[0], b=counts[1], paired=False, figures=figures)

    def disagreements(
        self, a: PredictionColumns, b: PredictionColumns, meeting: Meeting, most: int
    ) -> Sequence[RankDisagreement]:
        """The events that the two rank most differently, most first."""
        if not len(meeting.rows_a) or not most:
            return []
        found = disagreements(self._pair(a, b, meeting), most)
        events = a.events.take(meeting.rows_a[found.rows]).to_pylist()
        listed = []
        for place, row in enumerate(found.rows.tolist()):
            ranks = float(found.rank_a[place]), float(found.rank_b[place])
            listed.append(RankDisagreement(**said_of_both(a, b, meeting, row, ranks), event=plain(events[place])))
        return listed

    # ---- between -------------------------------------------------------------------------------------------------

    def _pair(self, a: PredictionColumns, b: PredictionColumns, meeting: Meeting) -> Pair:
        limits = [float(own.scores[own.flagged].min(initial=np.inf)) for own in (a, b)]
        return Pair(a.scores[meeting.rows_a], b.scores[meeting.rows_b], meeting.both.labels, *limits)

    def _paired(self, pair: Pair, flags: tuple[Flags, Flags]) -> dict[str, ComparedFigure]:
        labelled = int(np.sum(~np.isnan(pair.labels)))
        if not self._probability:
            return {name: figure_of(each, "paired") for name, each in paired_losses(pair).items()}
        area = delong(pair)
        found: dict[str, ComparedFigure] = {} if area is None else {"auc_roc": figure_of(area, "delong")}
        replicates = self._replicates
        if replicates is None:
            replicates = REPLICATES if labelled * REPLICATES <= DRAWN else 0
        drawn = differences(pair, self._worth, replicates) if replicates else {}
        if "auc_roc" in drawn and "auc_roc" in found:
            drawn_interval = BootstrapInterval(*drawn["auc_roc"].interval)
            found["auc_roc"] = BootstrappedFigure(**asdict(found["auc_roc"]), bootstrap=drawn_interval)
        for name, each in linearised(pair, self._worth, flags).items():
            other = drawn.get(name)
            # A threshold that was moved meanwhile is no threshold: only what was decided tells the value.
            if other is not None and math.isclose(other.a, each.a) and math.isclose(other.b, each.b):
                found[name] = figure_of(other, "bootstrap")
            else:
                found[name] = figure_of(each, "influence")
        return found


def agreement_of(first: Flags, second: Flags) -> Agreement:
    """Decisions as they were taken."""
    both, only_a, only_b = int(np.sum(first & second)), int(np.sum(first & ~second)), int(np.sum(~first & second))
    return Agreement(both, only_a, only_b, len(first) - both - only_a - only_b)


def counted(known: Judged, at: Flags) -> OutcomeCounts:
    """How many of some rows are judged, and what becomes of the others."""
    labels = known.labels[at]
    labelled = int(np.sum(~np.isnan(labels)))
    return OutcomeCounts(
        mature=int(known.mature[at].sum()),
        labelled=labelled,
        positives=int(np.sum(labels > 0)),
        fitted=int(known.fitted[at].sum()),
        waiting=int(known.waiting[at].sum()),
        missing=int(known.missing[at].sum()),
    )


def said_of_both(
    a: PredictionColumns, b: PredictionColumns, meeting: Meeting, row: int, ranks: tuple[float, float]
) -> dict[str, Any]:
    """What the two said of an event that both answered, as fields of a `RankDisagreement`, but for the event itself."""
    first, second = int(meeting.rows_a[row]), int(meeting.rows_b[row])
    return {
        "event_id": a.event_ids[first].as_py(),
        "entity": a.entities[first].as_py(),
        "event_time": int(a.times[first]),
        "a": float(a.scores[first]),
        "b": float(b.scores[second]),
        "decided": (bool(a.flagged[first]), bool(b.flagged[second])),
        "rank_a": ranks[0],
        "rank_b": ranks[1],
        "label": plain(float(meeting.both.told[row])),
    }


def figure_of(difference: Difference, method: str) -> ComparedFigure:
    """A difference as it is told."""
    gap = difference
    return ComparedFigure(gap.a, gap.b, gap.difference, *gap.interval, gap.p, method)


def _answered(own: PredictionColumns, rows: Ints, known: Judged) -> Answered:
    some = ~np.isnan(known.labels)
    return Answered(own.scores[rows][some], known.labels[some], own.flagged[rows][some])


def _mean(values: Any) -> float | None:
    return float(np.mean(values, dtype=np.float64)) if len(values) else None


def _quantile(values: Any, share: float) -> float | None:
    return float(np.percentile(values, share)) if len(values) else None
