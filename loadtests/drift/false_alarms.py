"""How many alarms there are where nothing changes, for what was asked for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import pyarrow as pa

from headrace.domain.drift.reference_bins import Bytes, Floats, ReferenceBins, numeric_bins
from loadtests.drift.figures import Figures, Spread, markdown, mean_and_bound
from loadtests.drift.streams import real_rows
from loadtests.drift.trials import alarms, detector_of, places_of

BUDGETS = (1, 4)
SPANS = (100_000, 1_000_000)
SOURCES = ("normal", "cards", "electricity")


@dataclass(frozen=True, slots=True)
class Stable:
    """A stream in which nothing changes."""

    source: str
    features: int
    reference: int
    seed: int

    def __str__(self) -> str:
        return f"{self.source}, {self.features} features, reference {self.reference:,}"


def count(stream: Stable, short: bool = False) -> list[int]:
    """Alarms for each span and budget; `short`: of the first span alone."""
    spans = SPANS[:1] if short else SPANS
    bins, places = _stream(stream, spans[-1])
    return alarms(detector_of(bins), places, [(span, span / budget) for span in spans for budget in BUDGETS])


def _stream(stream: Stable, events: int) -> tuple[list[ReferenceBins], Bytes]:
    draw = np.random.default_rng([stream.seed, stream.features, stream.reference, SOURCES.index(stream.source)])
    if stream.source == "normal":
        bins = [numeric_bins(draw.standard_normal(stream.reference)) for _ in range(stream.features)]
        return bins, places_of(bins, lambda at: draw.standard_normal(events))
    rows = _rows(stream.source)
    copies = -(-stream.features // rows.shape[1])
    bins, parts = [], []
    for _ in range(copies):
        # Rows are drawn whole, so features depend on one another as they do.
        known = rows[draw.integers(0, len(rows), stream.reference)]
        made = [numeric_bins(known[:, at]) for at in range(rows.shape[1])]
        table = np.column_stack([each.place(pa.array(rows[:, at])) for at, each in enumerate(made)])
        bins += made
        parts.append(table[draw.integers(0, len(rows), events)])
    return bins[: stream.features], np.ascontiguousarray(np.hstack(parts)[:, : stream.features])


@cache
def _rows(source: str) -> Floats:
    return real_rows(source)


def measure(seeds: int, spread: Spread) -> Figures:
    """All of them."""
    kinds = [(s, f, n) for s in SOURCES for f in (10, 30) for n in (5_000, 50_000)]
    streams = [Stable(*kind, seed) for kind in kinds for seed in range(seeds)]
    found: dict[str, list[list[int]]] = {}
    for stream, counts in zip(streams, spread("false alarms", count, streams), strict=True):
        found.setdefault(str(stream), []).append(counts)
    return {"seeds": seeds, "alarms": found}


def table(figures: Figures) -> str:
    """Mean alarms and the upper end of a 95% interval, by what was asked for."""
    heads = ["stream", *(f"{budget} in {span:,}" for span in SPANS for budget in BUDGETS)]
    asked = [budget for _ in SPANS for budget in BUDGETS]
    rows = []
    for name, counts in figures["alarms"].items():
        cells = []
        for at, budget in enumerate(asked):
            mean, bound = mean_and_bound([each[at] for each in counts])
            cells.append(f"{mean:.2f} (≤ {bound:.2f})" + ("" if bound <= budget else " **over**"))
        rows.append([name, *cells])
    return markdown(heads, rows)
