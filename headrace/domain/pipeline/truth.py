"""What a label says of its event: a class for a probability, a quantity for a value."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from headrace.domain.pipeline.spec import Labels

Floats = npt.NDArray[np.float64]


def truths(values: Floats, rule: Labels) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """What each label says, as 0 or 1 where labels are classes, and which of them (mask) say nothing.

    >>> rule = Labels("id", "bad", classes=True)
    >>> [part.tolist() for part in truths(np.array([0.0, 1.0, 2.0]), rule)]
    [[0.0, 1.0, 2.0], [False, False, True]]
    >>> rule = Labels("id", "bad", classes=True, positive=2)
    >>> [part.tolist() for part in truths(np.array([1.0, 2.0, np.nan]), rule)]
    [[0.0, 1.0, 0.0], [False, False, True]]
    """
    strange = ~np.isfinite(values)
    if rule.classes and rule.positive is not None:
        return (values == rule.positive).astype(np.float64), strange
    if rule.classes:
        strange |= (values != 0) & (values != 1)
    return values, strange


def said_of(rule: Labels) -> str:
    """What is wrong with a label that says nothing, and the remedy."""
    if rule.classes and rule.positive is None:
        return (
            "is neither 0 nor 1, and the labels of a probability must be; say in the pipeline file which value is the "
            "positive class, such as labels: {positive: 2}"
        )
    return "is no finite number; mend it, or take the row out"
