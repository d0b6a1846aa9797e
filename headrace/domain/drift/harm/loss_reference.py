"""What a model lost on rows that it was not fitted on, by its score: what harm is measured against.

Scores lie in cells, outcomes beside them: of a chance whether it came true, of a value how far it was off. A row is its
place, the pair of both, one byte. What a place loses is the same number on the reference and ever after (Brier's score
of the cell's mean, or the mean squared error of a bin, of which the last has no end), so sums over rows are sums over
counts of places: they depend on no order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from headrace.domain.drift.bets import inflation_of
from headrace.domain.drift.harm.score_groups import ScoreGroups, chance_groups, log_odds
from headrace.domain.drift.reference_bins import Floats, Ints, between

NOWHERE = 255
"""In the place of a row that says nothing: it has no score, or no label."""
CERTAIN = 1e-6
"""Chances count as no closer to 0 and 1."""
BINARY = 2
GRID = 1 / (1 + np.exp(-np.linspace(-9, 9, 61)))
"""Chances at which a cell of scores ends in any case: within one, a score and its mean differ by little."""
SHARES = np.arange(1, 60) / 60
"""Shares of the reference's rows below which a cell of scores ends too."""
VALUE_CELLS = np.arange(1, 10) / 10
ERROR_BINS = (*(np.arange(1, 20) / 20).tolist(), 0.98, 0.99, 0.995)
"""Shares of rows below the bounds of bins of errors: what is beyond the last counts as its mean."""


@dataclass(frozen=True, slots=True, eq=False)
class LossReference:
    """Rows that a model was judged by, counted.

    Attributes:
        edges: float64, ascending, of the cells of scores: cell i holds scores in (edges[i - 1], edges[i]].
        counts: int64, cells x outcomes: of chances the outcomes are 0 and 1, of values bins of errors.
        losses: float64, cells x outcomes, what each place loses.
        scores: float64, cells: the chance that a cell stands for; None of values.
        bounds: float64, ascending, of the bins of squared errors; None of chances.
        inflations: how much more sums of rows vary, one after the other, than those of independent ones (see
            `inflation_of`): of losses, of the losses that scores let expect, of the difference of both.
    """

    edges: Floats
    counts: Ints
    losses: Floats
    scores: Floats | None
    bounds: Floats | None
    inflations: tuple[float, float, float] = (1.0, 1.0, 1.0)

    @property
    def rows(self) -> int:
        """Of the reference."""
        return int(self.counts.sum())

    @property
    def mean(self) -> float:
        """Mean loss of them."""
        return float((self.counts * self.losses).sum() / self.rows)

    @property
    def groups(self) -> ScoreGroups:
        """Of chances: how often each came true."""
        assert self.scores is not None, "of chances alone"
        return chance_groups(self.scores, self.counts, self.inflations[2])

    @property
    def expected(self) -> Floats:
        """The loss that rows of each cell had on the reference, float64, by what its chances stood for there."""
        if self.scores is not None:
            chances = self.groups.chances
            found: Floats = chances * self.losses[:, 1] + (1 - chances) * self.losses[:, 0]
            return found
        rows = self.counts.sum(axis=1)
        return np.where(rows > 0, (self.counts * self.losses).sum(axis=1) / np.maximum(rows, 1), self.mean)

    def cells(self, scores: Floats) -> Ints:
        """The cell of each score (float64, no NaN), int64."""
        return np.searchsorted(self.edges, scores, side="left").astype(np.int64)

    def places(self, scores: Floats, truths: Floats) -> Ints:
        """The place of each row among `counts`, flat; `NOWHERE` where score or truth is NaN.

        Args:
            scores: float64.
            truths: float64, of chances the labels, of values the squared errors.
        """
        known = ~(np.isnan(scores) | np.isnan(truths))
        if self.bounds is None:
            outcome = (truths > 0.5).astype(np.int64)
        else:
            outcome = np.searchsorted(self.bounds, truths, side="left").astype(np.int64)
        return np.where(known, self.cells(scores) * self.counts.shape[1] + outcome, NOWHERE)

    def dump(self) -> dict[str, Any]:
        """As JSON has it."""
        of_chances = {} if self.scores is None else {"scores": self.scores.tolist()}
        of_values = {} if self.bounds is None else {"bounds": self.bounds.tolist(), "means": self.losses[0].tolist()}
        return {
            "edges": self.edges.tolist(),
            "counts": self.counts.tolist(),
            "inflations": list(self.inflations),
            **of_chances,
            **of_values,
        }

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> LossReference:
        """What `dump` wrote. Raises ValueError, KeyError or TypeError for anything else."""
        edges, counts = np.array(said["edges"], np.float64), np.array(said["counts"], np.int64)
        scores = np.array(said["scores"], np.float64) if "scores" in said else None
        if scores is not None:
            bounds, losses = None, _brier(scores)
            within = bool(((scores > 0) & (scores < 1)).all())
        else:
            bounds, means = (np.array(said[name], np.float64) for name in ("bounds", "means"))
            losses = np.tile(means, (len(edges) + 1, 1))
            within = len(means) == len(bounds) + 1 and bool((means >= 0).all() and (np.diff(bounds) > 0).all())
        if losses.shape != counts.shape or len(counts) != len(edges) + 1 or counts.size >= NOWHERE or not within:
            raise ValueError("losses by score do not fit their cells")
        if not np.isfinite(edges).all() or not np.isfinite(losses).all() or not (np.diff(edges) > 0).all():
            raise ValueError("the cells of losses by score do not ascend")
        if (counts < 0).any() or counts.sum() < 1:
            raise ValueError("losses by score are of no rows")
        inflations = tuple(map(float, said["inflations"]))
        if len(inflations) != 3 or not all(1.0 <= each < np.inf for each in inflations):
            raise ValueError(f"inflations of {inflations}")
        return cls(edges, counts, losses, scores, bounds, inflations)


def chance_losses(scores: Floats, labels: Floats) -> LossReference | None:
    """The reference of chances and of what came true (float64, NaN where not known), in the order of their time.

    None without any row of which both are known.

    >>> found = chance_losses(np.array([0.2, 0.2, 0.9]), np.array([0.0, 1.0, 1.0]))
    >>> found.rows, round(found.mean, 3)
    (3, 0.23)
    """
    known = ~(np.isnan(scores) | np.isnan(labels))
    chances, truths = np.clip(scores[known], CERTAIN, 1 - CERTAIN), labels[known] > 0.5
    if not len(chances):
        return None
    edges = np.unique(np.concatenate([GRID, between(np.sort(chances), SHARES)]))
    cells = np.searchsorted(edges, chances, side="left")
    counts = np.bincount(cells * BINARY + truths, minlength=(len(edges) + 1) * BINARY).reshape(-1, BINARY)
    rows = counts.sum(axis=1)
    means = np.bincount(cells, chances, len(rows)) / np.maximum(rows, 1)
    middles = _middles(edges)
    stand = np.clip(np.where(rows > 0, means, middles), CERTAIN, 1 - CERTAIN)
    made = LossReference(edges, counts.astype(np.int64), _brier(stand), stand, None)
    return _with_inflations(made, cells, truths.astype(np.int64))


def value_losses(scores: Floats, errors: Floats) -> LossReference | None:
    """The reference of values and their squared errors (float64, NaN where not known), in the order of their time.

    None without any row of which both are known.
    """
    known = ~(np.isnan(scores) | np.isnan(errors))
    values, off = scores[known], errors[known]
    if not len(values):
        return None
    edges = between(np.sort(values), VALUE_CELLS)
    bounds = between(np.sort(off), np.array(ERROR_BINS))
    cells, bins = np.searchsorted(edges, values, side="left"), np.searchsorted(bounds, off, side="left")
    outcomes = len(bounds) + 1
    counts = np.bincount(cells * outcomes + bins, minlength=(len(edges) + 1) * outcomes).reshape(-1, outcomes)
    means = np.bincount(bins, off, outcomes) / np.maximum(np.bincount(bins, minlength=outcomes), 1)
    losses = np.tile(means, (len(edges) + 1, 1))
    made = LossReference(edges, counts.astype(np.int64), losses, None, bounds)
    return _with_inflations(made, cells, bins)


def _brier(scores: Floats) -> Floats:
    """What each outcome of each chance loses, float64, cells x (came not true, came true)."""
    return np.column_stack([scores**2, (1 - scores) ** 2])


def _with_inflations(made: LossReference, cells: Ints, outcomes: Ints) -> LossReference:
    lost, expected = made.losses[cells, outcomes], made.expected[cells]
    inflations = inflation_of(lost), inflation_of(expected), inflation_of(lost - expected)
    return LossReference(made.edges, made.counts, made.losses, made.scores, made.bounds, inflations)


def _middles(edges: Floats) -> Floats:
    """Chances in the middle of cells, by their log odds; of the outermost the one edge that there is."""
    odds = log_odds(edges)
    middles = np.concatenate([odds[:1], (odds[:-1] + odds[1:]) / 2, odds[-1:]])
    found: Floats = 1 / (1 + np.exp(-middles))
    return found
