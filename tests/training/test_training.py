"""From features and labels to a package whose graph says what LightGBM says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.domain.drift.reference_profile import DECISION, said_of
from headrace.domain.models.package import Input, Manifest, load, pack
from headrace.domain.models.sessions import SessionSettings, open_session
from headrace.domain.models.store import ModelStore
from headrace.domain.pipeline.scorecards.spec import Worth
from headrace.domain.pipeline.spec import Event, Labels, Model, Pipeline
from headrace.domain.plans.plans import CHAMPION, Arm, Plan
from headrace.domain.training import model_build as trainer
from headrace.domain.training.bootstrap import train_offline
from headrace.domain.training.conversion import convert
from headrace.domain.training.dataset import Dataset, labels_of, split
from headrace.domain.training.evaluation import auc_roc, average_precision, evaluate
from headrace.domain.training.graphs import round_down
from headrace.domain.training.model_build import Recipe, Tuning, train
from headrace.errors import ConfigurationError, ContractError

HOUR = 3_600_000
DAY = 24 * HOUR
RULE = Labels("id", "fraud", matures_after=7 * DAY, unlabelled_is=0.0)


def rows(count: int = 4000, width: int = 5, seed: int = 0, missing: float = 0.0) -> Dataset:
    """Rows a minute apart whose label hangs on the first two inputs."""
    rng = np.random.default_rng(seed)
    matrix = np.asfortranarray(rng.gamma(2.0, 30.0, (count, width)).astype(np.float32))
    labels = (rng.random(count) < 1 / (1 + np.exp(4 - matrix[:, 0] / 30 - (matrix[:, 1] > 80)))).astype(np.int8)
    matrix[rng.random(matrix.shape) < missing] = np.nan
    return Dataset(tuple(f"v.f{i}" for i in range(width)), matrix, labels, np.arange(count) * 60_000)


def scores(booster: lgb.Booster, matrix: np.ndarray) -> np.ndarray:
    """What the converted booster answers."""
    names = tuple(Input(name=f"f{i}") for i in range(matrix.shape[1]))
    package = pack(Manifest(name="m", version="1", inputs=names), convert(booster))
    return open_session(package, SessionSettings(device="cpu")).run(matrix)


def splits_of(node: dict[str, Any]) -> list[tuple[int, float]]:
    """Feature and threshold of every split at and below a node of LightGBM's dump."""
    if "threshold" not in node:
        return []
    below = [split for side in ("left_child", "right_child") for split in splits_of(node[side])]
    return [(node["split_feature"], node["threshold"]), *below]


@pytest.mark.parametrize("missing", [0.0, 0.2])
def test_conversion_on_thresholds(missing: float) -> None:
    """Values that stand exactly on a threshold, or are missing, go the way LightGBM sends them."""
    data = rows(missing=missing)
    booster = lgb.train({"objective": "binary", "verbosity": -1}, lgb.Dataset(data.matrix, data.labels), 30)
    splits = [split for tree in booster.dump_model()["tree_info"] for split in splits_of(tree["tree_structure"])]
    matrix = data.matrix.copy()
    for place in range(5):
        values = np.array([threshold for feature, threshold in splits if feature == place])
        assert len(values), "a feature that no tree asks for tests nothing"
        around = np.concatenate([values, np.nextafter(values, -np.inf), np.nextafter(values, np.inf), [np.nan, 0.0]])
        matrix[: len(around), place] = around.astype(np.float32)[: len(matrix)]
    np.testing.assert_allclose(scores(booster, matrix), booster.predict(matrix), atol=1e-6)


def test_constant_trees() -> None:
    """A booster that found no split is converted, too."""
    data = rows(200)
    parameters = {"objective": "binary", "verbosity": -1, "min_data_in_leaf": 500}
    booster = lgb.train(parameters, lgb.Dataset(data.matrix, data.labels), 3)
    np.testing.assert_allclose(scores(booster, data.matrix), booster.predict(data.matrix), atol=1e-6)


@pytest.mark.parametrize(
    ("parameters", "categorical"),
    [({"objective": "poisson"}, "auto"), ({"objective": "binary"}, [0]), ({"linear_tree": True}, "auto")],
)
def test_what_cannot_be_converted(parameters: dict[str, Any], categorical: Any) -> None:
    """Objectives and splits that the graph could not repeat are refused."""
    data = rows()
    matrix = data.matrix.copy()
    matrix[:, 0] = np.round(matrix[:, 0] / 50)
    given = {"objective": "binary", "verbosity": -1, **parameters}
    booster = lgb.train(given, lgb.Dataset(matrix, data.labels, categorical_feature=categorical), 5)
    with pytest.raises(ContractError, match="cannot be converted"):
        convert(booster)


@given(st.floats(-(2.0**100), 2.0**100), st.floats(-(2.0**100), 2.0**100, width=32))
@settings(max_examples=300, deadline=None)
def test_rounding_down_keeps_sides(threshold: float, value: float) -> None:
    """Every 32-bit number lies on the same side of the rounded threshold as of the exact one."""
    assert (value <= threshold) == (value <= round_down(np.array([threshold]))[0])


@pytest.mark.slow
def test_package() -> None:
    """A package says what it was made of, and its metrics are those of rows it never saw."""
    data = rows()
    package = train(data, Recipe("m", "1", offsets={"p.features": {0: (5, 4005)}}, gap=HOUR, revision="abc"))
    manifest = package.manifest
    assert manifest.input_names == data.inputs
    assert manifest.training.offsets == {"p.features": {0: (5, 4005)}}
    assert manifest.training.end <= data.times[-1] * 0.75 - HOUR
    assert manifest.metrics["rows"] == pytest.approx(1000, abs=2)
    assert 0.65 < manifest.metrics["auc_roc"] < 0.95
    assert manifest.parameters["trees"] == 100
    assert manifest.revision == "abc"
    assert set(manifest.libraries) >= {"lightgbm", "onnxruntime"}
    assert all(len(profile) == len(trainer.QUANTILES) for profile in manifest.reference.values())


def test_reproducible() -> None:
    """The same rows and recipe give the same digest; another seed or version another."""
    data = rows(2000)
    recipe = Recipe("m", "1", trees=5, parameters={"bagging_fraction": 0.5, "bagging_freq": 1})
    assert train(data, recipe).digest == train(data, recipe).digest
    assert train(data, recipe).digest != train(data, Recipe("m", "2", trees=5)).digest


def test_rows_held_out_travel_with_the_model() -> None:
    """The package has the rows that it was judged by, as its own graph scores them; none where none were held out."""
    data = rows(2000)
    package = train(data, Recipe("m", "1", trees=5))
    kept, later = package.held_out, split(data, 0.25, 0)[1]
    assert kept is not None
    assert len(kept) == len(later)
    assert np.bincount(kept.labels).tolist() == np.bincount(later.labels).tolist()
    session = open_session(package, SessionSettings(executor="onnxruntime", device="cpu"))
    assert np.array_equal(np.sort(kept.scores), np.sort(session.run(later.matrix).astype(np.float64)))
    assert train(data, Recipe("m", "1", trees=5, holdout=0)).held_out is None


def test_a_threshold_that_is_chosen_by_rows_is_the_one_that_decisions_are_told_by() -> None:
    """All that the package says of decisions is by it: else they would have drifted before the first event."""
    data, worth = rows(), Worth(true_positive=1, false_positive=-2, false_negative=-60)
    recipe = Recipe("m", "1", trees=5, tuning=Tuning(rows(seed=1), worth))
    package, at_half = train(data, recipe), train(data, Recipe("m", "1", trees=5))
    chosen = package.manifest.threshold
    assert chosen < 0.5
    assert package.manifest.tuned is not None
    fixed = train(data, Recipe("m", "1", trees=5, threshold=chosen))
    assert package.reference is not None
    assert fixed.reference is not None
    assert at_half.reference is not None
    told, right, wrong = (
        said_of(each.answers[DECISION]) for each in (package.reference, fixed.reference, at_half.reference)
    )
    assert told == right != wrong
    assert package.reference.dump() == fixed.reference.dump()


@pytest.mark.parametrize("count", [10, 150])
def test_too_few_rows(count: int) -> None:
    """Too few rows on either side are said with the remedy."""
    with pytest.raises(ConfigurationError, match="take a longer time"):
        train(rows(count), Recipe("m", "1"))


def test_rows_of_one_time_cannot_be_held_out() -> None:
    """Where all rows have one time no part of it is the last; the remedy is to hold nothing out."""
    data = rows()
    still = replace(data, times=np.full(len(data), data.times[0]))
    with pytest.raises(ConfigurationError, match=r"have one time.*--holdout 0"):
        train(still, Recipe("m", "1", trees=5))
    assert train(still, Recipe("m", "1", trees=5, holdout=0)).manifest.training.rows == len(data)


def test_split_leaves_a_gap() -> None:
    """Nothing is fitted on that is newer than the gap before the judged rows."""
    data = rows()
    fitted, held_out = split(data, 0.25, 5 * HOUR)
    assert held_out.times[0] - fitted.times[-1] > 5 * HOUR
    assert len(held_out) == pytest.approx(1000, abs=2)


def test_split_of_a_short_time() -> None:
    """A gap longer than the data takes a quarter of what is fitted, at most."""
    fitted, _ = split(rows(), 0.25, 365 * DAY)
    assert len(fitted) == pytest.approx(4000 * 0.75 * 0.75, abs=2)


def stamps(*values: int) -> pa.Array:
    """Times."""
    return pa.array(values, pa.int64()).cast(pa.timestamp("ms", "UTC"))


def brute_auc(labels: np.ndarray, found: np.ndarray) -> float:
    """All pairs."""
    difference = found[labels > 0][:, None] - found[labels == 0]
    return float(((difference > 0) + 0.5 * (difference == 0)).mean())


def brute_precision(labels: np.ndarray, found: np.ndarray) -> float:
    """All thresholds."""
    total, before = 0.0, 0.0
    for threshold in sorted(set(found), reverse=True):
        taken = found >= threshold
        recall = labels[taken].sum() / labels.sum()
        total += (recall - before) * labels[taken].mean()
        before = recall
    return total


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=2, max_size=40))
@settings(max_examples=200, deadline=None)
def test_metrics_with_ties(pairs: list[tuple[bool, int]]) -> None:
    """Metrics equal their definitions, tied scores included."""
    labels = np.array([label for label, _ in pairs], np.int8)
    found = np.array([score / 5 for _, score in pairs])
    if 0 < labels.sum() < len(labels):
        assert auc_roc(labels, found) == pytest.approx(brute_auc(labels, found))
        assert average_precision(labels, found) == pytest.approx(brute_precision(labels, found))
    else:
        assert "auc_roc" not in evaluate(labels, found)


def pipeline() -> Pipeline:
    """A pipeline with one view."""
    return Pipeline("p", Event("e", "id", "at", "who"), Model("p_model", ("amount", "who.n")), labels=RULE)


def tables(count: int = 3000) -> tuple[pa.Table, pa.Table]:
    """Features and labels topics of it, a minute apart."""
    data = rows(count, width=2)
    ids = pa.array([f"e{i}" for i in range(count)])
    event = pa.StructArray.from_arrays([pa.array(data.matrix[:, 0].astype(float))], ["amount"])
    who = pa.StructArray.from_arrays([pa.array(data.matrix[:, 1].astype(np.int64))], ["n"])
    features = pa.table({"event_id": ids, "event_time": stamps(*data.times), "event": event, "who": who})
    events = pa.table({"id": ids, "at": features["event_time"], "fraud": data.labels})
    return features, labels_of(pipeline(), events)


def test_from_tables_to_a_plan(tmp_path: Path) -> None:
    """Tables become a stored package, and a plan that names it by digest."""
    store = ModelStore(str(tmp_path / "models"), tmp_path / "cache")
    features, labels = tables()
    grown: list[int] = []
    package, uri = train_offline(pipeline(), features, labels, store, "7", trees=20, progress=grown.append)
    assert grown == list(range(1, 21))
    assert load(store.fetch(uri, package.digest)) == package
    assert package.manifest.input_names == ("amount", "who.n")
    champion = Arm(CHAMPION, package.manifest.name, package.manifest.version, package.digest, uri)
    fact = Plan("p", 3, (champion,)).fact(1500, actor="me", reason="first")
    assert (fact["plan_version"], fact["time"], fact["arms"][0]["digest"]) == (3, 1500, package.digest)


def test_shuffled_features(tmp_path: Path) -> None:
    """The order in which partitions are read makes no difference."""
    store = ModelStore(str(tmp_path / "models"), tmp_path / "cache")
    features, labels = tables()
    mixed = features.take(pa.array(np.random.default_rng(0).permutation(len(features))))
    one, _ = train_offline(pipeline(), features, labels, store, "1", trees=5)
    other, _ = train_offline(pipeline(), mixed, labels, store, "1", trees=5)
    assert one.digest == other.digest


def test_events_without_labels() -> None:
    """Events whose truth is no column of theirs cannot be trained on directly."""
    with pytest.raises(ConfigurationError, match="carry no labels"):
        labels_of(pipeline(), pa.table({"id": ["a"]}))
