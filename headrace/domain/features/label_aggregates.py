"""Labels of entries: what a view keeps of them, and what it answers of a window."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headrace.domain.aggregations.aggregate_function import Numbers
from headrace.domain.aggregations.registry import function_named
from headrace.domain.features.sliding_windows import Question
from headrace.domain.features.window_pool import Flags, Floats, Ints
from headrace.domain.pipeline.spec import Pipeline, View

LABELLED, LABEL = "labelled", "label"
"""Value columns of a view update that tells labels: change of the number of labels of an entry (1, 0, -1), and of their
sum. A correction is a change of its own, known from its own label time on."""


@dataclass(frozen=True, slots=True)
class LabelQuestion:
    """What a view asks of labels.

    A change of an entry's label is kept as an entry of its own at the entry's time, with a lag: milliseconds after that
    time from when on it is known, 0 where it is known to every window that the entry can be in. Of its value that is
    kept by which it differs from what a missing label stands for: where that is all that is asked, a label that says no
    more than its absence takes no room.

    Attributes:
        durations, delay: as in `Question`.
        unlabelled: what a missing label stands for; None: it is left out.
        counted: whether the number of labels is asked for, beside their sum.
    """

    durations: tuple[int, ...]
    delay: int = 0
    unlabelled: float | None = None
    counted: bool = True

    @property
    def columns(self) -> int:
        """Value columns of a kept change: lag, label, and if counted the change of the number of labels."""
        return 3 if self.counted else 2

    def kept(self, lateness: int) -> Question:
        """The same for the windows that keep changes."""
        return Question(self.durations, self.delay, lateness, self.columns)

    def changes(self, times: Ints, known: Ints, labelled: Floats, label: Floats) -> tuple[Flags, Floats]:
        """Which changes say something, and the value columns of these.

        Parameters:
            times: of the entries, ms; `known`: from when on the changes are.
            labelled, label: see LABELLED.
        """
        value = label if self.unlabelled is None else label - self.unlabelled * labelled
        kept = value != 0
        if self.counted:
            kept |= labelled != 0
        lag = np.where(known > times + self.delay, known - times, 0)
        columns = (lag, value, labelled)[: self.columns]
        return kept, np.column_stack([column[kept] for column in columns]).astype(np.float64, copy=False)


@dataclass(frozen=True, slots=True)
class LabelAnswers:
    """Labels in the windows of a batch of rows, as far as they were known at each row's time.

    Attributes:
        question: what was asked.
        count: int64 (rows, windows); entries in the window, labelled or not.
        sums: float64 (rows, windows, 1 or 2): of the changes, labels and if counted their number.
    """

    question: LabelQuestion
    count: Ints
    sums: Floats

    def of(self, function: str, window: int) -> Numbers:
        """One feature: int64, or float64 with NaN where the window holds nothing to go by."""
        return function_named(function).finish_labels(_LabelsOfWindow(self, window))


@dataclass(frozen=True, slots=True)
class _LabelsOfWindow:
    """See `LabelState`."""

    answers: LabelAnswers
    window: int

    @property
    def labelled(self) -> Ints:
        return np.rint(self.answers.sums[:, self.window, 1]).astype(np.int64)

    @property
    def total(self) -> Floats:
        total: Floats = self.answers.sums[:, self.window, 0]
        unlabelled = self.answers.question.unlabelled
        return total if unlabelled is None else total + unlabelled * self.known

    @property
    def known(self) -> Floats:
        if self.answers.question.unlabelled is None:
            labelled: Floats = self.answers.sums[:, self.window, 1]
            return labelled
        return self.answers.count[:, self.window].astype(np.float64)


def label_question_of(pipeline: Pipeline, view: View) -> LabelQuestion | None:
    """What a view asks of labels, None for nothing."""
    if not view.folds_labels or pipeline.labels is None:
        return None
    unlabelled = pipeline.labels.unlabelled_is
    counted = unlabelled is None or any(
        a.of_label and function_named(a.function).counts_labels for a in view.features.values()
    )
    return LabelQuestion(view.windows, view.delay, unlabelled, counted)
