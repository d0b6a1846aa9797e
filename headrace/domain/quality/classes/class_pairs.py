"""Figures of two models of several classes on the same labelled rows, each with an interval of the difference.

Means of rows and ratios of counts by what each row adds to them, to the first order (the infinitesimal jackknife,
Jaeckel 1972); a mean over classes adds up what it is made of.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from headrace.domain.quality.classes.class_gaps import ClassGroup
from headrace.domain.quality.classes.confusion_matrix import ConfusionMatrix, matrix_of
from headrace.domain.quality.classes.losses import half_brier, surprise
from headrace.domain.quality.comparison.influence_functions import normal, spread
from headrace.domain.quality.comparison.paired_tests import Difference
from headrace.domain.quality.score_table import LEAST_CAP, tabulated

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
MACRO = {"macro_precision": "precision", "macro_recall": "recall", "macro_f1": "f1"}
EACH = ("precision", "recall", "f1")
"""Figures of a class, before `_` and its name."""


@dataclass(frozen=True, slots=True, eq=False)
class ClassAnswers:
    """What a model said of rows.

    Attributes:
        chances: float64 [rows, classes], finite.
        decided: int64 [rows], the places of the classes decided on.
        threshold: the least chance of the class decided on with which a decision is yes.
    """

    chances: Floats
    decided: Ints
    threshold: float = 0.0

    @property
    def scores(self) -> Floats:
        """Float64 [rows], the chance of the class decided on."""
        found: Floats = self.chances[np.arange(len(self.decided)), self.decided]
        return found

    def some(self, rows: npt.NDArray[np.bool_] | Ints) -> ClassAnswers:
        """Of some of the rows."""
        return ClassAnswers(self.chances[rows], self.decided[rows], self.threshold)

    def group(self, labels: Floats) -> ClassGroup:
        """As gaps are made of; rows have labels, float64 places."""
        right = (self.decided == labels).astype(np.float64)
        table = tabulated(self.scores, right, max(LEAST_CAP, len(right)))
        return ClassGroup(ConfusionMatrix(matrix_of(labels, self.decided, self.chances.shape[1])), table)


@dataclass(frozen=True, slots=True, eq=False)
class ClassPair:
    """Columns of one length, row by row the same event: two models' answers, and the place of the class that was true,
    float64, NaN where it is not known.
    """

    a: ClassAnswers
    b: ClassAnswers
    labels: Floats

    def __len__(self) -> int:
        return len(self.labels)

    def some(self, rows: npt.NDArray[np.bool_] | Ints) -> ClassPair:
        """Some of the rows."""
        return ClassPair(self.a.some(rows), self.b.some(rows), self.labels[rows])

    def labelled(self) -> ClassPair:
        """The rows whose label is known."""
        return self.some(~np.isnan(self.labels))


def row_losses(answers: ClassAnswers, labels: Floats, costs: Floats) -> dict[str, Floats]:
    """Figures that are means of rows: what each adds, float64; rows have labels."""
    truths = labels.astype(np.int64)
    return {
        "accuracy": (answers.decided == truths).astype(np.float64),
        "cost_per_event": costs[truths, answers.decided],
        "brier_score": half_brier(answers.chances, labels),
        "log_loss": surprise(answers.chances, labels),
    }


def class_differences(
    pair: ClassPair, names: Collection[str], fields: Sequence[str], costs: Floats, level: float = 0.95
) -> dict[str, Difference]:
    """The named figures of both; those that rows cannot tell are missing.

    Args:
        pair: the rows; those without a label are left out.
        names: `accuracy`, `cost_per_event`, `brier_score` (half of it), `log_loss`, the macro figures, and `precision`,
            `recall` or `f1` with `_` and the name of a class.
        fields: names of the classes, as fields have them.
        costs: float64 [classes, classes], row what was true, column what was decided.
        level: chance that an interval holds the difference.
    """
    pair = pair.labelled()
    if len(pair) < 2:
        return {}
    first, second = row_losses(pair.a, pair.labels, costs), row_losses(pair.b, pair.labels, costs)
    found = {
        name: normal(
            float(first[name].mean()), float(second[name].mean()),
            math.sqrt(spread(second[name] - first[name])) / len(pair), level,
        )
        for name in first
        if name in names
    }  # fmt: skip  # one mean
    for name in names:
        figure, places = _ratio_of(name, fields)
        if figure is None:
            continue
        told = [_influences(answers, pair.labels, figure, places) for answers in (pair.a, pair.b)]
        if None not in told:
            (a, own), (b, other) = (each for each in told if each is not None)
            found[name] = normal(a, b, math.sqrt(spread(other - own)), level)
    return {name: found[name] for name in names if name in found}


def _ratio_of(name: str, fields: Sequence[str]) -> tuple[str | None, int | None]:
    """Which ratio a figure is, and of the class at which place; of a mean over classes None."""
    if name in MACRO:
        return MACRO[name], None
    for figure in EACH:
        of = name.removeprefix(f"{figure}_")
        if of != name and of in fields:
            return figure, fields.index(of)
    return None, None


def _influences(answers: ClassAnswers, labels: Floats, figure: str, place: int | None) -> tuple[float, Floats] | None:
    """(the figure, by how much it changes with each row's weight); None where it divides by nothing."""
    classes = answers.chances.shape[1]
    if place is not None:
        return _ratio(answers, labels, figure, place)
    present = ConfusionMatrix(matrix_of(labels, answers.decided, classes)).present
    each = [found for at in present if (found := _ratio(answers, labels, figure, at)) is not None]
    if not each:
        return None
    influences = np.sum([of_class for _, of_class in each], axis=0) / len(present)
    return math.fsum(value for value, _ in each) / len(present), influences


def _ratio(answers: ClassAnswers, labels: Floats, figure: str, place: int) -> tuple[float, Floats] | None:
    true, decided = labels == place, answers.decided == place
    hits = (true & decided).astype(np.float64)
    whole = {"recall": true.astype(np.float64), "precision": decided.astype(np.float64)}.get(
        figure, (true.astype(np.float64) + decided) / 2
    )
    size = float(whole.sum())
    if not size:
        return None
    value = float(hits.sum() / size)
    return value, (hits - value * whole) / size


def unpaired_differences(
    a: ClassPair, b: ClassPair, costs: Floats, level: float = 0.95
) -> Iterator[tuple[str, Difference]]:
    """Means of rows, of rows of each model's own: the first model's answers are `a.a`, the second's `b.b`."""
    first, second = (pair.labelled() for pair in (a, b))
    if min(len(first), len(second)) < 2:
        return
    own, other = row_losses(first.a, first.labels, costs), row_losses(second.b, second.labels, costs)
    for name in own:
        error = math.hypot(*(math.sqrt(spread(each[name])) / len(each[name]) for each in (own, other)))
        yield name, normal(float(own[name].mean()), float(other[name].mean()), error, level)
