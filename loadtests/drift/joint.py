"""How soon the correlation of two features is seen to turn, while each alone stays as it was."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from headrace.domain.drift.bets import bets_on
from headrace.domain.drift.e_detector import LOOKED, EDetector
from headrace.domain.drift.joint_score import joint_score_on, weights_with
from headrace.domain.drift.reference_bins import Bytes, Floats, ReferenceBins, numeric_bins
from loadtests.drift.figures import Figures, Spread, delay_cell, markdown, mean_and_bound
from loadtests.drift.streams import Draw
from loadtests.drift.trials import BEFORE, FEATURES, MISSED

ASKED = 100_000
HORIZON = 10_000
STRENGTHS = (0.6, 0.3, 0.15)
REFERENCES = (5_000, 50_000)


@dataclass(frozen=True, slots=True)
class Flip:
    """One of 15 correlated pairs of 30 features turns."""

    strength: float
    reference: int
    seed: int

    def rows(self, draw: Draw, count: int, flipped: int | None = None) -> Floats:
        """Rows of standard normal features; the pair that begins at `flipped` is the other way about."""
        made = draw.standard_normal((count, FEATURES))
        for at in range(0, FEATURES, 2):
            slope = -self.strength if at == flipped else self.strength
            made[:, at + 1] = slope * made[:, at] + np.sqrt(1 - slope**2) * made[:, at + 1]
        return made


def run(flip: Flip) -> dict[str, float]:
    """Delays with joint scores and without, false alarms with them."""
    draw = np.random.default_rng([flip.seed, flip.reference, round(100 * flip.strength)])
    known = flip.rows(draw, flip.reference)
    bins = [numeric_bins(np.ascontiguousarray(column)) for column in known.T]
    joint = joint_score_on(bins, placed(bins, known))
    if joint is None:
        raise ValueError("features that vary have a joint score")
    turned = int(draw.integers(FEATURES // 2)) * 2
    before, after = placed(bins, flip.rows(draw, BEFORE)), placed(bins, flip.rows(draw, HORIZON, turned))
    both = [*bins, *joint.bins]
    detector = EDetector(both, [bets_on(each) for each in both], weights=weights_with(FEATURES, joint))
    alone = EDetector(bins, [bets_on(each) for each in bins])
    still = placed(bins, flip.rows(draw, ASKED))
    return {
        "with": _delay(detector, np.hstack([before, joint.place(before)]), np.hstack([after, joint.place(after)])),
        "without": _delay(alone, before, after),
        "false": len(_over(detector, np.hstack([still, joint.place(still)]))),
    }


def placed(bins: list[ReferenceBins], rows: Floats) -> Bytes:
    """The bin of each value."""
    return np.column_stack([each.place(pa.array(np.ascontiguousarray(rows[:, at]))) for at, each in enumerate(bins)])


def _delay(detector: EDetector, before: Bytes, after: Bytes) -> int:
    state = detector.begin()
    detector.advance(state, before)
    over = np.flatnonzero(detector.advance(state, after) >= ASKED)
    return (int(over[0]) + 1) * LOOKED if len(over) else MISSED


def _over(detector: EDetector, places: Bytes) -> list[int]:
    """The first alarm of a stream without a change, if any."""
    return np.flatnonzero(detector.advance(detector.begin(), places) >= ASKED)[:1].tolist()


def measure(seeds: int, spread: Spread) -> Figures:
    """All strengths and references."""
    flips = [Flip(s, n, seed) for s in STRENGTHS for n in REFERENCES for seed in range(seeds)]
    found: dict[str, list[dict[str, float]]] = {}
    for flip, each in zip(flips, spread("joint shifts", run, flips), strict=True):
        found.setdefault(f"{flip.strength:+g} to {-flip.strength:+g}, reference {flip.reference:,}", []).append(each)
    return {"seeds": seeds, "flips": found}


def table(figures: Figures) -> str:
    """Delays and false alarms."""
    rows = []
    for name, runs in figures["flips"].items():
        false, bound = mean_and_bound([each["false"] for each in runs])
        delays = [delay_cell([round(each[kind]) for each in runs], MISSED) for kind in ("with", "without")]
        rows.append([name, *delays, f"{false:.2f} (≤ {bound:.2f})"])
    heads = ["correlation", "with joint scores", "features alone", "runs with a false alarm"]
    return markdown(heads, rows)
