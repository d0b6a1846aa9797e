"""Joint scores: they see what leaves every feature alone, and are the same for any cut of the events."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from headrace.domain.drift.bets import bets_on
from headrace.domain.drift.e_detector import LOOKED, NOTHING, EDetector
from headrace.domain.drift.joint_score import JointScore, joint_score_on, weights_with
from headrace.domain.drift.reference_bins import Bytes, Floats, ReferenceBins, category_bins, numeric_bins

FEATURES, ASKED = 6, 100_000


def rows(draw: np.random.Generator, count: int, flipped: int | None = None, strength: float = 0.4) -> Floats:
    """Features in pairs, each pair correlated; one may be the other way about."""
    made = draw.normal(size=(count, FEATURES))
    for at in range(0, FEATURES, 2):
        slope = -strength if at == flipped else strength
        made[:, at + 1] = slope * made[:, at] + np.sqrt(1 - slope**2) * made[:, at + 1]
    return made


def placed(bins: list[ReferenceBins], values: Floats) -> Bytes:
    """The bin of each value."""
    return np.column_stack([each.place(pa.array(values[:, at].copy())) for at, each in enumerate(bins)])


def reference(seed: int = 1) -> tuple[list[ReferenceBins], JointScore]:
    """Bins of the features, and their joint score."""
    known = rows(np.random.default_rng(seed), 20_000)
    bins = [numeric_bins(known[:, at].copy()) for at in range(FEATURES)]
    joint = joint_score_on(bins, placed(bins, known))
    assert joint is not None
    return bins, joint


@pytest.mark.parametrize("flipped", [0, 2, 4])
def test_a_flipped_correlation_is_seen_soon_and_by_features_alone_never(flipped: int) -> None:
    """Whichever pair it is; and what fired is a further column."""
    bins, joint = reference()
    draw = np.random.default_rng(flipped)
    before, after = placed(bins, rows(draw, 4_000)), placed(bins, rows(draw, 6_000, flipped))
    alone = EDetector(bins, [bets_on(each) for each in bins])
    state = alone.begin()
    alone.advance(state, before)
    assert (alone.advance(state, after) < ASKED).all()
    every = [*bins, *joint.bins]
    both = EDetector(every, [bets_on(each) for each in every], weights=weights_with(FEATURES, joint))
    state = both.begin()
    assert (both.advance(state, np.hstack([before, joint.place(before)])) < ASKED).all()
    evidence = both.advance(state, np.hstack([after, joint.place(after)]))
    assert np.flatnonzero(evidence >= ASKED)[0] * LOOKED < 600
    assert int(np.argmax(both.by_column(state))) >= FEATURES


def test_the_reference_lies_evenly_in_its_own_bins() -> None:
    """Fresh rows of the same kind fall into the bins as the reference says, though a score was fitted on it."""
    bins, joint = reference()
    fresh = joint.place(placed(bins, rows(np.random.default_rng(9), 50_000)))
    for at, each in enumerate(joint.bins):
        shares = np.bincount(fresh[:, at], minlength=len(each.counts)) / len(fresh)
        assert np.abs(shares - each.frequencies).max() < 0.015


def test_cuts_change_no_score() -> None:
    """An event's scores do not depend on the events around it, to the last bit."""
    bins, joint = reference()
    places = placed(bins, rows(np.random.default_rng(3), 500))
    parts = [joint.values(places[low : low + 7]) for low in range(0, 500, 7)]
    assert np.array_equal(np.concatenate(parts), joint.values(places))


def test_an_event_that_says_nothing_of_a_feature_says_nothing_of_them_together() -> None:
    """A missing value is another matter: it is in the middle."""
    bins, joint = reference()
    places = placed(bins, rows(np.random.default_rng(4), 4))
    places[1, 2] = NOTHING
    places[2, 2] = len(bins[2].counts) - 1
    found = joint.place(places)
    assert (found[1] == NOTHING).all()
    assert (found[[0, 2, 3]] != NOTHING).all()


def test_there_is_none_of_less_than_two_numeric_features() -> None:
    """Categories have no normal scores, and a constant none that vary."""
    draw = np.random.default_rng(5)
    bins = [
        numeric_bins(draw.normal(size=1_000)),
        numeric_bins(np.zeros(1_000)),
        category_bins(pa.array(["a", "b"] * 500)),
    ]
    assert joint_score_on(bins, np.zeros((1_000, 3), np.uint8)) is None
    assert weights_with(3, None).sum() == pytest.approx(1.0)
    assert weights_with(FEATURES, reference()[1]).sum() == pytest.approx(1.0)
