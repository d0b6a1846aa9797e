"""Figures that gates may ask for, of two models on the same labelled rows, each with an interval of the difference.

Areas and values by drawing rows anew (`paired_tests.differences`); means of rows and ratios of counts by what each row
adds to them (`influence_functions`); figures at a depth by their spread over days; the calibration error by drawing
rows, for it is no mean. All intervals are of one look at one sample.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace.domain.pipeline.release.gate_rules import AT_DEPTH, OF_QUANTITIES
from headrace.domain.quality import calibration, ranking
from headrace.domain.quality.comparison.influence_functions import normal, payoffs, spread
from headrace.domain.quality.comparison.losses import paired_losses
from headrace.domain.quality.comparison.paired_tests import Difference, differences
from headrace.domain.quality.comparison.pairs import Floats, Ints, Pair
from headrace.domain.quality.decisions import DecisionWorth
from headrace.domain.quality.score_table import LEAST_CAP, tabulated
from headrace.domain.quality.statistics.proportions import Interval
from headrace.domain.quality.top_k_entities import ranked

DAY = 86_400_000
OF_ROWS = ("brier_score", "log_loss", "value_per_event")
REDRAWN = 200
"""Times that rows are drawn anew for a calibration error."""
TINY = float(np.finfo(np.float64).eps)
LEAST_DAYS = 2


def paired_figures(
    pair: Pair,
    names: Collection[str],
    times: Ints,
    entities: pa.Array | None = None,
    worth: DecisionWorth | None = None,
) -> dict[str, Difference]:
    """The named figures of the champion (`a`) and the candidate (`b`); those that rows cannot tell are missing.

    Args:
        pair: labelled rows.
        names: as `gate_rules.is_figure` knows them.
        times: int64 [rows], event times in milliseconds: figures at a depth are of a day.
        entities: whom rows are of; for `entity_precision_at_`.
        worth: what decisions are worth; for `value`.
    """
    if not len(pair):
        return {}
    found: dict[str, Difference] = {}
    if set(names) & set(OF_QUANTITIES):
        found |= _quantities(pair, names)
    else:
        found |= differences(pair, worth, names=names)
        found |= _means(pair, names, worth)
        found |= _ratios(pair, names)
        if "calibration_error" in names and (error := _calibration_error(pair)) is not None:
            found["calibration_error"] = error
        for name in names:
            if name.startswith(AT_DEPTH) and (depth := _at_depth(name, pair, times, entities)) is not None:
                found[name] = depth
    return {name: found[name] for name in names if name in found}


def _quantities(pair: Pair, names: Collection[str]) -> dict[str, Difference]:
    found = paired_losses(pair)
    if not found:
        return {}
    squared = found["mean_squared_error"]
    error = (squared.interval.high - squared.interval.low) / 2
    a, b = math.sqrt(squared.a), math.sqrt(squared.b)
    # To the first order: the root of a mean that is off by e is off by e / (2 root).
    slope = a + b
    if slope > 0 and "root_mean_square_error" in names:
        reach = error / slope
        found["root_mean_square_error"] = Difference(a, b, b - a, Interval(b - a - reach, b - a + reach), squared.p)
    variance = float(np.var(pair.labels)) if "r2" in names else 0.0
    if variance > 0:
        gain = (squared.a - squared.b) / variance
        reach = error / variance
        found["r2"] = Difference(
            1 - squared.a / variance, 1 - squared.b / variance, gain, Interval(gain - reach, gain + reach), squared.p
        )
    return found


def _means(pair: Pair, names: Collection[str], worth: DecisionWorth | None) -> dict[str, Difference]:
    """Means over rows: what each model loses, or earns, at each."""
    if len(pair) < 2 or set(names).isdisjoint(OF_ROWS):
        return {}
    positive = pair.labels > 0
    rows: dict[str, tuple[Floats, Floats]] = {}
    chances = all(np.all((scores >= 0) & (scores <= 1)) for scores in (pair.a, pair.b))
    if chances and "brier_score" in names:
        truth = positive.astype(np.float64)
        rows["brier_score"] = (pair.a - truth) ** 2, (pair.b - truth) ** 2
    if chances and "log_loss" in names:
        rows["log_loss"] = _surprise(pair.a, positive), _surprise(pair.b, positive)
    if worth is not None and "value_per_event" in names:
        rows["value_per_event"] = payoffs(positive, pair.flagged_a, worth), payoffs(positive, pair.flagged_b, worth)
    return {
        name: normal(float(a.mean()), float(b.mean()), math.sqrt(spread(b - a)) / len(pair))
        for name, (a, b) in rows.items()
    }


def _surprise(scores: Floats, positive: npt.NDArray[np.bool_]) -> Floats:
    found: Floats = -np.log(np.clip(np.where(positive, scores, 1 - scores), TINY, 1 - TINY))
    return found


def _ratios(pair: Pair, names: Collection[str]) -> dict[str, Difference]:
    """Shares of rows among rows: precision of those flagged, recall of positives."""
    positive = pair.labels > 0
    found = {}
    for name in {"precision", "recall"} & set(names):
        shares = []
        for flagged in (pair.flagged_a, pair.flagged_b):
            hits, whole = flagged & positive, flagged if name == "precision" else positive
            shares.append((hits, whole, int(whole.sum())))
        if all(size for *_, size in shares):
            a, b = (float(hits.sum() / size) for hits, _, size in shares)
            first, second = (
                (hits - value * whole) / size for (hits, whole, size), value in zip(shares, (a, b), strict=True)
            )
            found[name] = normal(a, b, math.sqrt(spread(second - first)))
    return found


def _calibration_error(pair: Pair) -> Difference | None:
    a, b = _expected_error(pair.a, pair.labels), _expected_error(pair.b, pair.labels)
    if a is None or b is None:
        return None
    generator = np.random.default_rng(0)
    drawn = []
    for _ in range(REDRAWN):
        rows = generator.integers(0, len(pair), len(pair))
        labels = pair.labels[rows]
        first, second = _expected_error(pair.a[rows], labels), _expected_error(pair.b[rows], labels)
        assert first is not None, "scores are the same ones"
        assert second is not None, "twice"
        drawn.append(second - first)
    low, high = np.quantile(drawn, [0.025, 0.975]).tolist()
    sides = min(sum(each <= 0 for each in drawn), sum(each >= 0 for each in drawn))
    return Difference(a, b, b - a, Interval(low, high), min(1.0, 2 * (sides + 1) / (REDRAWN + 1)))


def _expected_error(scores: Floats, labels: Floats) -> float | None:
    found = calibration.reliability(tabulated(scores, labels, max(LEAST_CAP, len(scores))))
    return None if found is None else found.expected_error


def _at_depth(name: str, pair: Pair, times: Ints, entities: pa.Array | None) -> Difference | None:
    """A mean over days (UTC); None with fewer than two of them, of which nobody knows how they differ."""
    k = int(name.rpartition("_")[2])
    by_entity = name.startswith("entity_")
    if k < 1 or (by_entity and entities is None):
        return None
    days: list[tuple[float, float]] = []
    for rows in _days(times):
        of_models = []
        for scores in (pair.a[rows], pair.b[rows]):
            labels = pair.labels[rows]
            table = (
                ranked(entities.take(pa.array(rows)), scores, labels, k)
                if by_entity and entities is not None
                else tabulated(scores, labels, max(LEAST_CAP, len(rows)))
            )
            of_models.append(ranking.precision_at(table, k))
        if None not in of_models:
            days.append((of_models[0] or 0.0, of_models[1] or 0.0))
    if len(days) < LEAST_DAYS:
        return None
    figures = np.array(days)
    error = math.sqrt(spread(figures[:, 1] - figures[:, 0]) / (len(days) - 1) / len(days))
    a, b = figures.mean(axis=0).tolist()
    return normal(a, b, error)


def _days(times: Ints) -> Iterator[Ints]:
    days = times // DAY
    for day in np.unique(days):
        yield np.flatnonzero(days == day)
