"""Small references: how many alarms there are without a change, and how soon a change is seen after a while."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from headrace.domain.drift.alarms import Alarm
from headrace.domain.drift.bets import bets_on
from headrace.domain.drift.e_detector import LOOKED, EDetector
from headrace.domain.drift.model_monitor import LEFT, ModelMonitor
from headrace.domain.drift.reference_bins import Bytes
from headrace.domain.drift.reference_profile import ColumnProfile, profile_of
from loadtests.drift.figures import Figures, Spread, markdown, mean_and_bound

FEATURES = 10
REFERENCES = (500, 1_000, 5_000, 20_000)
ASKED = 100_000
"""Events to an alarm without a change, as asked."""
STABLE, CHANGED = 100_000, 60_000
"""Events before the change, and after it."""
SHIFT = 0.25
"""Of one feature, in standard deviations."""


@dataclass(frozen=True, slots=True)
class Small:
    """A stream that is held against a small reference."""

    reference: int
    seed: int


def follow(small: Small) -> dict[str, tuple[int, int | None]]:
    """Of a reference that grows and of one that does not: alarms before the change, and events to the one after it."""
    draw = np.random.default_rng([small.seed, small.reference])
    names = tuple(f"x{at}" for at in range(FEATURES))
    profiles = profile_of(names, draw.standard_normal((small.reference, FEATURES)))
    rows = draw.standard_normal((STABLE + CHANGED, FEATURES))
    rows[STABLE:, 0] += SHIFT
    places = np.column_stack([profiles[name].bins.place(pa.array(rows[:, at])) for at, name in enumerate(names)])
    return {"grows": _growing(profiles, places), "stays": _staying(profiles, places)}


def _growing(profiles: dict[str, ColumnProfile], places: Bytes) -> tuple[int, int | None]:
    before = _alarms(ModelMonitor(tuple(profiles), profiles, ASKED), places[:STABLE])
    # The delay is that of a column that raised no alarm before: of one without a threshold till then.
    monitor = ModelMonitor(tuple(profiles), profiles, np.inf)
    _alarms(monitor, places[:STABLE])
    monitor.threshold = ASKED / (1 - LEFT)
    after = _alarms(monitor, places[STABLE:])
    return len(before), after[0] - STABLE if after else None


def _alarms(monitor: ModelMonitor, places: Bytes) -> list[int]:
    count = len(places)
    found = monitor.fold(places, np.empty((count, 0)), np.arange(count), np.ones(count))
    return [each.event for each in found if isinstance(each, Alarm)]


def _staying(profiles: dict[str, ColumnProfile], places: Bytes) -> tuple[int, int | None]:
    bins, threshold = [profile.bins for profile in profiles.values()], ASKED / (1 - LEFT)
    detector = EDetector(bins, [bets_on(each) for each in bins])
    alarms, at = 0, 0
    while at < STABLE:
        over = np.flatnonzero(detector.advance(detector.begin(), places[at:STABLE]) >= threshold)
        alarms += bool(len(over))
        at = at + (int(over[0]) + 1) * LOOKED if len(over) else STABLE
    state = detector.begin()
    detector.advance(state, places[:STABLE])
    over = np.flatnonzero(detector.advance(state, places[STABLE:]) >= threshold)
    return alarms, (int(over[0]) + 1) * LOOKED if len(over) else None


def measure(seeds: int, spread: Spread) -> Figures:
    """All of them."""
    streams = [Small(reference, seed) for reference in REFERENCES for seed in range(seeds)]
    found: dict[str, dict[str, list[tuple[int, int | None]]]] = {}
    for small, each in zip(streams, spread("growth", follow, streams), strict=True):
        for kind, figures in each.items():
            found.setdefault(str(small.reference), {}).setdefault(kind, []).append(figures)
    return {"seeds": seeds, "references": found}


def table(figures: Figures) -> str:
    """Mean alarms with the upper end of a 95% interval, and the median delay."""
    heads = ["rows of the reference", "alarms, it stays", "it grows", "delay, it stays", "it grows"]
    rows = []
    for reference, kinds in figures["references"].items():
        alarms, delays = [], []
        for kind in ("stays", "grows"):
            mean, bound = mean_and_bound([count for count, _ in kinds[kind]])
            alarms.append(f"{mean:.2f} (≤ {bound:.2f})" + ("" if bound <= 1 else " **over**"))
            told = sorted(CHANGED if delay is None else delay for _, delay in kinds[kind])
            missed = sum(delay == CHANGED for delay in told) / len(told)
            delays.append(f"{told[len(told) // 2]:,}" + (f" ({missed:.0%} missed)" if missed else ""))
        rows.append([f"{int(reference):,}", *alarms, *delays])
    return markdown(heads, rows)
