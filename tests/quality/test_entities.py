"""Precision of entities equals the Handbook's, day by day, also when their rows are spread over partitions."""

from __future__ import annotations

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from headrace.domain.quality.ranking import precision_at
from headrace.domain.quality.score_table import EMPTY
from headrace.domain.quality.top_k_entities import merged, ranked


def handbook(frame: pl.DataFrame, k: int) -> float:
    """Precision top-k of one day as the Handbook computes it (`card_precision_top_k_day`)."""
    best = frame.group_by("entity").max().sort("score", descending=True).head(k)
    return float((best["label"] == 1).sum() / k)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("k", [1, 10, 100])
def test_handbook(seed: int, k: int) -> None:
    """Whatever the partitions, a day's figure is the Handbook's."""
    random = np.random.default_rng(seed)
    who, scores = random.integers(0, 500, 2000), random.random(2000)
    labels = (random.random(2000) < scores**3).astype(int)
    parts = [np.flatnonzero(who % 5 == remainder) for remainder in range(5)]
    tables = [ranked(pa.array(who[part].astype(str)), scores[part], labels[part], k) for part in parts]
    whole = ranked(pa.array(who), scores, labels, k)
    day = merged(tables, k)
    assert day == merged(tables[::-1], k) == merged([merged(tables[:2], k), *tables[2:]], k) == whole
    assert len(day) <= k
    assert precision_at(day, k) == pytest.approx(
        handbook(pl.DataFrame({"entity": who, "score": scores, "label": labels}), k)
    )


def test_ties_at_the_border() -> None:
    """All entities tied with the last are kept, and each counts as their mean."""
    names = pa.array(["a", "b", "c", "d", "a"])
    day = ranked(names, np.array([0.9, 0.5, 0.5, 0.1, 0.2]), np.array([0, 1, 0, 1, 1.0]), 2)
    assert day.rows.tolist() == [2, 1]
    assert precision_at(day, 2) == 0.75


def test_few_entities() -> None:
    """With fewer entities than k all of them count, and none is a day without a figure."""
    day = ranked(pa.array(["a", "a"]), np.array([0.9, 0.5]), np.array([np.nan, 1.0]), 100)
    assert precision_at(day, 100) == 1.0
    assert merged([], 5) == EMPTY == ranked(pa.array([], pa.string()), np.zeros(0), np.zeros(0), 5)
