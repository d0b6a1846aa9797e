"""What watching costs: nanoseconds of one core an event and feature."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pyarrow as pa

from headrace.domain.drift.joint_score import joint_score_on
from headrace.domain.drift.reference_bins import numeric_bins
from headrace.domain.drift.witnesses import Witness
from loadtests.drift.figures import Figures, Spread, markdown
from loadtests.drift.joint import Flip, placed
from loadtests.drift.trials import FEATURES, detector_of

EVENTS, ROUNDS = 100_000, 5


def measure(seeds: int, spread: Spread) -> Figures:
    """Placing, the sums, both; and ADWIN beside them. The best of some rounds each."""
    draw = np.random.default_rng(1)
    bins = [numeric_bins(draw.standard_normal(50_000)) for _ in range(FEATURES)]
    detector = detector_of(bins)
    columns = [pa.array(draw.standard_normal(EVENTS)) for _ in bins]
    places = np.column_stack([each.place(column) for each, column in zip(bins, columns, strict=True)])
    values = draw.standard_normal(EVENTS)
    placing = _best(lambda: [each.place(column) for each, column in zip(bins, columns, strict=True)]) / FEATURES
    layout = _best(lambda: np.column_stack(list(places.T))) / FEATURES
    sums = _best(lambda: detector.advance(detector.begin(), places)) / FEATURES
    pairs = Flip(0.3, 20_000, 1)
    known = pairs.rows(draw, pairs.reference)
    own = [numeric_bins(np.ascontiguousarray(column)) for column in known.T]
    rows = placed(own, known)
    joint = joint_score_on(own, rows)
    scores = _best(lambda: joint.place(rows) if joint else None) * EVENTS / rows.size
    return {
        "costs": {
            "binning": placing,
            "rows from columns": layout,
            "sums of bets, looked at every other event": sums,
            "all in": placing + layout + sums,
            "joint scores, where they are watched: making and binning them": scores,
            "river's ADWIN": _best(lambda: Witness("ADWIN").listen(values)),
        }
    }


def _best(work: Callable[[], object]) -> float:
    taken = []
    for _ in range(ROUNDS):
        begun = time.process_time()
        work()
        taken.append(time.process_time() - begun)
    return min(taken) / EVENTS * 1e9


def table(figures: Figures) -> str:
    """Each step."""
    return markdown(["step", "ns an event and feature"], [[name, f"{ns:.0f}"] for name, ns in figures["costs"].items()])
