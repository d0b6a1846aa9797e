"""False alarms and delays where features follow the day, the weekend and what was before."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from scipy.signal import lfilter

from headrace.domain.drift.bets import bets_on, inflation_of
from headrace.domain.drift.cycles import Cycle, cycle_of
from headrace.domain.drift.e_detector import LOOKED, EDetector
from headrace.domain.drift.reference_bins import Bytes, Floats, Ints, ReferenceBins, numeric_bins
from loadtests.drift.figures import Figures, Spread, delay_cell, markdown, mean_and_bound
from loadtests.drift.streams import Draw
from loadtests.drift.trials import BEFORE, FEATURES, MISSED, alarms

A_DAY = 1_000
"""Events of a day, evenly spread."""
ASKED = 100_000
STREAMS = 8
"""Streams of 100,000 events, of which one reference's mean is taken."""
MEMORY = 0.9
SHIFTS = (0.5, 1.0, 2.0)
BLOCKS = (50, 200, 1_000, 3_000)


@dataclass(frozen=True, slots=True)
class Cyclic:
    """A world with days: a reference of so many of them."""

    days: int
    memory: float
    seed: int


def _rows(draw: Draw, events: int, memory: float, phases: Floats) -> tuple[Floats, Ints]:
    """Features with a daily wave and another level at weekends, each row like the one before; and the hours."""
    days = np.arange(events) / A_DAY
    hours = np.floor(days * 24).astype(np.int64) % 168
    noise = draw.standard_normal((events + 200, FEATURES)) * np.sqrt(1 - memory**2)
    following = lfilter([1.0], [1.0, -memory], noise, axis=0)[200:]
    return following + np.sin(2 * np.pi * (days[:, None] + phases)) + 0.5 * (hours[:, None] >= 120), hours


@dataclass(frozen=True, slots=True, eq=False)
class Watch:
    """A detector of features with cycles."""

    cycles: list[Cycle]
    bins: list[ReferenceBins]
    detector: EDetector

    def places(self, rows: Floats, hours: Ints) -> Bytes:
        """The bin of each value."""
        return np.column_stack([
            bins.place(pa.array(cycle.residuals(rows[:, at], hours)))
            for at, (cycle, bins) in enumerate(zip(self.cycles, self.bins, strict=True))
        ])  # fmt: skip  # one line a feature


def watch_of(rows: Floats, hours: Ints) -> Watch:
    """Learn cycles, bins and how rows follow one another."""
    cycles = [cycle_of(column, hours) for column in rows.T]
    left = [cycle.residuals(column, hours) for cycle, column in zip(cycles, rows.T, strict=True)]
    bins = [numeric_bins(column) for column in left]
    bets = [bets_on(each, inflation=inflation_of(column, BLOCKS)) for each, column in zip(bins, left, strict=True)]
    return Watch(cycles, bins, EDetector(bins, bets))


def run(world: Cyclic) -> dict[str, float]:
    """Mean alarms of one reference, alarms without any of this, and delays."""
    draw = np.random.default_rng([world.seed, world.days, round(world.memory * 100)])
    phases = draw.random(FEATURES)
    rows, hours = _rows(draw, world.days * A_DAY, world.memory, phases)
    watch = watch_of(rows, hours)
    found = []
    for _ in range(STREAMS):
        places = watch.places(*_rows(draw, ASKED, world.memory, phases))
        found += alarms(watch.detector, places, [(ASKED, float(ASKED))])
    figures = {"false": float(np.mean(found)), "streams": STREAMS}
    for shift in SHIFTS:
        rows, hours = _rows(draw, BEFORE + ASKED // 2, world.memory, phases)
        rows[BEFORE:, 0] += shift
        state = watch.detector.begin()
        places = watch.places(rows, hours)
        watch.detector.advance(state, places[:BEFORE])
        over = np.flatnonzero(watch.detector.advance(state, places[BEFORE:]) >= ASKED)
        figures[f"{shift:+g} sd"] = (int(over[0]) + 1) * LOOKED if len(over) else MISSED
    return figures


def measure(seeds: int, spread: Spread) -> Figures:
    """References of 56 days, and a fifth as many of 14."""
    runs = {56: seeds, 14: max(seeds // 5, 2)}
    worlds = [Cyclic(days, memory, seed) for days in runs for memory in (0.0, MEMORY) for seed in range(runs[days])]
    found: dict[str, list[dict[str, float]]] = {}
    for world, each in zip(worlds, spread("cycles", run, worlds), strict=True):
        found.setdefault(f"{world.days} days, AR({world.memory:g}), {runs[world.days]} references", []).append(each)
    return {"seeds": seeds, "worlds": found}


def table(figures: Figures) -> str:
    """Mean alarms, references above what was asked for, delays."""
    rows = []
    for name, runs in figures["worlds"].items():
        mean, bound = mean_and_bound([each["false"] for each in runs])
        above = float(np.mean([each["false"] > 1 for each in runs]))
        delays = [delay_cell([round(each[f"{shift:+g} sd"]) for each in runs], MISSED) for shift in SHIFTS]
        rows.append([name, f"{runs[0]['streams']}", f"{mean:.2f} (≤ {bound:.2f})", f"{above:.0%}", *delays])
    return markdown(
        ["reference", "streams", "alarms", "references above 1", *(f"{shift:+g} sd" for shift in SHIFTS)], rows
    )
