"""D3: can a classifier tell recent rows from those before? Gözüacik, Büyükcakir, Bonab and Can (2019), Unsupervised
concept drift detection with a discriminative classifier.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from headrace.domain.drift.reference_bins import Floats


class D3(NamedTuple):
    """How it is set.

    Attributes:
        reference: rows of the older window.
        share: of so many, the newer window.
        threshold: AUC from which on it is an alarm.
    """

    reference: int
    share: float
    threshold: float

    def __str__(self) -> str:
        return f"D3, {self.reference:,} and {int(self.reference * self.share):,} rows, AUC {self.threshold:g}"

    def alarms(self, rows: Floats, first: int = 0) -> Iterator[int]:
        """The numbers of rows (float64, rows x features) at which it alarms; it has seen none before `first`.

        The logistic regression is judged by two folds, as in the authors' code. After an alarm the older window is
        forgotten, else as many of the oldest rows as the newer window has.
        """
        from sklearn.linear_model import LogisticRegression
        from sklearn.metrics import roc_auc_score
        from sklearn.model_selection import StratifiedKFold

        both = int(self.reference * (1 + self.share))
        newer = (np.arange(both) >= self.reference).astype(np.int64)
        folds = StratifiedKFold(2, shuffle=True, random_state=0)
        low, step = first, int(np.ceil(self.reference * self.share))
        while low + both < len(rows):
            window = rows[low : low + both]
            chance = np.empty(both)
            for known, asked in folds.split(window, newer):
                model = LogisticRegression(solver="liblinear").fit(window[known], newer[known])
                chance[asked] = model.predict_proba(window[asked])[:, 1]
            found = roc_auc_score(newer, chance) >= self.threshold
            if found:
                yield low + both
            low += self.reference if found else step
