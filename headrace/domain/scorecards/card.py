"""Figures of a window from its tallies: operational at once, quality once labels are complete, estimates until then."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from headrace.domain.models.answer_interval import AnswerInterval
from headrace.domain.pipeline.segments import WHOLE
from headrace.domain.pipeline.spec import Pipeline
from headrace.domain.quality import calibration, decisions, estimation, fairness, ranking, score_table
from headrace.domain.quality.curve_estimates import steady_estimates
from headrace.domain.quality.decisions import Confusion
from headrace.domain.quality.estimation import Estimate
from headrace.domain.quality.score_table import ScoreTable
from headrace.domain.quality.statistics.beta_binomial import expectation
from headrace.domain.quality.statistics.isotonic import AS_GIVEN
from headrace.domain.quality.statistics.proportions import wilson
from headrace.domain.scorecards.backfills import latency_of
from headrace.domain.scorecards.class_figures import classified, decided, gaps_of
from headrace.domain.scorecards.figure import LEVEL, Figure, ratio, share, with_error
from headrace.domain.scorecards.partial_aggregate import Group, Tally, settled
from headrace.domain.scorecards.shift_figures import ShiftFigures
from headrace.domain.scorecards.shift_rows import NoShift

ESTIMATED = "estimated_"
FARED = "estimate_error_"
SHIFTED = "shifted_"
SHIFTED_FARED = "shifted_error_"
RESTS_ON = "effective_rows"
GAP = "gap_"
COVERED = "interval_coverage"
UNMATCHED = "unmatched_corrections"
WITHHELD = "more outcomes were corrected than there are: those first told are on the topic no more, or never were"
_BINARY = (
    "precision", "recall", "specificity", "false_positive_rate", "f1", "accuracy", "balanced_accuracy", "mcc",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Card:
    """Figures of all rows of a window, or of one group.

    Attributes:
        tally: what they were read from.
        mature: whether every prediction has its outcome.
        figures: by name.
    """

    tally: Tally
    mature: bool
    figures: Mapping[str, Figure]


@dataclass(frozen=True, slots=True)
class Reference:
    """What earlier, complete windows of the same model and arm tell of a group.

    Attributes:
        known: their outcomes by score.
        positives, rows: of each of them, in no order.
    """

    known: ScoreTable = field(default_factory=lambda: score_table.EMPTY)
    positives: tuple[int, ...] = ()
    rows: tuple[int, ...] = ()


NO_REFERENCE = Reference()


def mature(tally: Tally) -> bool:
    """Whether every prediction has its outcome: only then are those without trouble not under-represented.

    Never, where more was corrected than there is: the sums are no sums of rows then.
    """
    return 0 < tally["predictions"] <= tally["outcomes"] and whole(tally)


def whole(tally: Tally) -> bool:
    """Whether nothing was taken back that is not there: corrections of outcomes that are on no topic any more."""
    tables = (tally.predicted, tally.known)
    counts = [tally.counts, *(each for t in tables for each in (t.positives, t.negatives, t.unlabelled))]
    counts += [np.array([tally.errors.rows]), tally.errors.sizes.counts]
    return tally.classes.sound and all(bool(np.all(each >= 0)) for each in counts)


def referred(tallies: Sequence[Tally], cap: int) -> Reference:
    """What tallies of complete windows tell, together."""
    return Reference(
        score_table.merged([tally.known for tally in tallies], cap),
        tuple(int(tally.known.positives.sum()) for tally in tallies),
        tuple(int(tally.known.positives.sum() + tally.known.negatives.sum()) for tally in tallies),
    )


def card(
    tally: Tally,
    pipeline: Pipeline,
    reference: Reference = NO_REFERENCE,
    estimated: bool = True,
    shifted: ShiftFigures | NoShift | None = None,
    interval: AnswerInterval | NoShift | None = None,
) -> Card:
    """The card of one group. Figures on outcomes are given only when the window is mature.

    Args:
        estimated: whether to estimate them as well once they are known, to tell how estimates fare.
        shifted: estimates under shifted inputs, or why there are none; None: nobody is to be told of them.
        interval: how far the model says that a quantity may be off, or why nobody knows; None: it does not say.
    """
    tally = settled(tally)
    complete = mature(tally)
    figures = list(_operational(tally))
    if not whole(tally):
        figures.append(Figure(UNMATCHED, float(tally["corrected"]), "outcomes", note=WITHHELD))
    probability, several = pipeline.model.output == "probability", bool(pipeline.model.classes)
    if several:
        figures += decided(tally, pipeline)
    guessing = probability and (estimated or not complete) and whole(tally)
    guessed = dict(_estimated(tally, pipeline, reference)) if guessing else {}
    weighed = dict(_shifted(shifted)) if guessing and shifted is not None else {}
    if complete:
        if probability:
            known = [*_classified(tally, pipeline, reference), *_labels(tally)]
        else:
            known = [*(classified(tally, pipeline) if several else _measured(tally, interval)), *_labels(tally)]
        realised = {figure.name: figure for figure in known}
        for prefix, told in ((FARED, guessed), (SHIFTED_FARED, weighed)):
            figures += [_fared(figure, realised, prefix) for figure in told.values() if figure.name in realised]
        figures += known
    for prefix, told in ((ESTIMATED, guessed), (SHIFTED, weighed)):
        figures += [replace(figure, name=prefix + figure.name) for figure in told.values()]
    return Card(tally, complete, {figure.name: figure for figure in figures})


def gaps(cards: Mapping[Group, Card], segment: str, pipeline: Pipeline) -> dict[str, Figure]:
    """The largest gap of each figure between two groups of a segment, by `gap_` and the figure's name.

    Empty while the window is not mature, for it is complete for all groups or for none that could be compared, and for
    models of quantities.
    """
    groups = {group: each for (name, group), each in cards.items() if name == segment and each.mature}
    if pipeline.model.output == "value" or not groups or not cards[WHOLE].mature:
        return {}
    threshold = cards[WHOLE].tally.least_flagged
    if pipeline.model.classes:
        largest = gaps_of({group: each.tally for group, each in groups.items()}, threshold, pipeline)
    else:
        tables = {group: each.tally.known for group, each in groups.items()}
        largest = fairness.gaps(tables, threshold, pipeline.value, level=LEVEL)
    found = {}
    for name, gap in largest.items():
        small = f"; too few rows: {', '.join(gap.too_small)}" if gap.too_small else ""
        note = f"highest {gap.highest}, lowest {gap.lowest}{small}"
        found[GAP + name] = Figure(GAP + name, gap.gap, "outcomes", *gap.interval, note)
    return found


# ---- on predictions ----------------------------------------------------------------------------------------------


def _operational(tally: Tally) -> Iterator[Figure]:
    predictions = tally["predictions"]
    yield share("decision_rate", tally["flagged"], predictions, "predictions")
    rows, scores = tally.predicted.rows, tally.predicted.scores
    yield Figure("mean_score", ratio(float(rows @ scores), float(rows.sum())), "predictions")
    published, backfilled = predictions + tally["repeats"], tally["backfilled"]
    only, note = latency_of(backfilled, published)
    for part in (0.5, 0.95, 0.99):
        found = (tally.backfill if only else tally.latency).quantile(part)
        yield Figure(f"latency_p{part * 100:.0f}_ms", found, "predictions", note=note)
    yield Figure("backfilled_share", ratio(backfilled, published), "predictions")
    if backfilled and not only:
        yield Figure("backfill_latency_p50_ms", tally.backfill.quantile(0.5), "predictions")
    yield Figure("compute_ms_per_prediction", ratio(tally["compute_nanos"] / 1e6, published), "predictions")
    yield Figure("bytes_per_prediction", ratio(tally["bytes"], tally["sampled"]), "predictions")
    yield Figure("coverage", ratio(tally["outcomes"], predictions), "predictions")


# ---- on outcomes -------------------------------------------------------------------------------------------------


def _labels(tally: Tally) -> Iterator[Figure]:
    yield Figure("labelled_share", ratio(tally["labelled"], tally["outcomes"]), "outcomes")
    yield Figure("conflicting_share", ratio(tally["conflicting"], tally["outcomes"]), "outcomes")
    for part in (0.5, 0.95):
        hours = tally.delay.quantile(part)
        yield Figure(f"label_delay_p{part * 100:.0f}_hours", None if hours is None else hours / 3.6e6, "outcomes")


def _classified(tally: Tally, pipeline: Pipeline, reference: Reference) -> Iterator[Figure]:
    known = tally.known
    positives, negatives = int(known.positives.sum()), int(known.negatives.sum())
    rows = positives + negatives
    expected = expectation(rows, np.array(reference.positives, np.int64), np.array(reference.rows, np.int64), LEVEL)
    low, high = (None, None) if expected is None else expected.band
    yield Figure("positive_rate", ratio(positives, rows), "outcomes", low, high)
    area, error = ranking.auc_roc(known), ranking.auc_error(known)
    yield with_error("auc_roc", area, error, "outcomes", 0, 1)
    yield Figure("average_precision", ranking.average_precision(known), "outcomes")
    if calibration.probabilities(known):
        yield Figure("log_loss", calibration.log_loss(known), "outcomes")
        yield Figure("brier_score", calibration.brier_score(known), "outcomes")
        reliability = calibration.reliability(known)
        yield Figure("calibration_error", None if reliability is None else reliability.expected_error, "outcomes")
        yield Figure("calibration_bias", calibration.bias(known), "outcomes")
    matrix = confusion(tally)
    for name in _BINARY:
        yield _of_confusion(name, matrix)
    for depth in pipeline.scorecards.precision_at:
        found = [ranking.precision_at(table, depth) for table in tally.days.values()]
        some = [value for value in found if value is not None]
        yield Figure(f"entity_precision_at_{depth}_per_day", ratio(math.fsum(some), len(some)), "outcomes")
        yield Figure(f"precision_at_{depth}", ranking.precision_at(known, depth), "outcomes")
    if pipeline.value is not None:
        value = matrix.value(pipeline.value)
        spread = matrix.value_deviation(pipeline.value)
        yield with_error("value", value, None if spread is None else spread * math.sqrt(rows), "outcomes")
        yield Figure("value_per_prediction", ratio(value, rows), "outcomes")
        best = decisions.best_threshold(known, pipeline.value)
        yield Figure("best_threshold", None if best is None else best[0], "outcomes")
        yield Figure("value_at_best_threshold", None if best is None else best[1], "outcomes")


def confusion(tally: Tally) -> Confusion:
    """Decisions, as they were taken, by what turned out."""
    names = ("true_positive", "false_positive", "true_negative", "false_negative")
    return Confusion(*(float(tally[name]) for name in names))


def _of_confusion(name: str, matrix: Confusion) -> Figure:
    value: float | None = getattr(matrix, name)
    shares = {
        "precision": (matrix.true_positive, matrix.flagged),
        "recall": (matrix.true_positive, matrix.positives),
        "specificity": (matrix.true_negative, matrix.negatives),
        "false_positive_rate": (matrix.false_positive, matrix.negatives),
        "accuracy": (matrix.true_positive + matrix.true_negative, matrix.rows),
    }
    if name in shares:
        return share(name, *shares[name], "outcomes")
    return Figure(name, value, "outcomes")


def _measured(tally: Tally, interval: AnswerInterval | NoShift | None) -> Iterator[Figure]:
    errors = tally.errors
    yield Figure("bias", errors.bias, "outcomes")
    yield Figure("mean_absolute_error", errors.mean_absolute, "outcomes")
    yield Figure("median_absolute_error", errors.median_absolute, "outcomes")
    yield Figure("root_mean_square_error", errors.root_mean_square, "outcomes")
    yield Figure("r2", errors.r2, "outcomes")
    if isinstance(interval, NoShift):
        yield Figure(COVERED, None, "outcomes", note=interval.reason)
    elif interval is not None and errors.rows > 0:
        held = errors.sizes.up_to(interval.half_width)
        between = wilson(held, errors.rows)
        low, high = (None, None) if between is None else (between.low, between.high)
        note = f"meant to hold {interval.coverage:.0%}"
        yield Figure(COVERED, held / errors.rows, "outcomes", low, high, note)


# ---- estimates ---------------------------------------------------------------------------------------------------


def _estimated(tally: Tally, pipeline: Pipeline, reference: Reference) -> Iterator[tuple[str, Figure]]:
    """What the figures would be if scores, set right by earlier windows, are the chances that they say (CBPE).

    Where earlier windows are too few to set scores right, scores are taken as given, if they can be chances.
    """
    if not len(tally.predicted):
        return
    found = steady_estimates(reference.known, tally.predicted, tally.least_flagged, pipeline.value)
    if found is None:
        if not (float(tally.predicted.scores[0]) >= 0 and float(tally.predicted.scores[-1]) <= 1):
            return
        window = estimation.expected(tally.predicted, AS_GIVEN)
        found = estimation.estimates(window, tally.least_flagged, pipeline.value)
    for name, estimate in found.items():
        yield name, _guess(name, estimate)


def estimable(tally: Tally, pipeline: Pipeline) -> bool:
    """Whether figures of these rows can be estimated at all."""
    return pipeline.model.output == "probability" and tally["predictions"] > 0 and whole(tally)


def _shifted(found: ShiftFigures | NoShift) -> Iterator[tuple[str, Figure]]:
    """What the figures would be if only the mix of rows changed (PAPE), and what that rests on."""
    if isinstance(found, NoShift):
        yield RESTS_ON, Figure(RESTS_ON, None, "estimate", note=found.reason)
        return
    for name, estimate in found.figures.items():
        yield name, _guess(name, estimate)
    for name, value in ((RESTS_ON, found.effective_rows), ("uncovered", found.uncovered)):
        yield name, Figure(name, value, "estimate", note=found.reason)


def _guess(name: str, estimate: Estimate | None) -> Figure:
    if estimate is None:
        return Figure(name, None, "estimate")
    ends = (-math.inf, math.inf) if name == "value" else (0.0, 1.0)
    return with_error(name, estimate.value, estimate.error, "estimate", *ends)


def _fared(guess: Figure, realised: Mapping[str, Figure], prefix: str) -> Figure:
    """By how much the estimate was off; its interval is the estimate's about that."""
    real = realised[guess.name].value
    if real is None or guess.value is None:
        return Figure(prefix + guess.name, None, "estimate")
    low, high = (None if end is None else end - real for end in (guess.low, guess.high))
    return Figure(prefix + guess.name, guess.value - real, "estimate", low, high)
