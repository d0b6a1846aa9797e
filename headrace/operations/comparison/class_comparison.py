"""Figures of two models of several classes side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace

import numpy as np

from headrace.domain.pipeline.classes.names import field_names
from headrace.domain.pipeline.spec import Pipeline
from headrace.domain.quality.classes.class_pairs import (
    ClassAnswers,
    ClassPair,
    class_differences,
    unpaired_differences,
)
from headrace.domain.quality.classes.confusion_matrix import ConfusionMatrix, matrix_of
from headrace.domain.quality.comparison.agreement import Agreement
from headrace.domain.quality.comparison.pairs import midranks
from headrace.operations.comparison.comparison import Judge, counted, figure_of, said_of_both
from headrace.operations.comparison.pairing import Judged, Meeting
from headrace.operations.comparison.prediction_table import Flags, Floats, Ints, PredictionColumns
from headrace.operations.comparison.results import (
    ClassDisagreement,
    ComparedFigure,
    OutcomeCounts,
    PairedQuality,
    RankDisagreement,
    UnpairedQuality,
)
from headrace.operations.topics.tail import plain

COMPARED = (
    "brier_score", "log_loss", "accuracy", "cost_per_event", "macro_precision", "macro_recall", "macro_f1",
)  # fmt: skip  # a row of names


class ClassJudge(Judge):
    """Compares two models of several classes.

    They agree where they decide for the same class. The figures that the pipeline's release gates name stand beside
    `COMPARED`; what needs a positive class is not there.

    Parameters:
        pipeline: its classes, costs and gates.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        super().__init__(pipeline, None)
        self._classes = pipeline.model.classes
        self._fields = field_names(self._classes)
        self._costs = np.array(pipeline.model.costs)
        gates = pipeline.release.gates if pipeline.release else ()
        self._names = tuple(dict.fromkeys((*COMPARED, *gates)))

    def agreed(
        self, a: PredictionColumns, b: PredictionColumns, rows_a: Ints, rows_b: Ints
    ) -> tuple[Agreement, float | None, float | None]:
        """See `Judge`: the share and kappa are of classes, the counts of decisions that reach the threshold."""
        counts, _, _ = super().agreed(a, b, rows_a, rows_b)
        if not len(rows_a):
            return counts, None, None
        first, second = a.decided[rows_a], b.decided[rows_b]
        return counts, float(np.mean(first == second)), _kappa(first, second, len(self._classes))

    def quality(
        self, a: PredictionColumns, b: PredictionColumns, meeting: Meeting, rows: Flags | None = None
    ) -> PairedQuality:
        """See `Judge`."""
        at = np.ones(len(meeting.both.labels), np.bool_) if rows is None else rows
        pair = self._class_pair(a, b, meeting.rows_a[at], meeting.rows_b[at], meeting.both.labels[at])
        found = class_differences(pair, self._names, self._fields, self._costs)
        figures = {name: figure_of(each, "paired") for name, each in found.items()}
        return PairedQuality(**asdict(self._counts(meeting.both, at)), paired=True, figures=figures)

    def unpaired(self, a: PredictionColumns, b: PredictionColumns, meeting: Meeting) -> UnpairedQuality:
        """See `Judge`; figures that are means of rows alone."""
        sides = [(a, meeting.own_a, meeting.first), (b, meeting.own_b, meeting.second)]
        counts = [self._counts(known, np.ones(len(rows), np.bool_)) for _, rows, known in sides]
        summed = {name: sum(asdict(count)[name] for count in counts) for name in asdict(counts[0])}
        first, second = (self._class_pair(own, own, rows, rows, known.labels) for own, rows, known in sides)
        found = unpaired_differences(first, second, self._costs)
        figures: dict[str, ComparedFigure] = {name: figure_of(each, "independent") for name, each in found}
        return UnpairedQuality(**summed, a=counts[0], b=counts[1], paired=False, figures=figures)

    def disagreements(
        self, a: PredictionColumns, b: PredictionColumns, meeting: Meeting, most: int
    ) -> Sequence[RankDisagreement]:
        """The events whose chances differ most, in all classes together; of equals the earlier one."""
        rows_a, rows_b = meeting.rows_a, meeting.rows_b
        if not len(rows_a) or not most:
            return []
        apart = np.abs(a.chances[rows_a] - b.chances[rows_b]).sum(axis=1)
        order = np.argsort(-apart, kind="stable")[:most]
        ranks = [(midranks(own.scores[rows]) - 0.5) / len(rows) for own, rows in ((a, rows_a), (b, rows_b))]
        events = a.events.take(rows_a[order]).to_pylist()
        found = []
        for place, row in enumerate(order.tolist()):
            first, second, label = int(rows_a[row]), int(rows_b[row]), float(meeting.both.told[row])
            found.append(
                ClassDisagreement(
                    **said_of_both(a, b, meeting, row, (float(ranks[0][row]), float(ranks[1][row]))),
                    event=plain(events[place]),
                    class_a=self._classes[a.decided[first]],
                    class_b=self._classes[b.decided[second]],
                    label_class=None if np.isnan(label) else self._classes[int(label)],
                    apart=float(apart[row]) / 2,
                )
            )
        return found

    def _counts(self, known: Judged, at: Flags) -> OutcomeCounts:
        """Of several classes none is positive."""
        return replace(counted(known, at), positives=0)

    def _class_pair(
        self, a: PredictionColumns, b: PredictionColumns, rows_a: Ints, rows_b: Ints, labels: Floats
    ) -> ClassPair:
        sides = [ClassAnswers(own.chances[rows], own.decided[rows]) for own, rows in ((a, rows_a), (b, rows_b))]
        return ClassPair(sides[0], sides[1], labels)


def _kappa(first: Ints, second: Ints, classes: int) -> float | None:
    """Cohen's kappa of several classes, as scikit-learn's `cohen_kappa_score`; None where agreement is sure."""
    matrix = ConfusionMatrix(matrix_of(first.astype(np.float64), second, classes))
    rows = matrix.rows
    chance = float(matrix.support @ matrix.decided) / rows**2
    return (matrix.right / rows - chance) / (1 - chance) if chance < 1 else None
