"""Our detector in trials: how often it alarms where nothing changes, and how soon after a change."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa

from headrace.domain.drift.bets import UNPROVED, Bets, bets_on, proved_bets_on
from headrace.domain.drift.e_detector import LEARNING, LOOKED, EDetector
from headrace.domain.drift.reference_bins import Bytes, Floats, ReferenceBins, numeric_bins
from loadtests.drift.streams import SHIFTS, Draw, Shift

MISSED = 10**9
"""In the place of a delay: no alarm within the horizon."""
BEFORE = 4_096
"""Events without a change before one begins."""
HORIZON = 60_000
FEATURES = 30
PIECE = 50_000
Column = Callable[[Floats], pa.Array]


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


def detector_of(bins: Sequence[ReferenceBins]) -> EDetector:
    """A detector of these features."""
    return EDetector(bins, [bets_on(each) for each in bins])


def places_of(bins: Sequence[ReferenceBins], rows: Callable[[int], Floats]) -> Bytes:
    """The bin of each value, events x columns, of columns made one after the other."""
    return np.column_stack([each.place(pa.array(rows(at))) for at, each in enumerate(bins)])


Reference = tuple[ReferenceBins, Bets]


def reference_of(bins: Callable[[Floats], ReferenceBins], column: Column, values: Floats, proved: bool) -> Reference:
    """Bins and bets by a reference's rows; what is proved is made of one half of them and proved by the other."""
    if not proved:
        made = bins(values)
        return made, bets_on(made)
    half = len(values) // 2
    made = bins(values[:half])
    others = np.bincount(made.place(column(values[half:])), minlength=len(made.counts)).astype(np.int64)
    return made, proved_bets_on(made, others, UNPROVED / FEATURES)


def delays(job: tuple[int, bool], reference: int = 50_000, asked: float = 100_000.0) -> dict[str, int]:
    """Events from each change of one feature of 30 to the alarm; by seed and whether all is proved.

    The sums of columns do not depend on one another: those of the 29 others are made once.
    """
    seed, proved = job
    draw = np.random.default_rng([seed, 1])
    others = [
        reference_of(numeric_bins, pa.array, draw.standard_normal(reference), proved) for _ in range(FEATURES - 1)
    ]
    rest = _among(others, proved)
    still = places_of([bins for bins, _ in others], lambda at: draw.standard_normal(BEFORE + HORIZON))
    evidence = rest.advance(rest.begin(), still)[BEFORE // LOOKED :]
    return {name: _delay(draw, shift, reference, evidence, asked, proved) for name, shift in SHIFTS.items()}


def _among(references: Sequence[Reference], proved: bool) -> EDetector:
    bins, bets = [bins for bins, _ in references], [bets for _, bets in references]
    return EDetector(bins, bets, weights=np.full(len(bins), 1 / FEATURES), learning=0.0 if proved else LEARNING)


def _delay(draw: Draw, shift: Shift, reference: int, rest: Floats, asked: float, proved: bool) -> int:
    known = reference_of(shift.bins, shift.column, shift.values(draw, reference, False), proved)
    detector = _among([known], proved)
    state = detector.begin()
    for rows, changed in ((BEFORE, False), (HORIZON, True)):
        values = shift.values(draw, rows, changed)
        evidence = detector.advance(state, known[0].place(shift.column(values))[:, None])
    over = np.flatnonzero(evidence + rest >= asked)
    return (int(over[0]) + 1) * LOOKED if len(over) else MISSED


def proved_alarms(seed: int, reference: int = 50_000, events: int = 100_000) -> int:
    """Alarms in so many events of 30 features without a change, where all is proved and one is asked for."""
    draw = np.random.default_rng([seed, 3])
    known = [reference_of(numeric_bins, pa.array, draw.standard_normal(reference), True) for _ in range(FEATURES)]
    places = places_of([bins for bins, _ in known], lambda at: draw.standard_normal(events))
    return alarms(_among(known, True), places, [(events, float(events))])[0]
