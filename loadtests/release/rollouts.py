"""Rollouts of candidates: how often each rule says harm for nothing, and how soon where there is harm."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import beta, norm

from headrace.domain.release.margin import Margin
from headrace.domain.release.paired_evidence import Floats, PairedEvidence
from loadtests.drift.figures import markdown
from loadtests.release.simulated_pairs import beyond, models

ALPHA = 0.05
DAILY, DAYS = 100, 30
"""Events of a day, and days that somebody looks."""
STRIKES = 3
EQUAL = (("balanced", 0.3), ("balanced", 0.5), ("rare", 0.3), ("rare", 1.5), ("odd", 0.0947))
MANY_SEEDS = 101
"""Rollouts that a median is made of."""


@dataclass(frozen=True, slots=True)
class Case:
    """A candidate of so much noise, held against a margin: a share of the champion's loss."""

    kind: str
    noise: float
    share: float = 0.0


HARMFUL = (
    *(Case("balanced", noise) for noise in (0.4, 0.5, 0.8, 1.5, 2.5)),
    *(Case("rare", noise) for noise in (0.5, 0.8, 1.5, 2.5)),
)
SAFE = tuple(Case(kind, 0.3, share) for kind in ("balanced", "rare") for share in (0.05, 0.1, 0.2))


@dataclass(frozen=True, slots=True)
class FalseStatements:
    """Of rollouts at the boundary, the upper 95% bound of how often each rule said something: harm but for `safety`."""

    harm: float
    safety: float
    strikes: float
    daily_test: float


def upper_bound(hits: int, runs: int) -> float:
    """Of a share, 95% one-sided (Clopper and Pearson 1934)."""
    return float(beta.ppf(0.95, hits + 1, runs - hits)) if hits < runs else 1.0


def trace(columns: tuple[Floats, Floats, Floats], margin: Margin, foreseen: bool = True) -> tuple[Floats, Floats]:
    """The logarithm of the evidence for (harm, safety) after each event."""
    evidence = PairedEvidence(margin)
    if foreseen:
        evidence.foresee(*columns[:2])
    return evidence.take(*columns)


def promoted_trace(
    before: tuple[Floats, Floats, Floats], promoted: int, after: tuple[Floats, Floats, Floats], margin: Margin
) -> tuple[Floats, Floats]:
    """The same of a model that is promoted after so many of the events `before`, whose scores are known before their
    labels; what comes `after` is known as it comes. Bets on harm are shared out anew between.
    """
    evidence = PairedEvidence(margin)
    evidence.foresee(*before[:2])
    first = evidence.take(*(column[:promoted] for column in before))
    evidence.rebalance()
    second = evidence.take(*after)
    return np.append(first[0], second[0]), np.append(first[1], second[1])


def false_statements(kind: str, noise: float, runs: int) -> FalseStatements:
    """Rollouts in which the candidate loses by exactly the margin more, so that neither statement is so.

    Beside them: `STRIKES` days in a row on which it lost more than that, and a z-test of all events at the end of each
    day (one-sided, `ALPHA`).
    """
    draw = np.random.default_rng(1)
    boundary = max(beyond(kind, noise)[0], 0.0)
    hits = np.zeros(4, np.int64)
    for _ in range(runs):
        columns = models(draw, kind, noise, DAILY * DAYS)
        over = [bool(each.max() >= -math.log(ALPHA)) for each in trace(columns, Margin(0.0, boundary))]
        x = (columns[0] - columns[2]) ** 2 - (columns[1] - columns[2]) ** 2 - boundary
        hits += [*over, struck(x), daily_z_test(x)]
    return FalseStatements(*(upper_bound(int(count), runs) for count in hits))


def struck(x: Floats) -> bool:
    """Whether so many days in a row were bad."""
    bad = x.reshape(-1, DAILY).mean(axis=1) > 0
    return bool(np.convolve(bad, np.ones(STRIKES), "valid").max() >= STRIKES)


def daily_z_test(x: Floats) -> bool:
    """Whether a z-test said harm at the end of any day."""
    count = DAILY * np.arange(1, len(x) // DAILY + 1)
    mean = np.cumsum(x)[DAILY - 1 :: DAILY] / count
    variance = np.cumsum(x**2)[DAILY - 1 :: DAILY] / count - mean**2
    return bool(np.any(mean > norm.ppf(1 - ALPHA) * np.sqrt(variance / count)))


def events_needed(case: Case, alpha: float, foreseen: bool, runs: int = MANY_SEEDS) -> float:
    """The median of events until what is so is said; infinite where that takes three times what it should."""
    draw = np.random.default_rng(2)
    side = 0 if beyond(case.kind, case.noise, case.share)[0] > 0 else 1
    needed = []
    for _ in range(runs):
        columns = models(draw, case.kind, case.noise, int(3 * usual(case, alpha)) + 50)
        there = trace(columns, Margin(case.share), foreseen)[side] >= -math.log(alpha)
        needed.append(float(np.argmax(there)) + 1 if there.any() else math.inf)
    return float(np.median(needed))


def usual(case: Case, alpha: float) -> float:
    """log(1 / alpha) / g, g the growth of the best fixed bet, about."""
    mean, deviation = beyond(case.kind, case.noise, case.share)
    return -math.log(alpha) * 2 * (deviation**2 + mean**2) / mean**2


def cost(events: int = 1_000_000) -> float:
    """CPU seconds an event."""
    columns = models(np.random.default_rng(3), "rare", 0.8, events)
    evidence = PairedEvidence(Margin())
    evidence.take(*(column[:10] for column in columns))
    begun = time.process_time()
    evidence.take(*columns)
    return (time.process_time() - begun) / events


def false_table(runs: int) -> str:
    """How often rules are wrong."""
    rows = []
    for kind, noise in EQUAL:
        found = false_statements(kind, noise, runs)
        shares = (found.harm, found.safety, found.strikes, found.daily_test)
        margin = max(beyond(kind, noise)[0], 0.0)
        rows.append([kind, f"{noise:g}", f"{margin:.4f}", *(f"{share:.1%}" for share in shares)])
    heads = ["events", "noise", "margin", "harm", "safety", f"{STRIKES} bad days in a row", "daily z-test"]
    return markdown(heads, rows)


def power_table(cases: Sequence[Case]) -> str:
    """How soon what is so is said."""
    rows = []
    for case in cases:
        mean, deviation = beyond(case.kind, case.noise, case.share)
        cells = []
        for alpha in (0.05, 0.01):
            best = usual(case, alpha)
            for foreseen in (True, False):
                median = events_needed(case, alpha, foreseen)
                cells.append(f"{median:,.0f} ({median / best:.2f})" if math.isfinite(median) else "over 3 times")
        own = [case.kind, f"{case.noise:g}", f"{case.share:.0%}", f"{mean:+.4f}", f"{mean / deviation:+.3f}"]
        rows.append([*own, *cells])
    heads = ["events", "noise", "margin", "D", "D / s", "alpha .05", "not foreseen", "alpha .01", "not foreseen"]
    return markdown(heads, rows)
