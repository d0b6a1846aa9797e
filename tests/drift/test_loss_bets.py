"""Evidence for harm and for another concept: rarely for nothing, soon for what matters."""

from __future__ import annotations

import numpy as np
import pytest

from headrace.domain.drift.harm.loss_bets import SUMS, loss_bets
from headrace.domain.drift.harm.loss_reference import NOWHERE, LossReference, chance_losses, value_losses
from headrace.domain.drift.harm.score_groups import chance_groups
from headrace.domain.drift.reference_bins import Floats
from loadtests.drift.harm import TOLERANCE, boundary, drawn, first_hours, population, shares, worse

RUNS = 500


def hours(known: LossReference, rows: int, places: Floats, hourly: int, runs: int) -> tuple[Floats, Floats, Floats]:
    """Hours until harm, another concept and harm by estimate are said, float64, infinite where they are not."""
    draw = np.random.default_rng(1)
    found = [first_hours(known, rows, places, hourly, draw) for _ in range(runs)]
    harm, concept, estimate = ([getattr(each, name) for each in found] for name in ("harm", "concept", "estimate"))
    return np.array(harm), np.array(concept), np.array(estimate)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["balanced", "rare"])
def test_harm_at_the_bound_is_rarely_said(kind: str) -> None:
    """500 references of 5,000 rows and streams whose loss is exactly what is tolerated: one of 20 at most, ever."""
    known = population(kind)
    harm, _, _ = hours(known, 5_000, shares(known, turned=boundary(known)), 1_000, RUNS)
    assert np.isfinite(harm).mean() <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / RUNS)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["balanced", "rare"])
def test_scores_that_move_and_stay_right_are_no_other_concept(kind: str) -> None:
    """A calibrated model on other rows: 500 references of 5,000 rows, and streams of 40,000 outcomes each."""
    known = population(kind)
    _, concept, _ = hours(known, 5_000, shares(known, moved=0.7), 1_000, RUNS)
    assert np.isfinite(concept).mean() <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / RUNS)


@pytest.mark.parametrize(
    ("kind", "turned", "harm_within", "concept_within"),
    [("balanced", 0.15, 8_000, 800), ("balanced", 0.3, 700, 400), ("rare", 0.02, 1_500, 800)],
)
def test_labels_that_turn_are_seen(kind: str, turned: float, harm_within: int, concept_within: int) -> None:
    """The median of outcomes until harm, and another concept, are said; no estimate sees it."""
    known = population(kind)
    harm, concept, estimate = hours(known, 20_000, shares(known, turned=turned), 400, 40)
    assert np.median(harm) * 400 <= harm_within
    assert np.median(concept) * 400 <= concept_within
    assert np.isinf(estimate).all()


def test_scores_that_move_to_where_more_is_lost_are_harm_without_labels() -> None:
    """Both the estimate and labels say so, the former sooner."""
    known = population("rare")
    harm, _, estimate = hours(known, 20_000, shares(known, moved=0.5), 400, 40)
    assert np.median(estimate) <= np.median(harm) < np.inf


def test_bets_pay_one_at_most_in_the_mean() -> None:
    """On the reference itself, whatever the bet; of values too."""
    draw = np.random.default_rng(3)
    values = draw.normal(size=5_000)
    errors = value_losses(values, (draw.normal(size=5_000) * (1 + np.abs(values))) ** 2)
    assert errors is not None
    for reference in (population("balanced", 5_000), population("rare", 5_000), errors):
        bets = loss_bets(reference, TOLERANCE)
        known = reference.counts.ravel() / reference.rows
        assert np.all(known @ np.exp(bets.outcomes[:, SUMS:]) <= 1)
        cells = reference.counts.sum(axis=1) / reference.rows
        assert np.all(cells @ np.exp(bets.answers[:, SUMS:]) <= 1)
        assert bets.mean < bets.tolerated < 1.4 * bets.mean


def test_errors_that_grow_are_harm_and_another_concept() -> None:
    """Of values: squared errors of a model that is off by half as much again."""
    draw = np.random.default_rng(4)
    values = draw.normal(size=20_000)
    reference = value_losses(values, draw.normal(size=20_000) ** 2)
    assert reference is not None
    bets = loss_bets(reference, TOLERANCE)

    def won(factor: float) -> Floats:
        places = reference.places(draw.normal(size=5_000), (factor * draw.normal(size=5_000)) ** 2)
        found: Floats = bets.outcomes[places].sum(axis=0)
        return found

    assert bets.harm(won(1.0)) < 1
    assert bets.concept(won(1.0)) < 1
    assert bets.harm(won(1.5)) > 1
    assert bets.concept(won(1.5)) > 1
    assert bets.concept(won(0.5)) > 1


def test_chances_are_set_right_by_what_came_true() -> None:
    """Scores that claim half of what comes true stand for twice as much; of few rows bounds are wide."""
    draw = np.random.default_rng(5)
    scores = draw.beta(2, 8, 50_000) / 2
    labels = (draw.random(50_000) < 2 * scores).astype(np.float64)
    many, few = chance_losses(scores, labels), chance_losses(scores[:500], labels[:500])
    assert many is not None
    assert few is not None
    rows = many.counts.sum(axis=1)
    known = rows > 400
    groups = many.groups
    assert many.scores is not None
    assert np.abs(groups.chances / (2 * many.scores) - 1)[known].max() < 0.15
    wide = few.groups.most - few.groups.least
    assert wide[few.counts.sum(axis=1) > 5].mean() > 2 * (groups.most - groups.least)[known].mean()
    assert np.all((groups.least <= groups.chances) & (groups.chances <= groups.most))


def test_nothing_known_of_a_group_leaves_it_open() -> None:
    """No row came true, or all did: bounds reach to what rows cannot exclude."""
    scores = np.array([0.3, 0.7])
    none = chance_groups(scores, np.array([[40, 0], [40, 0]]), 1.0)
    every = chance_groups(scores, np.array([[0, 40], [0, 40]]), 1.0)
    assert none.least.max() < 1e-4
    assert 0.01 < none.most.min() < none.most.max() < 0.3
    assert every.most.min() > 1 - 1e-4
    assert every.least.min() > 0.7


def test_rows_without_score_or_label_are_nowhere() -> None:
    """They say nothing."""
    reference = population("balanced", 1_000)
    places = reference.places(np.array([np.nan, 0.3, 0.3]), np.array([1.0, np.nan, 1.0]))
    assert places.tolist()[:2] == [NOWHERE, NOWHERE]
    assert places[2] == 2 * reference.cells(np.array([0.3]))[0] + 1
    assert LossReference.of(reference.dump()).dump() == reference.dump()
    assert chance_losses(np.array([np.nan]), np.array([1.0])) is None


@pytest.mark.parametrize(
    "change",
    [
        {"edges": [0.5, 0.5]},
        {"counts": [[1, 2]]},
        {"scores": [2.0] * 130},
        {"inflations": [0.5, 1.0, 1.0]},
        {"inflations": [1.0]},
        {"counts": [[1, -1]] * 130},
    ],
)
def test_losses_that_are_none_are_refused(change: dict[str, object]) -> None:
    """Cells, counts or chances that do not fit together."""
    with pytest.raises((ValueError, KeyError, TypeError)):
        LossReference.of(population("balanced", 1_000).dump() | change)


@pytest.mark.parametrize("kind", ["balanced", "rare"])
def test_enough_outcomes_see_most_changes_of_concept(kind: str) -> None:
    """Of those that cost as much as is said, on a reference of 5,000 rows; of two rows nobody can tell any."""
    known = population(kind)
    bets = drawn(known, 5_000, np.random.default_rng(2))
    assert bets.enough is not None
    assert bets.discerned is not None
    low, high = 0.0, 0.5
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if worse(known, turned=middle) > 1 + bets.discerned else (middle, high)
    _, concept, _ = hours(known, 5_000, shares(known, turned=low), bets.enough // 10, 40)
    assert (concept <= 20).mean() > 0.6
    assert drawn(known, 2, np.random.default_rng(2)).enough is None
