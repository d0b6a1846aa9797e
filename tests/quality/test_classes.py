"""Two models of several classes on the same rows: figures as scikit-learn's, intervals that hold what they say."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from sklearn import metrics

from headrace.domain.quality.classes.class_gaps import class_gaps
from headrace.domain.quality.classes.class_pairs import (
    ClassAnswers,
    ClassPair,
    class_differences,
    unpaired_differences,
)
from headrace.domain.quality.classes.losses import are_chances

Floats = npt.NDArray[np.float64]
FIELDS = ("cat", "dog", "hen", "fox")
COSTS = np.array([[0.0, 1.0, 5.0, 1.0], [1.0, 0.0, 1.0, 2.0], [1.0, 1.0, 0.0, 1.0], [3.0, 1.0, 1.0, 0.0]])
NAMES = (
    "accuracy", "cost_per_event", "brier_score", "log_loss", "macro_precision", "macro_recall", "macro_f1",
    "recall_hen", "precision_cat", "f1_dog",
)  # fmt: skip  # a row of names


def pair_of(rows: int, draw: np.random.Generator, unknown: float = 0.0) -> ClassPair:
    """The first model is better; the last class is rare."""
    logits = draw.normal(size=(rows, 4)) * 1.5 - np.array([0, 0, 0, 1.5])
    truth = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = (truth.cumsum(axis=1) < draw.random((rows, 1))).sum(axis=1).clip(max=3).astype(np.float64)
    labels[draw.random(rows) < unknown] = np.nan
    answers = []
    for noise in (0.3, 1.0):
        raised = np.exp(logits + noise * draw.normal(size=logits.shape))
        chances = raised / raised.sum(axis=1, keepdims=True)
        answers.append(ClassAnswers(chances, chances.argmax(axis=1), 0.5))
    return ClassPair(answers[0], answers[1], labels)


def of_scikit_learn(name: str, answers: ClassAnswers, labels: Floats) -> float:
    """A figure by that library."""
    truth, decided = labels.astype(int), answers.decided
    if name == "cost_per_event":
        return float(COSTS[truth, decided].mean())
    if name == "brier_score":
        return float(0.5 * ((answers.chances - np.eye(4)[truth]) ** 2).sum(axis=1).mean())
    if name == "log_loss":
        return float(metrics.log_loss(truth, answers.chances, labels=range(4)))
    if name == "accuracy":
        return float(metrics.accuracy_score(truth, decided))
    figure, _, which = name.partition("_")
    of = {"precision": metrics.precision_score, "recall": metrics.recall_score, "f1": metrics.f1_score}
    if figure == "macro":
        return float(of[which](truth, decided, average="macro", zero_division=0))
    return float(of[figure](truth, decided, labels=[FIELDS.index(which)], average="macro"))


def test_figures_are_those_of_scikit_learn() -> None:
    """Of both models, on the rows whose label is known."""
    pair = pair_of(3_000, np.random.default_rng(1), unknown=0.2)
    known = pair.labelled()
    found = class_differences(pair, NAMES, FIELDS, COSTS)
    assert [*found] == [*NAMES]
    for name, each in found.items():
        assert each.a == pytest.approx(of_scikit_learn(name, known.a, known.labels)), name
        assert each.b == pytest.approx(of_scikit_learn(name, known.b, known.labels)), name
        assert each.difference == pytest.approx(each.b - each.a)


def test_intervals_are_those_of_rows_drawn_anew() -> None:
    """Half their width is 1.96 standard deviations of a bootstrap, within a tenth."""
    draw = np.random.default_rng(2)
    pair = pair_of(1_500, draw)
    found = class_differences(pair, NAMES, FIELDS, COSTS)
    drawn: dict[str, list[float]] = {name: [] for name in NAMES}
    for _ in range(400):
        again = pair.some(draw.integers(0, len(pair), len(pair)))
        for name, each in class_differences(again, NAMES, FIELDS, COSTS).items():
            drawn[name].append(each.difference)
    for name, each in found.items():
        reach = (each.interval.high - each.interval.low) / 2
        assert reach == pytest.approx(1.96 * np.std(drawn[name]), rel=0.12), name


def test_what_divides_by_nothing_is_left_out() -> None:
    """Nobody decided for a class, or nothing of it came; of no rows there are no figures; unknown names are none."""
    pair = pair_of(200, np.random.default_rng(3))
    never = ClassAnswers(pair.b.chances, np.zeros(200, np.int64))
    without = ClassPair(pair.a, never, np.where(pair.labels == 2, 0.0, pair.labels))
    found = class_differences(without, (*NAMES, "precision_dog", "recall_unicorn", "mcc"), FIELDS, COSTS)
    assert "recall_hen" not in found
    assert "precision_dog" not in found
    assert "macro_recall" in found
    assert found.keys() <= set(NAMES)
    assert class_differences(pair.some(np.zeros(200, np.bool_)), NAMES, FIELDS, COSTS) == {}


def test_models_on_rows_of_their_own() -> None:
    """Means of rows, whose errors add up."""
    draw = np.random.default_rng(4)
    one, other = pair_of(800, draw), pair_of(1_200, draw)
    found = dict(unpaired_differences(one, other, COSTS))
    assert set(found) == {"accuracy", "cost_per_event", "brier_score", "log_loss"}
    assert found["accuracy"].a == pytest.approx((one.a.decided == one.labels).mean())
    assert found["accuracy"].b == pytest.approx((other.b.decided == other.labels).mean())
    assert found["brier_score"].interval.low > 0  # the second is worse
    assert dict(unpaired_differences(one.some(np.zeros(800, np.bool_)), other, COSTS)) == {}


def test_gaps_are_between_groups_with_rows_enough() -> None:
    """Of 29 rows of a class no recall is compared, and the group is named."""
    pair = pair_of(4_000, np.random.default_rng(5))
    groups = {"old": pair.b.some(np.arange(4_000) < 3_900), "new": pair.b.some(np.arange(4_000) >= 3_900)}
    labels = {"old": pair.labels[:3_900], "new": pair.labels[3_900:]}
    found = class_gaps({name: each.group(labels[name]) for name, each in groups.items()}, 0.5, COSTS, FIELDS)
    assert {"accuracy", "selection_rate", "cost", "calibration"} <= found.keys()
    assert "recall_fox" not in found
    rates = {name: (each.scores >= 0.5).mean() for name, each in groups.items()}
    assert found["selection_rate"].gap == pytest.approx(abs(rates["old"] - rates["new"]))
    whole = {name: COSTS[labels[name].astype(int), each.decided].mean() for name, each in groups.items()}
    assert found["cost"].gap == pytest.approx(abs(whole["old"] - whole["new"]))


def test_what_chances_are() -> None:
    """From 0 to 1, and 1 together within a thousandth."""
    rows = np.array([[0.5, 0.5], [0.5004, 0.5], [0.51, 0.5], [-0.1, 1.1], [np.nan, 1.0]])
    assert are_chances(rows).tolist() == [True, True, False, False, False]
