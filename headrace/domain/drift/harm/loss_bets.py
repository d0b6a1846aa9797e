"""Bets that a model is worse than its reference, and bets that a score no longer stands for what it stood for.

Each pays by the place of a row (see `LossReference`), and a mean of at most 1 as long as what it bets against holds,
given all rows before: so what a bet has won is a test martingale, the mean of several is one, from any row on, and it
ever reaches 20 with a chance of one in 20 at most (Ville 1939; Waudby-Smith and Ramdas, arXiv 2010.09686).

Harm: 1 + l (d - m), with d the loss as a share of the largest, and m what is tolerated: the reference's mean, its upper
bound because the reference is finite, and the tolerance on top. Estimated harm: the same of the loss that a score lets
expect. Concept: of chances q(y) / c(y), with c what the score stood for, at the end of its bounds that is nearest to
the bet q, which moves its log odds or turns a share of labels (as the calibration tests of Arnold, Henzi and Ziegel,
arXiv 2109.11761, are made); of values 1 + l (d - e) with e the bound of the expected loss of rows of that score. Where
rows follow one another, a bet pays its v-th root.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headrace.domain.drift.harm.loss_reference import LossReference
from headrace.domain.drift.harm.score_groups import BOUND, chance_of, log_odds
from headrace.domain.drift.reference_bins import Floats

THRESHOLD = 20.0
"""What the evidence must reach: in one of 20 cases at most it does for nothing."""
SURE = 1.96
"""Standard errors above the reference's mean loss to its upper bound: one reference in 40 is beyond."""
EXCESS = (0.03, 0.1, 0.3, 1.0, 3.0)
"""By how much of what is tolerated the loss exceeds it, in the bets on harm."""
STAKED = 0.75
"""The most that a bet loses at once."""
ODDS = (0.15, 0.4, 1.0)
"""By how much log odds move, either way, in the bets on another concept."""
TURNED = (0.03, 0.1, 0.3)
"""The share of labels that turn."""
RISES, FALLS = (0.15, 0.5, 1.5), (0.15, 0.4)
"""Of values, by how much the loss of a score rises or falls."""
LEAST_TOLERANCE = 0.05
"""A change of concept that costs less is not waited for."""
COSTS = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Multiples of the tolerance: the least that the reference can tell is what a change of concept must cost."""
MOST_WAITED = 20_000
"""Outcomes that are waited for at most, until a change counts as none of concept."""
FARTHEST = 50.0
"""The strongest tilt that is tried."""
LIKELY = 1.28
"""Standard deviations: nine of ten changes of concept are seen by then."""
SUMS = 5
"""Columns of a table before those of its bets: rows, their loss, its square, the loss that scores let expect, the
square of the difference."""


@dataclass(frozen=True, slots=True, eq=False)
class LossBets:
    """What each place means, and what is held against it.

    Attributes:
        outcomes: float64, places x (`SUMS`, bets on harm, bets on another concept), the latter logarithms of what each
            pays.
        answers: float64, cells of scores x (`SUMS`, bets on harm): of rows without labels; their loss is the expected
            one.
        harms: how many bets there are on harm.
        mean: mean loss of the reference.
        tolerated, estimate_tolerated: what losses, and expected ones, are held against.
        enough: rows with labels in which nine of ten changes of concept are seen that cost `discerned`; None where the
            reference is too small to tell any.
        discerned: by which share of the reference's loss they make it larger.
    """

    outcomes: Floats
    answers: Floats
    harms: int
    mean: float
    tolerated: float
    estimate_tolerated: float
    enough: int | None
    discerned: float | None

    def harm(self, won: Floats) -> float:
        """The evidence for harm over its threshold, by the sums of rows."""
        return _evidence(won[SUMS : SUMS + self.harms])

    def concept(self, won: Floats) -> float:
        """The evidence for another concept over its threshold, by the sums of rows with labels."""
        return _evidence(won[SUMS + self.harms : self.outcomes.shape[1]])


def loss_bets(reference: LossReference, tolerance: float) -> LossBets:
    """Bets that a reference can carry.

    Args:
        tolerance: by which share of the reference's mean loss a model may be worse, at least 0.
    """
    largest = float(reference.losses.max()) or 1.0
    counts, lost = reference.counts, reference.losses
    expected = reference.expected
    of_losses, of_expected, of_rest = reference.inflations
    by_outcome = np.broadcast_to(expected[:, None], lost.shape)
    mean = reference.mean
    tolerated = (1 + tolerance) * _upper(lost, counts, of_losses)
    share = counts.sum(axis=1)
    estimate_tolerated = (1 + tolerance) * _upper(expected, share, of_expected)
    harm = [each / of_losses for each in _on_harm(lost, counts, tolerated, largest)]
    likely = [each / of_expected for each in _on_harm(expected, share, estimate_tolerated, largest)]
    concept = _on_chances(reference) if reference.scores is not None else _on_values(reference, largest)
    concept = [each / of_rest for each in concept]
    enough, discerned = _enough(reference, np.stack(concept, axis=-1), max(tolerance, LEAST_TOLERANCE))
    sums = [np.ones_like(lost), lost, lost**2, by_outcome, (lost - by_outcome) ** 2]
    answers = [np.ones_like(expected), expected, expected**2, expected, np.zeros_like(expected)]
    return LossBets(
        np.stack([*sums, *harm, *concept], axis=-1).reshape(lost.size, -1),
        np.stack([*answers, *likely], axis=-1),
        len(EXCESS),
        mean,
        tolerated,
        estimate_tolerated,
        enough,
        discerned,
    )


def _enough(reference: LossReference, concept: Floats, tolerance: float) -> tuple[int | None, float | None]:
    """How many outcomes tell a change of concept, and what that costs at least.

    The change is the one that is nearest to the reference of all that cost as much (outcomes tilted by what they lose).

    Args:
        concept: float64, cells x outcomes x bets, logarithms of what each pays.
    """
    share = reference.counts.sum(axis=1) / reference.rows
    if reference.scores is not None:
        chances = reference.groups.chances
        usual = share[:, None] * np.column_stack([1 - chances, chances])
    else:
        usual = reference.counts / reference.rows
    goal = float(np.log(THRESHOLD * concept.shape[-1]))
    for cost in (tolerance * each for each in COSTS):
        changed = _tilted(usual, reference.losses, (1 + cost) * float((usual * reference.losses).sum()))
        if changed is None:
            return None, None
        growth = np.tensordot(changed, concept, axes=2)
        best = int(np.argmax(growth))
        g = float(growth[best])
        if g > 0:
            spread = LIKELY * float(np.sqrt((changed * (concept[:, :, best] - g) ** 2).sum()))
            rows = ((spread + np.sqrt(spread**2 + 4 * g * goal)) / (2 * g)) ** 2
            if rows <= MOST_WAITED:
                return int(np.ceil(rows)), cost
    return None, None


def _tilted(usual: Floats, lost: Floats, wanted: float) -> Floats | None:
    """Shares of places whose mean loss is as wanted, those of cells as they were; None where there are none such."""
    cells = usual.sum(axis=1, keepdims=True)
    scaled = lost / (float(lost.max()) or 1.0)

    def tilted(by: float) -> Floats:
        found = usual * np.exp(by * scaled)
        whole = found.sum(axis=1, keepdims=True)
        return np.where(whole > 0, found / np.maximum(whole, 1e-300) * cells, 0.0)

    low, high = 0.0, FARTHEST
    if float((tilted(high) * lost).sum()) < wanted:
        return None
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if float((tilted(middle) * lost).sum()) < wanted else (low, middle)
    return tilted(high)


def _evidence(won: Floats) -> float:
    return float(np.mean(np.exp(np.minimum(won, 600.0)))) / THRESHOLD


def _upper(lost: Floats, counts: np.ndarray[tuple[int, ...], np.dtype[np.int64]], inflation: float) -> float:
    """The upper bound of a mean loss; two of the largest losses more than were met, for what is rare."""
    rows = float(counts.sum())
    mean = float((counts * lost).sum()) / rows
    variance = float((counts * (lost - mean) ** 2).sum()) / rows
    return mean + SURE * float(np.sqrt(variance * inflation / rows)) + 2 * inflation * float(lost.max()) / rows


def _on_harm(
    lost: Floats, counts: np.ndarray[tuple[int, ...], np.dtype[np.int64]], tolerated: float, largest: float
) -> list[Floats]:
    d, m = lost / largest, tolerated / largest
    variance = float((counts * (d - m) ** 2).sum() / counts.sum())
    found = []
    for by in EXCESS:
        excess = by * m
        staked = min(excess / (variance + excess**2), STAKED / m) if m > 0 else 1.0
        found.append(np.log1p(staked * (d - m)))
    return found


def _on_chances(reference: LossReference) -> list[Floats]:
    groups = reference.groups
    least, most = groups.least, groups.most
    found = []
    for by in ODDS:
        found.append(_paid(chance_of(log_odds(most) + by), most))
        found.append(_paid(chance_of(log_odds(least) - by), least))
    for share in TURNED:
        base = np.where(most < 0.5, most, np.where(least > 0.5, least, 0.5))
        found.append(_paid(base + share * (1 - 2 * base), base))
    return found


def _paid(bet: Floats, base: Floats) -> Floats:
    """Logarithm of what a bet on another chance pays for each outcome, cells x 2."""
    return np.column_stack([np.log1p(-bet) - np.log1p(-base), np.log(bet) - np.log(base)])


def _on_values(reference: LossReference, largest: float) -> list[Floats]:
    counts, d = reference.counts, reference.losses / largest
    rows = np.maximum(counts.sum(axis=1), 1)
    mean = (reference.expected / largest)[:, None]
    variance = ((counts * (d - mean) ** 2).sum(axis=1) / rows)[:, None]
    inflation = reference.inflations[2]
    beyond = (BOUND * np.sqrt(variance * inflation / rows[:, None])) + 2 * inflation / rows[:, None]
    most, least = mean + beyond, np.maximum(mean - beyond, 0.0)
    found = []
    for by in RISES:
        excess = by * most
        found.append(np.log1p(np.minimum(excess / (variance + excess**2), STAKED / most) * (d - most)))
    for by in FALLS:
        excess = by * least
        staked = np.minimum(excess / np.maximum(variance + excess**2, 1e-300), STAKED / np.maximum(1 - least, 1e-9))
        found.append(np.log1p(-staked * (d - least)))
    return found
