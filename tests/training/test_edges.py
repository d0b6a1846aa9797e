"""At the edges of 32-bit numbers a graph goes the way of the library that grew it, or the library refuses them too."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.domain.models.checks.graph_policy import inspect
from headrace.domain.models.package import Input, Manifest, ModelPackage, pack
from headrace.domain.models.sessions import SessionSettings, open_session
from headrace.domain.training.dataset import Dataset
from headrace.domain.training.model_build import PARITY
from headrace.domain.training.trainer import Choice, Fitted, trainer_of
from headrace.errors import ConfigurationError

WIDTH = 4
SMALL = np.float32(1e-35)
"""What LightGBM takes for zero."""
LEAST = np.float32(1.4e-45)
EDGES = np.array(
    [
        *(sign * value for value in (0.0, LEAST, 1e-38, 1e-36, 1e-30, 1.0, 3e38, 1e30) for sign in (1, -1)),
        *(np.nextafter(sign * SMALL, np.float32(to)) for sign in (1, -1) for to in (-np.inf, np.inf)),
        *(SMALL, -SMALL, np.nan, np.inf, -np.inf, np.finfo(np.float32).max, -np.finfo(np.float32).max),
    ],
    np.float32,
)
"""Values that a comparison may take the wrong way."""
TRAINERS: list[tuple[str, dict[str, Any], int | None]] = [
    ("lightgbm", {"min_data_in_leaf": 5}, 12),
    ("lightgbm", {"min_data_in_leaf": 5, "use_missing": False}, 12),
    ("lightgbm", {"min_data_in_leaf": 5, "max_bin": 5, "min_data_in_bin": 1}, 12),
    ("lightgbm", {"min_data_in_leaf": 5, "zero_as_missing": True}, 12),
    ("xgboost", {}, 12),
    ("xgboost", {"tree_method": "exact"}, 12),
    ("random_forest", {"max_depth": 5}, 8),
    ("random_forest", {}, 4),
    ("decision_tree", {"max_depth": 6}, None),
]


def strange(rng: np.random.Generator, rows: int, infinite: bool) -> np.ndarray:
    """A matrix whose columns are of one kind each: plain, with gaps, of edges alone, tiny, large, mostly zero."""
    edges = EDGES if infinite else EDGES[~np.isinf(EDGES)]
    kinds = {
        "plain": lambda: rng.normal(size=rows),
        "gaps": lambda: np.where(rng.random(rows) < 0.3, np.nan, rng.normal(size=rows)),
        "constant with gaps": lambda: np.where(rng.random(rows) < 0.4, np.nan, 1.5),
        "edges": lambda: rng.choice(edges, rows),
        "edges among plain": lambda: np.where(rng.random(rows) < 0.3, rng.choice(edges, rows), rng.normal(size=rows)),
        "tiny": lambda: rng.normal(size=rows) * 1e-35,
        "far smaller": lambda: rng.normal(size=rows) * 1e-40,
        "large": lambda: np.clip(rng.normal(size=rows) * 1e38, -3e38, 3e38),
        "mostly zero": lambda: np.where(rng.random(rows) < 0.7, 0.0, rng.normal(size=rows)),
        "infinite": lambda: rng.choice([np.inf, -np.inf, 0.5, 1.5] if infinite else [0.5, 1.5], rows),
    }
    chosen = rng.choice(list(kinds), WIDTH)
    with np.errstate(over="ignore", under="ignore"):
        return np.asfortranarray(np.column_stack([kinds[kind]() for kind in chosen]).astype(np.float32))


def truths(rng: np.random.Generator, matrix: np.ndarray) -> np.ndarray:
    """Labels that hang on what is strange in the columns, so that trees ask for it."""
    signs = np.where(np.isnan(matrix), 1.5, np.sign(matrix) + (np.abs(matrix) > 1e-35) + np.isinf(matrix))
    margin = signs @ rng.normal(size=WIDTH)
    with np.errstate(over="ignore"):
        margin = margin + np.nan_to_num(np.clip(matrix[:, 0], -2, 2))
    return (rng.random(len(matrix)) < 1 / (1 + np.exp(-(margin - np.median(margin))))).astype(np.int8)


def packed(model: Fitted) -> ModelPackage:
    """The graph in a package of its own."""
    return pack(Manifest(name="m", version="1", inputs=tuple(Input(name=f"f{i}") for i in range(WIDTH))), model.graph)


def asked(rng: np.random.Generator, model: Fitted, matrix: np.ndarray, infinite: bool) -> np.ndarray:
    """Rows of thresholds, of their neighbours, of edges, of what was trained on, mixed."""
    found = [EDGES, matrix.reshape(-1)[:200]]
    for node in inspect(packed(model)).graph.node:
        for attribute in node.attribute:
            if attribute.name == "nodes_values":
                at = np.unique(np.array(attribute.floats, np.float32))[:200]
                at = at[np.abs(at) < np.finfo(np.float32).max]
                found += [at, np.nextafter(at, np.float32(-np.inf)), np.nextafter(at, np.float32(np.inf))]
    values = np.concatenate(found)
    values = values if infinite else values[~np.isinf(values)]
    rows = rng.choice(values, (1500, WIDTH))
    kept = rng.random(rows.shape) < 0.5
    rows[kept] = matrix[rng.integers(len(matrix), size=len(rows))][kept]
    return np.asfortranarray(rows)


@pytest.mark.slow
@given(seed=st.integers(0, 10**6), case=st.sampled_from(TRAINERS))
@settings(max_examples=40, deadline=None)
def test_every_trainer_goes_the_librarys_way(seed: int, case: tuple[str, dict[str, Any], int | None]) -> None:
    """Missing, infinite, tiny, huge values and neighbours of thresholds get the library's score, on both paths."""
    name, parameters, trees = case
    rng = np.random.default_rng(seed)
    infinite = name == "lightgbm"
    matrix = strange(rng, 400, infinite)
    data = Dataset(tuple(f"f{i}" for i in range(WIDTH)), matrix, truths(rng, matrix), np.arange(400) * 60_000)
    model = trainer_of(name)(data, Choice(parameters, trees), lambda trees: None)
    rows = asked(rng, model, matrix, infinite)
    wanted = model.predict(rows)
    for executor in ("auto", "onnxruntime"):
        session = open_session(packed(model), SessionSettings(executor=executor, device="cpu", rows=512))  # type: ignore[arg-type]  # two of three
        np.testing.assert_allclose(session.run(rows), wanted, atol=PARITY, rtol=0, err_msg=executor)


@pytest.mark.parametrize("name", ["xgboost", "random_forest", "decision_tree", "logistic_regression"])
def test_libraries_that_take_no_infinity_say_so(name: str) -> None:
    """Where the library cannot take an infinite value, training says which input has one, and what to do."""
    rng = np.random.default_rng(0)
    matrix = np.asfortranarray(rng.normal(size=(300, WIDTH)).astype(np.float32))
    matrix[7, 2] = -np.inf
    data = Dataset(tuple(f"f{i}" for i in range(WIDTH)), matrix, (matrix[:, 0] > 0).astype(np.int8), np.arange(300))
    with pytest.raises(ConfigurationError, match="infinite values, of 300 rows: f2 in 1; keep them out"):
        trainer_of(name)(data, Choice({}, None), lambda trees: None)
