"""Models of several classes on real data (digits, wines), by every trainer: what the library says, packed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits, load_wine
from sklearn.metrics import accuracy_score, f1_score, log_loss

from headrace.domain.models.checks.sandbox import admit
from headrace.domain.models.package import ModelPackage
from headrace.domain.models.sessions import SessionSettings, open_session
from headrace.domain.pipeline.categories.spec import Category
from headrace.domain.pipeline.spec import Labels
from headrace.domain.training.categories.encoder import PRIOR_ROWS, encoder_of
from headrace.domain.training.classes.class_metrics import class_metrics
from headrace.domain.training.dataset import Dataset, assemble
from headrace.domain.training.job.order import WindowCandidate
from headrace.domain.training.job.windows import best_window
from headrace.domain.training.model_build import BasePackage, Cut, Recipe, fit, package_of, train
from headrace.domain.training.trainer import CONTINUED, SEVERAL, TAKES, Choice, trainer_of
from headrace.errors import ConfigurationError, ContractError

DIGITS = tuple(map(str, range(10)))
ALL = [name for name, takes in TAKES.items() if SEVERAL in takes]


def digits(classes: int = 10, missing: float = 0.0) -> Dataset:
    """Scans of handwritten digits, a minute apart, in an order drawn once; the first so many of them."""
    data = load_digits()
    kept = data.target < classes
    order = np.random.default_rng(0).permutation(int(kept.sum()))
    matrix = np.asfortranarray(data.data[kept][order].astype(np.float32))
    matrix[np.random.default_rng(1).random(matrix.shape) < missing] = np.nan
    names = tuple(f"v.p{at}" for at in range(matrix.shape[1]))
    labels = data.target[kept][order].astype(np.int8)
    inside = {("half", "left"): matrix[:, 28] > 8}
    return Dataset(names, matrix, labels, np.arange(len(labels)) * 60_000, inside, classes=DIGITS[:classes])


def recipe(name: str, **parameters: Any) -> Recipe:
    """A few trees, where there are trees."""
    trees = None if name in ("decision_tree", "logistic_regression") else 20
    more = {"max_iter": 2_000} if name == "logistic_regression" else {}
    return Recipe("digits", "1", trainer=name, trees=trees, parameters={**more, **parameters})


def scores(package: ModelPackage, matrix: np.ndarray, classes: tuple[str, ...] = DIGITS) -> np.ndarray:
    """What a service would say, a probability for each class."""
    return open_session(package, SessionSettings(device="cpu", rows=256, classes=classes)).run(matrix)


@pytest.mark.parametrize("name", ALL)
def test_a_package_of_every_trainer_tells_ten_classes(name: str) -> None:
    """It answers what its library does (else there is no package), is admitted, and its metrics are scikit-learn's."""
    data = digits()
    package = train(data, recipe(name))
    assert admit(package) == ""
    manifest = package.manifest
    assert (manifest.output, manifest.classes, manifest.training.positives) == ("class", DIGITS, 0)
    later = data.part(slice(len(data) - int(manifest.metrics["rows"]), len(data)))
    found = scores(package, later.matrix)
    assert found.shape == (len(later), 10)
    assert np.abs(found.sum(axis=1) - 1).max() < 1e-5
    chosen = found.argmax(axis=1)
    assert manifest.metrics["accuracy"] == pytest.approx(accuracy_score(later.labels, chosen))
    assert manifest.metrics["macro_f1"] == pytest.approx(f1_score(later.labels, chosen, average="macro"))
    assert manifest.metrics["accuracy"] > 0.8
    if name != "decision_tree":  # chances of 0 are cut off elsewhere
        assert manifest.metrics["log_loss"] == pytest.approx(
            log_loss(later.labels, np.clip(found, 0, 1), labels=range(10)), rel=1e-3
        )
    assert package.held_out is None
    card = package.model_card
    assert card is not None
    (group,) = card.groups
    assert 0 < group.metrics["brier"] < 0.5
    assert set(group.metrics) == {"brier", "accuracy", "macro_f1", "log_loss"}


@pytest.mark.parametrize("name", ALL)
def test_the_order_of_the_classes_is_the_pipelines(name: str) -> None:
    """A pipeline that lists the same classes otherwise gets their probabilities in its order, to the bit."""
    data = digits(3)
    package, turned = train(data, recipe(name)), ("2", "0", "1")
    assert np.array_equal(scores(package, data.matrix, turned), scores(package, data.matrix, DIGITS[:3])[:, [2, 0, 1]])
    with pytest.raises(ContractError, match="it does not know 5, and the pipeline does not know 1"):
        scores(package, data.matrix, ("0", "5", "2"))


@pytest.mark.parametrize("name", ALL)
def test_two_classes_by_name(name: str) -> None:
    """Of two classes each gets a probability, and they are those of the model of the second one alone."""
    data = digits(2)
    package = train(data, replace(recipe(name), holdout=0.4))
    alone = train(replace(data, classes=()), replace(recipe(name), holdout=0.4))
    second = open_session(alone, SessionSettings(device="cpu", rows=256, executor="onnxruntime")).run(data.matrix)
    found = scores(package, data.matrix, ("0", "1"))
    assert np.array_equal(found[:, 1], second)
    assert np.abs(found.sum(axis=1) - 1).max() < 1e-6
    assert admit(package) == ""


@pytest.mark.parametrize("name", [name for name in ALL if name != "logistic_regression"])
def test_missing_values_go_the_librarys_way(name: str) -> None:
    """Also where no training row lacked a value: the graph is held against the library on all rows."""
    data = digits(missing=0.1)
    fitted = trainer_of(name)(data, Choice({}, recipe(name).trees), lambda trees: None)
    package = package_of(fitted, data, Cut(len(data), None), recipe(name))
    whole = np.full((3, 64), np.nan, np.float32, order="F")
    assert np.abs(scores(package, whole) - fitted.predict(whole)).max() < 5e-5


@pytest.mark.parametrize("name", [name for name in ALL if CONTINUED in TAKES[name]])
def test_a_model_goes_on_from_another(name: str) -> None:
    """All the trees of that one and as many again; one of other classes is refused."""
    data = digits(4)
    first = train(data.part(slice(0, 400)), replace(recipe(name), holdout=0.0))
    assert first.continuation is not None
    base = BasePackage(first.title, first.digest, first.continuation, 0, 399 * 60_000)
    more = data.part(slice(400, len(data)))
    again = train(more, replace(recipe(name), base=base, holdout=0.0))
    assert class_metrics(more.labels, scores(again, more.matrix, DIGITS[:4]))["accuracy"] > 0.95
    other = digits(5)
    with pytest.raises((ConfigurationError, ContractError)):
        train(other, replace(recipe(name), base=base, holdout=0.0))


def test_rows_that_lack_a_class_are_refused() -> None:
    """A model that could never decide for it would be silently wrong."""
    data = replace(digits(3), classes=DIGITS[:4])
    with pytest.raises(ConfigurationError, match=r"none of 4.. rows to fit by is of the class 3; take a longer time"):
        train(data, recipe("lightgbm"))


@pytest.mark.parametrize(
    ("name", "objective"),
    [("lightgbm", "binary"), ("lightgbm", "multiclassova"), ("lightgbm", "regression"), ("xgboost", "binary:logistic")],
)
def test_other_objectives_are_refused(name: str, objective: str) -> None:
    """Chances of one class against the rest do not add up, and two classes are not ten."""
    with pytest.raises((ContractError, ConfigurationError), match="cannot be converted"):
        train(digits(), recipe(name, objective=objective))


def test_a_trainer_of_others_says_that_it_takes_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that does not is given two at most."""
    monkeypatch.setitem(TAKES, "lightgbm", frozenset())  # type: ignore[arg-type]  # a mapping to readers alone
    with pytest.raises(ConfigurationError, match="fits two classes, and the model has 10"):
        train(digits(), replace(recipe("lightgbm"), trees=None))


def test_the_best_window_has_the_least_loss() -> None:
    """Half of Brier's score decides between windows."""
    data = digits()
    wrong = replace(
        data, labels=np.where(np.arange(len(data)) < 600, (data.labels + 1) % 10, data.labels).astype(np.int8)
    )
    windows = [WindowCandidate(kind="all", name="all"), WindowCandidate(kind="since", name="new", start=600 * 60_000)]
    best, told = best_window(wrong, recipe("lightgbm"), windows, lambda window: pytest.fail("none goes on"))
    assert best.figures.name == "new"
    assert told[0].behind is not None
    assert told[0].behind[0] > 0
    assert best.losses.max() <= 1
    assert best.figures.metrics["brier"] == pytest.approx(float(best.losses.mean()))


def test_a_target_encoding_has_a_column_for_each_class() -> None:
    """Of each category the share of rows that are of the class; the graph makes the same."""
    wine = load_wine()
    again = 8
    target = np.tile(wine.target, again)
    kinds = np.where(np.tile(wine.data[:, 9], again) > 5, "dark", "light")  # by intensity of colour
    count = len(target)
    event = pa.StructArray.from_arrays([pa.array(kinds)], names=["kind"])
    times = pa.array(np.arange(count) * 60_000, pa.timestamp("ms", "UTC"))
    ids = pa.array([f"e{at}" for at in range(count)])
    table = pa.table({"event_id": ids, "event_time": times, "event": event})
    names = ("barolo", "grignolino", "barbera")
    rule = Labels("id", "v", classes=True, names=names)
    labels = pa.table({"event_id": ids, "value": target.astype(np.float64), "label_time": times})
    categories = {"kind": Category("target")}
    data = assemble(table, labels, ["kind"], rule, 10**15, None, categories, classes=names)
    encoder = encoder_of(data, categories)
    assert encoder.names == tuple(f"kind (target {name})" for name in names)
    (table_of_kinds,) = encoder.tables
    for place, kind in enumerate(data.declared["kind"].levels or ()):
        of_kind = np.bincount(target[kinds == kind], minlength=3)
        prior = PRIOR_ROWS * np.bincount(target) / count
        wanted = (of_kind + prior) / (of_kind.sum() + PRIOR_ROWS)
        assert np.abs(table_of_kinds.rows[place] - wanted).max() < 1e-6
    package = train(data, Recipe("m", "1", trainer="logistic_regression", categories=categories, holdout=0))
    assert admit(package) == ""
    assert scores(package, data.matrix, names).shape == (count, 3)


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 6), st.integers(1, 40), st.randoms(use_true_random=False))
def test_figures_are_scikit_learns(classes: int, count: int, random: Any) -> None:
    """Of any rows, also where classes are missing."""
    draw = np.random.default_rng(random.randint(0, 2**32))
    labels = draw.integers(0, classes, count)
    chances = draw.dirichlet(np.ones(classes), count)
    found = class_metrics(labels, chances)
    chosen = chances.argmax(axis=1)
    assert found["accuracy"] == pytest.approx(accuracy_score(labels, chosen))
    assert found["macro_f1"] == pytest.approx(f1_score(labels, chosen, average="macro", zero_division=0))
    assert found["log_loss"] == pytest.approx(log_loss(labels, chances, labels=range(classes)))


def test_a_fit_is_the_same_again() -> None:
    """To the digest."""
    data = digits(4)
    for name in ALL:
        assert train(data, recipe(name)).digest == train(data, recipe(name)).digest


def test_fit_tells_progress() -> None:
    """Rounds are counted, not the trees of each class."""
    told: list[int] = []
    fit(digits(3), Cut(500, None), recipe("lightgbm"), told.append)
    assert told[-1] == 20
