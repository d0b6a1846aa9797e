"""Our detector in trials: how often it alarms where nothing changes, and how soon after a change."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa

from headrace.domain.drift.bets import bets_on
from headrace.domain.drift.e_detector import LOOKED, EDetector
from headrace.domain.drift.reference_bins import Bytes, Floats, ReferenceBins, numeric_bins
from loadtests.drift.streams import SHIFTS, Draw, Shift

MISSED = 10**9
"""In the place of a delay: no alarm within the horizon."""
BEFORE = 4_096
"""Events without a change before one begins."""
HORIZON = 60_000
FEATURES = 30
PIECE = 50_000
Rows = Callable[[Draw, int], Bytes]


def alarms(detector: EDetector, places: Bytes, asked: Sequence[tuple[int, float]]) -> list[int]:
    """How many there are in the first so many events against a threshold; the sums begin anew after each."""
    whole = detector.advance(detector.begin(), places)
    found = []
    for span, threshold in asked:
        over = np.flatnonzero(whole[: span // LOOKED] >= threshold)
        again = _alarms(detector, places[(int(over[0]) + 1) * LOOKED : span], threshold) if len(over) else -1
        found.append(again + 1)
    return found


def _alarms(detector: EDetector, places: Bytes, threshold: float) -> int:
    found, at, state = 0, 0, detector.begin()
    while at < len(places):
        over = np.flatnonzero(detector.advance(state, places[at : at + PIECE]) >= threshold)
        if len(over):
            found, at, state = found + 1, at + (int(over[0]) + 1) * LOOKED, detector.begin()
        else:
            at += PIECE
    return found


def detector_of(bins: Sequence[ReferenceBins], features: int | None = None) -> EDetector:
    """A detector of these features, or of these among so many."""
    weights = np.full(len(bins), 1 / (features or len(bins)))
    return EDetector(bins, [bets_on(each) for each in bins], weights=weights)


def places_of(bins: Sequence[ReferenceBins], rows: Callable[[int], Floats]) -> Bytes:
    """The bin of each value, events x columns, of columns made one after the other."""
    return np.column_stack([each.place(pa.array(rows(at))) for at, each in enumerate(bins)])


def delays(seed: int, reference: int = 50_000, asked: float = 100_000.0) -> dict[str, int]:
    """Events from each change of one feature of 30 to the alarm.

    The sums of columns do not depend on one another: those of the 29 others are made once.
    """
    draw = np.random.default_rng([seed, 1])
    others = [numeric_bins(draw.standard_normal(reference)) for _ in range(FEATURES - 1)]
    rest = detector_of(others, FEATURES)
    still = places_of(others, lambda at: draw.standard_normal(BEFORE + HORIZON))
    evidence = rest.advance(rest.begin(), still)[BEFORE // LOOKED :]
    return {name: _delay(draw, shift, reference, evidence, asked) for name, shift in SHIFTS.items()}


def _delay(draw: Draw, shift: Shift, reference: int, rest: Floats, asked: float) -> int:
    bins = shift.bins(shift.values(draw, reference, False))
    detector = detector_of([bins], FEATURES)
    state = detector.begin()
    for rows, changed in ((BEFORE, False), (HORIZON, True)):
        values = shift.values(draw, rows, changed)
        evidence = detector.advance(state, bins.place(shift.column(values))[:, None])
    over = np.flatnonzero(evidence + rest >= asked)
    return (int(over[0]) + 1) * LOOKED if len(over) else MISSED
