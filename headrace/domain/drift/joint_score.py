"""Scores of several features together, for changes that leave each of them alone.

Features are taken as the normal scores of their bins. One score is a row's squared distance from the reference,
measured by the reference's own correlations (Mahalanobis 1936): whichever pairs no longer go together as they did,
rows lie farther out. The others are products of the two scores of the pairs that are most correlated: a distance over
many features hardly moves by one weak pair, their product does. Each is binned and bet on like any feature.

What is learnt from the reference is learnt from the first half of its rows, and the bins are those of the second half:
rows that a score was fitted on lie closer than any others will.

What they do not see: features that begin to go together and did not before, as long as none of the pairs is theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from headrace.columnar.jit import frozen, kernel
from headrace.domain.drift.e_detector import NOTHING
from headrace.domain.drift.reference_bins import Bytes, Floats, Ints, ReferenceBins, halved_bins

RIDGE = 0.02
"""Added to each feature's own variance of 1: features that all but repeat each other make no distance of noise."""
FEWEST, MOST = 8, 16
"""Pairs that are watched one by one: half as many as there are features, within these."""
VARIES = 1e-6
"""The least standard deviation of a feature's normal scores."""
CORRELATED = 0.1
"""The least correlation of such a pair."""
DISTANCE, PAIRS = 0.04, 0.06
"""What is laid on the distance and on all pairs together, of what is laid on all columns."""


@dataclass(frozen=True, slots=True, eq=False)
class JointScore:
    """Further columns that are made of the bins of numeric features.

    Attributes:
        features: int64: the places of the features among the columns that it is made of.
        scores: float64, features x bins: the normal score of each bin.
        whitening: float64, features x features, lower triangle: rows times its transpose have the unit covariance.
        pairs: int64, pairs x 2: places in `features`.
        bins: of each further column: the distance, then the pairs.
    """

    features: Ints
    scores: Floats
    whitening: Floats
    pairs: Ints
    bins: tuple[ReferenceBins, ...]

    def place(self, places: Bytes) -> Bytes:
        """The bins of the further columns, uint8, events x columns.

        Args:
            places: uint8, events x all columns: the bin of each value. An event that says nothing of one of the
                features says nothing of any further column; a missing value is in the middle.
        """
        values = self.values(places)
        silent = np.isnan(values[:, 0])
        found = np.column_stack(
            [each.place(pa.array(column)) for each, column in zip(self.bins, values.T, strict=True)]
        )
        found[silent] = NOTHING
        return found

    def values(self, places: Bytes) -> Floats:
        """The scores before they are binned, float64, events x further columns; NaN where nothing is said."""
        found = np.empty((len(places), 1 + len(self.pairs)))
        _score(
            frozen(np.ascontiguousarray(places)), self.features, self.scores, self.whitening.T.copy(), self.pairs, found
        )
        return found


def joint_score_on(bins: Sequence[ReferenceBins], places: Bytes) -> JointScore | None:
    """Learn it from a reference; None where there are not two numeric features that vary.

    Args:
        bins: of all columns.
        places: uint8, rows of the reference in their order x columns.
    """
    half = len(places) // 2
    numeric = [at for at, each in enumerate(bins) if each.edges is not None]
    width = max((len(bins[at].counts) for at in numeric), default=0)
    table = np.zeros((len(numeric), width))
    for row, at in zip(table, numeric, strict=True):
        scores = bins[at].normal_scores
        if scores is not None:
            row[: len(scores)] = scores
    rows = (
        np.column_stack([table[row][places[:half, at]] for row, at in enumerate(numeric)]) if numeric else np.empty(0)
    )
    kept = np.flatnonzero(rows.std(axis=0) > VARIES) if rows.size else np.empty(0, np.int64)
    if len(kept) < 2:
        return None
    rows = rows[:, kept]
    scale = rows.std(axis=0)
    correlation = np.corrcoef(rows.T) + RIDGE * np.eye(len(kept))
    whitening = np.linalg.inv(np.linalg.cholesky(correlation))
    first, second = np.triu_indices(len(kept), 1)
    strength = np.abs(correlation[first, second])
    order = np.lexsort((second, first, -np.round(strength, 9)))
    wanted = order[strength[order] >= CORRELATED][: int(np.clip(len(kept) // 2, FEWEST, MOST))]
    made = JointScore(
        np.array(numeric, np.int64)[kept],
        np.ascontiguousarray(table[kept] / scale[:, None]),
        np.ascontiguousarray(whitening),
        np.ascontiguousarray(np.column_stack([first[wanted], second[wanted]]).astype(np.int64)),
        (),
    )
    binned = tuple(halved_bins(column)[0] for column in made.values(places[half:]).T)
    return JointScore(made.features, made.scores, made.whitening, made.pairs, binned)


def others_of(score: JointScore, places: Bytes) -> list[Ints]:
    """Of each further column, int64 by bin: the rows of the reference that had no part in making it, see `halved_bins`.

    Args:
        places: as `joint_score_on` had them.
    """
    rows = score.place(np.ascontiguousarray(places[len(places) // 2 :][1::2]))
    return [
        np.bincount(column, minlength=NOTHING + 1)[: len(bins.counts)].astype(np.int64)
        for bins, column in zip(score.bins, rows.T, strict=True)
    ]


def weights_with(columns: int, joint: JointScore | None) -> Floats:
    """What is laid on each column of a detector: on so many, and on the further ones after them; the sum is 1.

    >>> weights_with(4, None).tolist()
    [0.25, 0.25, 0.25, 0.25]
    """
    further = np.empty(0)
    if joint is not None:
        pairs = len(joint.pairs)
        further = np.append(DISTANCE + (0.0 if pairs else PAIRS), np.full(pairs, PAIRS / max(pairs, 1)))
    return np.append(np.full(columns, (1 - further.sum()) / max(columns, 1)), further)


@kernel("~u1[:,::1] i8[::1] f8[:,::1] f8[:,::1] i8[:,::1] f8[:,::1]")
def _score(places: Bytes, features: Ints, scores: Floats, across: Floats, pairs: Ints, found: Floats) -> None:
    """In an order that is the same for any cut of the events; `across` is the whitening, transposed."""
    count = len(features)
    held, white = np.empty(count), np.empty(count)
    for event in range(len(places)):
        told = True
        for at in range(count):
            place = places[event, features[at]]
            told = told and place != NOTHING
            held[at] = scores[at, place] if place != NOTHING else 0.0
            white[at] = 0.0
        if not told:
            found[event, :] = np.nan
            continue
        for at in range(count):
            score = held[at]
            for to in range(at, count):
                white[to] += across[at, to] * score
        total = 0.0
        for at in range(count):
            total += white[at] * white[at]
        found[event, 0] = total
        for at in range(len(pairs)):
            found[event, 1 + at] = held[pairs[at, 0]] * held[pairs[at, 1]]
