"""How good the probabilities of several classes are, judged by the classes that came true."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

LEAST_CHANCE = 1e-15
"""Chances are kept this far from 0 where their logarithm is taken."""


def class_metrics(labels: npt.NDArray[Any], scores: npt.NDArray[np.floating]) -> dict[str, float]:
    """`accuracy`, `macro_f1` and `log_loss` of rows, and how many there are; decisions are for the most probable class.

    `macro_f1` is the mean over classes that rows have, or decisions are for. Without rows there are no metrics.

    >>> found = class_metrics(np.array([0, 1, 1]), np.array([[0.8, 0.2], [0.3, 0.7], [0.6, 0.4]]))
    >>> {name: round(value, 4) for name, value in found.items()}
    {'rows': 3.0, 'accuracy': 0.6667, 'macro_f1': 0.6667, 'log_loss': 0.4987}
    """
    found = {"rows": float(len(labels))}
    if not len(labels):
        return found
    truths, decisions = labels.astype(np.int64), scores.argmax(axis=1)
    count = scores.shape[1]
    right = np.bincount(truths[truths == decisions], minlength=count)
    both = np.bincount(truths, minlength=count) + np.bincount(decisions, minlength=count)
    chances = scores.astype(np.float64)[np.arange(len(truths)), truths]
    found["accuracy"] = float((truths == decisions).mean())
    found["macro_f1"] = float((2 * right[both > 0] / both[both > 0]).mean())
    found["log_loss"] = float(-np.log(np.clip(chances, LEAST_CHANCE, 1)).mean())
    return found
