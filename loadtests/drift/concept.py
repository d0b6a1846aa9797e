"""How soon it is seen that labels turned in a region of the features, when they come a week late."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from headrace.domain.drift.bets import bets_on
from headrace.domain.drift.e_detector import LOOKED, EDetector
from headrace.domain.drift.reference_bins import Bytes, Floats, ReferenceBins, numeric_bins
from headrace.domain.drift.reference_profile import log_loss
from headrace.domain.drift.witnesses import Parameters, Witness
from loadtests.drift.figures import Figures, Spread, delay_cell, markdown, mean_and_bound
from loadtests.drift.streams import Draw
from loadtests.drift.trials import BEFORE, MISSED, alarms

ASKED = 100_000
HORIZON = 60_000
REFERENCE = 20_000
A_WEEK = 7_000
"""Events in a week: labels are so late."""
GRADUAL = 20_000
CHANGES: Mapping[str, tuple[float, bool]] = {
    "5% turn, sudden": (0.05, False),
    "20% turn, sudden": (0.2, False),
    "20% turn, gradual": (0.2, True),
}
"""The share of events in the region, and whether labels turn there within 20,000 events."""
RIVALS: Mapping[str, tuple[str, Parameters]] = {
    "DDM": ("DDM", {}),
    "DDM, threshold 5": ("DDM", {"drift_threshold": 5.0}),
    "EDDM": ("EDDM", {}),
    "ADWIN": ("ADWIN", {}),
    "HDDM_A": ("HDDMA", {}),
    "HDDM_W": ("HDDMW", {}),
}
OURS = "headrace"


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """What a model answered, and what came true."""

    scores: Floats
    labels: Floats

    @property
    def errors(self) -> Floats:
        """1 where the likelier class was not the one."""
        return ((self.scores > 0.5) != (self.labels > 0.5)).astype(float)


def judged(draw: Draw, events: int, region: float = 0.0, gradual: bool = False) -> Judged:
    """Scores that are true but in the region, whose share of all events is given."""
    scores = 1 / (1 + np.exp(-4 * draw.standard_normal(events)))
    labels = (draw.random(events) < scores).astype(float)
    turned = draw.random(events) < (np.minimum(1.0, np.arange(events) / GRADUAL) if gradual else 1.0)
    return Judged(scores, np.where((draw.random(events) < region) & turned, 1 - labels, labels))


def run(seed: int) -> dict[str, dict[str, float]]:
    """Delays by change, and false alarms in 100,000 events, of each detector."""
    draw = np.random.default_rng([seed, 4])
    known = judged(draw, REFERENCE)
    bins = [numeric_bins(log_loss(known.scores, known.labels)), numeric_bins(known.errors)]
    detector = EDetector(bins, [bets_on(each) for each in bins])
    before, still = judged(draw, BEFORE), judged(draw, ASKED)
    changed = {name: judged(draw, HORIZON, *change) for name, change in CHANGES.items()}
    found = {OURS: {"false": float(alarms(detector, _places(bins, still), [(ASKED, float(ASKED))])[0])}}
    start = detector.begin()
    detector.advance(start, _places(bins, before))
    for change, after in changed.items():
        over = np.flatnonzero(detector.advance(start.copy(), _places(bins, after)) >= ASKED)
        found[OURS][change] = _late((int(over[0]) + 1) * LOOKED if len(over) else None)
    for name, (kind, parameters) in RIVALS.items():
        own = found.setdefault(name, {"false": float(len(Witness(kind, parameters).listen(still.errors)))})
        for change, after in changed.items():
            witness = Witness(kind, parameters)
            witness.listen(np.concatenate([known.errors, before.errors]))
            told = witness.listen(after.errors)
            own[change] = _late(int(told[0]) - REFERENCE - BEFORE + 1 if len(told) else None)
    return found


def _places(bins: list[ReferenceBins], answered: Judged) -> Bytes:
    columns = (log_loss(answered.scores, answered.labels), answered.errors)
    return np.column_stack([each.place(pa.array(column)) for each, column in zip(bins, columns, strict=True)])


def _late(delay: int | None) -> float:
    return MISSED if delay is None else delay + A_WEEK


def measure(seeds: int, spread: Spread) -> Figures:
    """All detectors on the same streams."""
    runs = spread("concept drift", run, range(seeds))
    return {"seeds": seeds, "detectors": {name: [each[name] for each in runs] for name in (OURS, *RIVALS)}}


def table(figures: Figures) -> str:
    """Delays from the change to the alarm, the week included."""
    rows = []
    for name, runs in figures["detectors"].items():
        mean, bound = mean_and_bound([each["false"] for each in runs])
        delays = [delay_cell([round(each[change]) for each in runs], MISSED) for change in CHANGES]
        rows.append([f"**{name}**" if name == OURS else name, f"{mean:.2f} (≤ {bound:.2f})", *delays])
    return markdown(["detector", "false alarms", *CHANGES], rows)
