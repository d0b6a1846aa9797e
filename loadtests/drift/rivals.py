"""Detectors of the literature, and two that know nothing, on one feature at a time: any feature's alarm is an alarm."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import kolmogorov

from headrace.columnar.jit import kernel
from headrace.domain.drift.reference_bins import Floats, Ints
from headrace.domain.drift.witnesses import Parameters, Witness

Listen = Callable[[Floats], list[int]]
Start = Callable[[Floats, int], Listen]
Statistic = Callable[[Floats], Callable[[Floats], Floats]]
WINDOW, STRIDE = 1_000, 100
"""Events of a window, and after how many it is looked at again."""


@dataclass(frozen=True, slots=True)
class Rival:
    """A detector, and how it is set.

    Attributes:
        name: for the table.
        start: makes it, from a reference; what it returns takes values in and tells alarms, by place among them.
        dear: it takes so long that it runs on fewer and shorter streams.
        ordered: it takes numbers from 0 to 1, their rank in the reference.
        whole: it looks at no feature: there is one for all of them.
    """

    name: str
    start: Start
    dear: bool = False
    ordered: bool = False
    whole: bool = False


def _river(name: str, **parameters: float) -> Start:
    def start(reference: Floats, seed: int) -> Listen:
        own: Parameters = {**parameters, "seed": seed} if name == "KSWIN" else parameters
        witness = Witness(name, own)

        def listen(values: Floats) -> list[int]:
            first = witness.position
            return (witness.listen(values) - first).tolist()

        return listen

    return start


def _windows(statistic: Statistic, above: float) -> Start:
    """Alarms where a statistic of the last events is above a threshold and was not at the look before."""

    def start(reference: Floats, seed: int) -> Listen:
        of = statistic(reference)
        held = np.empty(0)
        over = False

        def listen(values: Floats) -> list[int]:
            nonlocal held, over
            together = np.append(held, values)
            looks = max((len(together) - WINDOW) // STRIDE + 1, 0)
            found = []
            if looks:
                windows = np.lib.stride_tricks.sliding_window_view(together, WINDOW)[: looks * STRIDE : STRIDE]
                now = of(windows) > above
                rises = now & ~np.append(over, now[:-1])
                found = (np.flatnonzero(rises) * STRIDE + WINDOW - 1 - len(held)).tolist()
                over = bool(now[-1])
            held = together[looks * STRIDE :]
            return found

        return listen

    return start


def kolmogorov_smirnov(reference: Floats) -> Callable[[Floats], Floats]:
    """How small the p-value is of each window against the reference: its negative logarithm, base 10."""
    known = np.sort(reference)
    steps = np.arange(1, WINDOW + 1) / WINDOW
    rows = WINDOW * len(known) / (WINDOW + len(known))

    def of(windows: Floats) -> Floats:
        window = np.sort(windows, axis=1)
        right = np.searchsorted(known, window, side="right") / len(known)
        left = np.searchsorted(known, window, side="left") / len(known)
        # Between equal values the empirical distributions are not compared.
        last = np.append(window[:, 1:] != window[:, :-1], np.ones((len(window), 1), bool), axis=1)
        first = np.append(np.ones((len(window), 1), bool), window[:, 1:] != window[:, :-1], axis=1)
        above = np.where(last, steps - right, 0).max(axis=1)
        below = np.where(first, left - (steps - 1 / WINDOW), 0).max(axis=1)
        return -np.log10(np.maximum(kolmogorov(np.sqrt(rows) * np.maximum(above, below)), 1e-300))

    return of


def stability_index(reference: Floats) -> Callable[[Floats], Floats]:
    """The population stability index of each window by ten quantiles of the reference."""
    edges = np.unique(np.quantile(reference, np.arange(1, 10) / 10))
    known = np.bincount(np.searchsorted(edges, reference), minlength=len(edges) + 1) + 0.5
    known /= known.sum()

    def of(windows: Floats) -> Floats:
        places = np.searchsorted(edges, windows)
        counts = np.stack([(places == at).sum(axis=1) for at in range(len(known))], axis=1) + 0.5
        shares = counts / counts.sum(axis=1, keepdims=True)
        found: Floats = ((shares - known) * np.log(shares / known)).sum(axis=1)
        return found

    return of


def _martingale(threshold: float) -> Start:
    """Shiryaev-Roberts sums of a conformal test martingale: the simple jumper (Vovk, Petej, Nouretdinov et al. 2021).

    p-values are ranks among the reference's rows, ties broken at random.
    """

    def start(reference: Floats, seed: int) -> Listen:
        known, draw = np.sort(reference), np.random.default_rng([seed, 99])
        state = np.array([1 / 3, 1 / 3, 1 / 3, 0.0])

        def listen(values: Floats) -> list[int]:
            left, right = np.searchsorted(known, values), np.searchsorted(known, values, side="right")
            p = (left + draw.random(len(values)) * (right - left + 1)) / (len(known) + 1)
            over = np.zeros(len(values), np.int64)
            _jump(p, state, threshold, over)
            return np.flatnonzero(over).tolist()

        return listen

    return start


JUMP = 0.01


@kernel("f8[::1] f8[::1] f8 i8[::1]")
def _jump(p: Floats, state: Floats, threshold: float, over: Ints) -> None:
    for at in range(len(p)):
        before = state[0] + state[1] + state[2]
        for place in range(3):
            state[place] = (1 - JUMP) * state[place] + JUMP * before / 3
            state[place] *= 1 + (place - 1) * (p[at] - 0.5) * 2 * 0.5
        after = state[0] + state[1] + state[2]
        state[3] = (state[3] + 1) * after / before
        for place in range(3):
            state[place] /= after
        if state[3] >= threshold:
            over[at], state[3] = 1, 0.0


def _every(events: int) -> Start:
    def start(reference: Floats, seed: int) -> Listen:
        count = seed * 7_919 % events if events else 0

        def listen(values: Floats) -> list[int]:
            nonlocal count
            if not events:
                return []
            found = [at for at in range(len(values)) if (count + at + 1) % events == 0]
            count += len(values)
            return found

        return listen

    return start


FEATURES = 30
ADWIN = "ADWIN, default"
RIVALS: Sequence[Rival] = (
    Rival(ADWIN, _river("ADWIN")),
    Rival("ADWIN, delta 1e-9", _river("ADWIN", delta=1e-9)),
    Rival("PageHinkley, default", _river("PageHinkley")),
    Rival("PageHinkley, threshold 400", _river("PageHinkley", threshold=400.0)),
    Rival("KSWIN, default", _river("KSWIN"), dear=True),
    Rival("KSWIN, alpha 1e-7", _river("KSWIN", alpha=1e-7), dear=True),
    Rival("HDDM_W, default", _river("HDDMW"), dear=True, ordered=True),
    Rival("HDDM_W, two-sided", _river("HDDMW", two_sided_test=True), dear=True, ordered=True),
    Rival("windowed KS, Bonferroni", _windows(kolmogorov_smirnov, float(np.log10(FEATURES * 100_000 / STRIDE)))),
    Rival("windowed PSI > .05", _windows(stability_index, 0.05)),
    Rival("windowed PSI > .2", _windows(stability_index, 0.2)),
    Rival("conformal martingale", _martingale(100_000.0 * FEATURES)),
    Rival("fires every 100,000", _every(100_000), whole=True),
    Rival("never fires", _every(0)),
)
"""The windowed KS is held to one false alarm per 100,000 events by Bonferroni, the martingale by its own theory. Other
settings than defaults are, of a few that were tried on other streams, those that come nearest to as many."""
