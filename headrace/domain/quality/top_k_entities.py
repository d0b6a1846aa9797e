"""Whom a day's investigation would have caught: precision at k of entities, each known by its highest score.

A day is summarised as the score table of its highest entities. An entity's events lie in one partition, so the
partitions' tables have no entity in common and merge by addition. `ranking.precision_at` reads the figure. Its mean
over days is the "precision top-k" of the practical handbook of Le Borgne, Siblini, Lebichot and Bontempi (2022,
chapter Performance Metrics), but that the handbook divides by k on days with fewer entities, too.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace.domain.quality import score_table
from headrace.domain.quality.score_table import LEAST_CAP, ScoreTable, tabulated


def ranked(entities: pa.Array, scores: npt.NDArray[np.floating], labels: npt.NDArray[np.generic], k: int) -> ScoreTable:
    """The `k` highest entities of one day's rows, with all that are tied with the last of them.

    An entity scores its highest score and is positive when any of its rows is. Whoever is known already is to be left
    out by the caller.

    Args:
        entities: any type that Arrow can group by.
        scores: float32 or float64, finite.
        labels: above zero is positive; anything else, NaN too, is not.
        k: how many can be looked into.
    """
    positive = np.asarray(labels) > 0
    rows = pa.table({"entity": entities, "score": np.asarray(scores, np.float64), "positive": positive.view(np.int8)})
    groups = rows.group_by("entity").aggregate([("score", "max"), ("positive", "max")])
    highest = groups["score_max"].to_numpy()
    kept = highest >= (np.partition(highest, -k)[-k] if len(highest) > k else -np.inf)
    return _top(tabulated(highest[kept], groups["positive_max"].to_numpy()[kept], max(LEAST_CAP, len(highest))), k)


def merged(tables: Iterable[ScoreTable], k: int) -> ScoreTable:
    """The `k` highest entities of a day of which each table has a part; ties with the last are kept, all is exact."""
    parts = list(tables)
    return _top(score_table.merged(parts, max(LEAST_CAP, sum(len(part) for part in parts))), k)


def _top(table: ScoreTable, k: int) -> ScoreTable:
    above = np.cumsum(table.rows[::-1])[::-1] - table.rows
    kept = above < k
    return ScoreTable(table.scores[kept], table.positives[kept], table.negatives[kept], table.unlabelled[kept])
