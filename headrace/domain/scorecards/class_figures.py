"""Figures of models of several classes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from headrace.domain.pipeline.classes.names import field_names
from headrace.domain.pipeline.spec import Pipeline
from headrace.domain.quality import calibration, ranking
from headrace.domain.quality.classes.class_gaps import ClassGroup, class_gaps
from headrace.domain.quality.classes.confusion_matrix import ConfusionMatrix
from headrace.domain.quality.fairness import Gap
from headrace.domain.quality.score_table import LEAST_CAP
from headrace.domain.scorecards.figure import LEVEL, Figure, ratio, share, with_error
from headrace.domain.scorecards.partial_aggregate import Tally

MACRO = ("macro_precision", "macro_recall", "macro_f1")


def decided(tally: Tally, pipeline: Pipeline) -> Iterator[Figure]:
    """Of predictions, how often each class was decided on."""
    counts = tally.classes.decided
    for place, name in enumerate(field_names(pipeline.model.classes)):
        hits = int(counts[place]) if len(counts) else 0
        yield share(f"decided_rate_{name}", hits, tally["predictions"], "predictions")


def classified(tally: Tally, pipeline: Pipeline) -> Iterator[Figure]:
    """Of labelled outcomes: of all classes together, then of each."""
    sums, known, names = tally.classes, tally.known, field_names(pipeline.model.classes)
    matrix = sums.matrix if sums.classes else ConfusionMatrix(np.zeros((len(names), len(names)), np.int64))
    rows, absent = matrix.rows, _absent(matrix, pipeline.model.classes)
    yield share("accuracy", matrix.right, rows, "outcomes")
    yield share(
        "decided_accuracy", tally["true_positive"], tally["true_positive"] + tally["false_positive"], "outcomes"
    )
    yield Figure("balanced_accuracy", matrix.balanced_accuracy, "outcomes")
    for name in MACRO:
        value: float | None = getattr(matrix, name)
        yield Figure(name, value, "outcomes", note=absent)
    yield Figure("mcc", matrix.mcc, "outcomes")
    yield from _areas(tally, names)
    yield Figure("log_loss", sums.surprise.mean(rows) if rows else None, "outcomes")
    yield Figure("brier_score", sums.brier.mean(rows) if rows else None, "outcomes")
    reliability = calibration.reliability(known)
    yield Figure("calibration_error", None if reliability is None else reliability.expected_error, "outcomes")
    yield Figure("calibration_bias", calibration.bias(known), "outcomes")
    costs = np.array(pipeline.model.costs)
    cost, spread = matrix.cost(costs), matrix.cost_deviation(costs)
    yield with_error("cost", cost, None if spread is None else spread * math.sqrt(rows), "outcomes")
    each = None if spread is None else spread / math.sqrt(rows)
    yield with_error("cost_per_prediction", ratio(cost, rows), each, "outcomes")
    yield from _of_each(matrix, names)


def _absent(matrix: ConfusionMatrix, classes: Sequence[str]) -> str | None:
    """Over which classes means are, where it is not all of them."""
    missing = [classes[place] for place in range(len(classes)) if place not in matrix.present]
    if not missing or len(missing) == len(classes):
        return None
    return f"over {len(classes) - len(missing)} of {len(classes)} classes: {', '.join(missing)} did not occur"


def _areas(tally: Tally, names: Sequence[str]) -> Iterator[Figure]:
    """One class against all others, then the mean of the classes that have an area."""
    tables = tally.classes.tables
    if not tables:
        most = f"{len(names)} classes are too many to keep their scores: set distinct_scores of scorecards to "
        note = f"{most}{len(names) * LEAST_CAP:,} or more"
        if tally.known.positives.sum() + tally.known.negatives.sum() > 0:
            yield Figure("macro_auc_roc", None, "outcomes", note=note)
            yield Figure("macro_average_precision", None, "outcomes", note=note)
        return
    for figure, of in (("auc_roc", ranking.auc_roc), ("average_precision", ranking.average_precision)):
        each = [of(table) for table in tables]
        some = [value for value in each if value is not None]
        note = f"over {len(some)} of {len(each)} classes: the others did not occur, or nothing else did"
        mean = ratio(math.fsum(some), len(some))
        yield Figure(f"macro_{figure}", mean, "outcomes", note=note if len(some) < len(each) else None)
        for place, name in enumerate(names):
            error = ranking.auc_error(tables[place]) if figure == "auc_roc" else None
            yield with_error(f"{figure}_{name}", each[place], error, "outcomes", 0, 1)


def _of_each(matrix: ConfusionMatrix, names: Sequence[str]) -> Iterator[Figure]:
    for place, name in enumerate(names):
        hits, support = int(matrix.counts[place, place]), int(matrix.support[place])
        yield Figure(f"support_{name}", float(support), "outcomes")
        yield share(f"class_rate_{name}", support, matrix.rows, "outcomes")
        yield share(f"precision_{name}", hits, int(matrix.decided[place]), "outcomes")
        yield share(f"recall_{name}", hits, support, "outcomes")
        yield Figure(f"f1_{name}", matrix.f1(place), "outcomes")


def gaps_of(groups: Mapping[str, Tally], threshold: float, pipeline: Pipeline) -> dict[str, Gap]:
    """The largest gaps between groups, by figure."""
    some = {
        name: ClassGroup(tally.classes.matrix, tally.known) for name, tally in groups.items() if tally.classes.classes
    }
    return class_gaps(some, threshold, np.array(pipeline.model.costs), field_names(pipeline.model.classes), level=LEVEL)
