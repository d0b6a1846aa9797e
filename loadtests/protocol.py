"""How the Handbook compares models: which days it trains and tests on, whom it leaves out, what it measures.

Reference: Y.-A. Le Borgne, W. Siblini, B. Lebichot, G. Bontempi: Reproducible Machine Learning for Credit Card Fraud
Detection - Practical Handbook, 2022, chapters Getting Started (baseline) and Performance Metrics (card precision).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from headrace.domain.training.evaluation import auc_roc, average_precision

DAY = 86_400_000
START = 1_532_476_800_000  # 2018-07-25
DAYS = 7  # of training, of delay, of test
TRAINED = (START, START + DAYS * DAY)
"""Event times to train on, from and up to, milliseconds."""
AS_OF = START + 2 * DAYS * DAY
"""The moment of training: labels of the last training day are known."""
TESTED = (AS_OF, AS_OF + DAYS * DAY)
K = 100

Integers = npt.NDArray[np.integer]
Floats = npt.NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class Figures:
    """What a model reached: AUC ROC, average precision, card precision at 100."""

    auc_roc: float
    average_precision: float
    card_precision: float


@dataclass(frozen=True, slots=True)
class Contender:
    """A model of the table.

    Attributes:
        title: for people.
        trainer, parameters: as `headrace train` takes them.
        seeds: how many the figures spread over; 1 where nothing is random.
        published: the Handbook's figures; None where it has none.
    """

    title: str
    trainer: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    seeds: int = 1
    published: Figures | None = None


CONTENDERS = (
    Contender(
        "Logistic regression",
        "logistic_regression",
        {"tol": 1e-6},  # to the optimum, at which the Handbook's solver stopped; scikit-learn's default now stops short
        published=Figures(0.871, 0.606, 0.291),
    ),
    Contender("Decision tree of depth 2", "decision_tree", {"max_depth": 2}, 10, Figures(0.763, 0.496, 0.241)),
    Contender("Decision tree, unlimited", "decision_tree", {}, 10, Figures(0.788, 0.309, 0.243)),
    Contender("Random forest", "random_forest", {}, 10, Figures(0.867, 0.658, 0.287)),
    Contender(
        "XGBoost",
        "xgboost",
        {"tree_method": "exact", "base_score": 0.5},  # the defaults of the version that the Handbook used
        published=Figures(0.862, 0.639, 0.273),
    ),
    Contender("LightGBM", "lightgbm"),
)


def under_test(times: Integers, customers: Integers, fraud: Integers) -> npt.NDArray[np.bool_]:
    """Which transactions are tested: those of the test days, but for customers who were known as defrauded by then.

    Known on a test day are customers with a fraud since the start of training that lies a delay before that day.

    Args:
        times: event times in milliseconds [n].
        customers: [n].
        fraud: 1 or 0 [n].
    """
    mask = np.zeros(len(times), np.bool_)
    for day in range(DAYS):
        begin = TESTED[0] + day * DAY
        known = customers[(fraud > 0) & (times >= START) & (times < begin - DAYS * DAY)]
        mask |= (times >= begin) & (times < begin + DAY) & ~np.isin(customers, known)
    return mask


def card_precision(
    times: Integers, customers: Integers, scores: Floats, fraud: Integers, *, k: int = K, seed: int = 0
) -> float:
    """The share of defrauded customers among the k with the highest scores of a day, mean over the days.

    A defrauded customer who was found on one day is left out on those that follow. Equal scores stand in an order drawn
    by the seed: the Handbook's is arbitrary, and a single tree has few scores, so the figure hangs on it.

    >>> day = np.array([0, 0, 0, 1, 1]) * DAY
    >>> who, fraud = np.array([1, 1, 2, 1, 3]), np.array([0, 1, 0, 1, 1])
    >>> card_precision(day, who, np.array([0.9, 0.1, 0.5, 0.8, 0.3]), fraud, k=1)
    1.0
    """
    days, rng = times // DAY, np.random.default_rng(seed)
    found: list[Integers] = []
    precisions = []
    for day in np.unique(days):
        here = (days == day) & ~np.isin(customers, np.concatenate([np.empty(0, np.int64), *found]))
        who, place = np.unique(customers[here], return_inverse=True)
        highest, defrauded = np.full(len(who), -np.inf), np.zeros(len(who), np.bool_)
        np.maximum.at(highest, place, scores[here])
        np.logical_or.at(defrauded, place, fraud[here] > 0)
        top = np.lexsort((rng.random(len(who)), -highest))[:k]
        found.append(who[top][defrauded[top]])
        precisions.append(defrauded[top].sum() / k)
    return float(np.mean(precisions))


def judged(times: Integers, customers: Integers, scores: Floats, fraud: Integers, seed: int = 0) -> Figures:
    """The figures of scored transactions, of which those `under_test` count; ties as in `card_precision`."""
    mask = under_test(times, customers, fraud)
    times, customers, scores, fraud = (column[mask] for column in (times, customers, scores, fraud))
    return Figures(
        auc_roc(fraud, scores),
        average_precision(fraud, scores),
        card_precision(times, customers, scores, fraud, seed=seed),
    )
