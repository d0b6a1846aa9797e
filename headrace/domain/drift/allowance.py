"""How many false alarms are allowed, and by what time they are counted."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from headrace.domain.drift.reference_bins import Floats, Ints

HOUR = 3_600_000
DAY = 24 * HOUR
MONTH = 30 * DAY
LONGEST = MONTH // 1_000
"""The most time that one event stands for, milliseconds: a gap in a stream is no time in which anything could alarm."""
SHARES: Mapping[str, float] = {"predictions": 0.6, "shadow-predictions": 0.1, "outcomes": 0.25, "dead-letters": 0.05}
"""Of the false alarms that are allowed, by what an alarm is worth: for the models that somebody waits for, for dark
ones, for how wrong all are, and for what is refused. A share s takes ln(1 / s) more evidence than all would, of some 18
that an alarm needs: 0.5, 2.3, 1.4 and 3.0."""
OF_LABELS = "outcomes"
"""The stream that a pipeline without labels does not have: its share is the others', as they share."""


def threshold(per_month: float, stream: str, labelled: bool) -> float:
    """What the evidence of a model must reach, where sums begin with `months`: one over the alarms allowed a month.

    Args:
        per_month: false alarms that a pipeline allows.
        stream: of `SHARES`.
        labelled: whether it has labels.

    >>> threshold(1.0, "outcomes", labelled=True), threshold(1.0, "predictions", labelled=False)
    (4.0, 1.25)
    """
    return (1.0 if labelled else 1.0 - SHARES[OF_LABELS]) / (per_month * SHARES[stream])


def months(before: int | None, reached: Ints) -> Floats:
    """The part of a month that each event stands for, float64: by which time went on with it.

    Args:
        before: how far time had come, milliseconds; None before the first event.
        reached: int64, how far it has come with each event; never falls.

    >>> months(None, np.array([0, MONTH // 2_000, MONTH])).tolist()
    [0.0, 0.0005, 0.001]
    """
    gone = np.diff(reached, prepend=reached[:1] if before is None else before)
    found: Floats = np.minimum(gone, LONGEST) / MONTH
    return found
