"""Alarms with a promised number of false ones: Shiryaev-Roberts sums of bets, event by event.

Of each bet R is kept: R <- (R + 1) L for every event. Without a change the mean of R after N events is N at most,
whatever depends on what; so is that of M, the weighted sum over all columns and bets. An alarm is M >= A: in N events
there are N / A of them in the mean, at most (an e-detector: Shin, Ramdas and Rinaldo, arXiv 2203.03532).

Beside the bets that stand, some are made of what came before, with weights that halve every so many events: they find
shapes that nobody thought of. What they pay is fixed for the next 64 events before these come, so the promise holds for
them as well.

A column that an event says nothing of (outcomes have no views, an event lies in one segment of several) pays nothing
and begins nothing then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from headrace.columnar.jit import frozen, kernel
from headrace.domain.drift.bets import Bets
from headrace.domain.drift.reference_bins import Bytes, Flags, Floats, Ints, ReferenceBins

HALF_LIVES = (256.0, 2_048.0, 16_384.0)
"""Events after which the bets that learn have forgotten half."""
LEARNING = 0.1
"""The share of a column's weight that they have together."""
RENEWED = 64
"""Events of a column after which what its learning bets pay is made anew."""
KEPT = 0.02
"""The share of the reference in what they believe, so that no bin is forgotten."""
LOOKED = 2
"""Events after which the sums are added up and held against the threshold."""
MOST = 1e100
"""Sums stop here, long after any alarm, so that they stay numbers."""
NOTHING = 255
"""In the place of a bin: this event says nothing of the column."""


@dataclass(slots=True, eq=False)
class ShiryaevRobertsSums:
    """R of each bet, and what the bets that learn have seen. All that changes with events.

    Attributes:
        sums: float64, columns x bets; the last ones are those that learn.
        pays: float64, columns x bins x bets: what each pays now; of those that stand, always the same.
        seen: float64, columns x half-lives x bins: counts whose weight halves.
        fresh: int64, columns x bins: counts since what learning bets pay was made.
        events: int64, columns: how many said something of each.
        count: int64[1]: how many there were.
    """

    sums: Floats
    pays: Floats
    seen: Floats
    fresh: Ints
    events: Ints
    count: Ints

    def copy(self) -> ShiryaevRobertsSums:
        """The same, apart."""
        return ShiryaevRobertsSums(*(getattr(self, field.name).copy() for field in fields(self)))


class EDetector:
    """Watches columns together under one number of false alarms.

    Args:
        bins: the reference of each column.
        bets: the bets on each, of the same columns.
        z: as in `bets_on`, for the bets that learn.
        weights: float64, of each column's bets together; they sum to 1 at most. None: all the same.
        learning: the share of it that the bets that learn have. 0 where all is to be proved: what they owe for what the
            reference does not know was measured.
    """

    def __init__(
        self,
        bins: Sequence[ReferenceBins],
        bets: Sequence[Bets],
        z: float = 2.0,
        weights: Floats | None = None,
        learning: float = LEARNING,
    ) -> None:
        columns, most = len(bins), max((len(each.names) for each in bets), default=0)
        lives, self.width = len(HALF_LIVES), max((len(each.counts) for each in bins), default=0)
        weights = np.full(columns, 1 / max(columns, 1)) if weights is None else weights
        self._pays = np.ones((columns, self.width, most + lives))
        self._weights = np.zeros((columns, most + lives))
        self._known = np.ones((columns, self.width))
        self._rates = np.ones((columns, 2))
        self._widths = np.array([len(each.counts) for each in bins], np.int64)
        for at, (reference, made) in enumerate(zip(bins, bets, strict=True)):
            count, width = made.log_pays.shape
            self._pays[at, :width, :count] = np.exp(made.log_pays.T)
            self._weights[at, :count] = weights[at] * (1 - learning) * made.weights
            self._weights[at, most:] = weights[at] * learning / lives
            self._known[at, :width] = reference.frequencies
            # Bets that learn go wherever the reference is off: in all directions, not in one (Cauchy and Schwarz).
            off = np.sqrt(width - 1) + z / np.sqrt(2)
            self._rates[at] = off * np.sqrt(made.inflation / max(reference.rows, 1)), made.inflation
        self._fade = np.array([0.5 ** (RENEWED / life) for life in HALF_LIVES])
        self.columns = columns

    def begin(self) -> ShiryaevRobertsSums:
        """Sums before any event."""
        lives = len(HALF_LIVES)
        return ShiryaevRobertsSums(
            np.zeros_like(self._weights),
            self._pays.copy(),
            np.repeat(self._known[:, None, :] * HALF_LIVES[0], lives, axis=1),
            np.zeros((self.columns, self.width), np.int64),
            np.zeros(self.columns, np.int64),
            np.zeros(1, np.int64),
        )

    def advance(
        self,
        state: ShiryaevRobertsSums,
        places: Bytes,
        begun: Floats | None = None,
        silent: Flags | None = None,
    ) -> Floats:
        """Take events in, in their order; M after each `LOOKED`th of the state, float64.

        Args:
            places: uint8, events x columns: the bin of each value, or `NOTHING`.
            begun: float64, events: what each sum begins anew with at an event, R <- (R + begun) L, known before the
                event. The mean of M is its total at most. None: 1, so that false alarms are counted by events.
            silent: columns whose sums go on and are no part of M; None: none.
        """
        begun = np.ones(len(places)) if begun is None else begun
        evidence = np.empty((int(state.count[0]) % LOOKED + len(places)) // LOOKED)
        _advance(
            frozen(places), frozen(begun), self._heard(silent), self._widths, self._known, self._rates, self._fade,
            state.sums, state.pays, state.seen, state.fresh, state.events, state.count, evidence,
        )  # fmt: skip  # the events, the question, the state, the answer
        return evidence

    def by_bet(self, state: ShiryaevRobertsSums, silent: Flags | None = None) -> Floats:
        """The part of M that each bet has, float64, columns x bets, the learning ones last."""
        found: Floats = state.sums * self._heard(silent)
        return found

    def by_column(self, state: ShiryaevRobertsSums, silent: Flags | None = None) -> Floats:
        """Each column's part of M, float64: the largest has most to do with an alarm."""
        found: Floats = self.by_bet(state, silent).sum(axis=1)
        return found

    def _heard(self, silent: Flags | None) -> Floats:
        return self._weights if silent is None or not silent.any() else self._weights * ~silent[:, None]


@kernel(
    "~u1[:,::1] ~f8[::1] f8[:,::1] i8[::1] f8[:,::1] f8[:,::1] f8[::1] "
    "f8[:,::1] f8[:,:,::1] f8[:,:,::1] i8[:,::1] i8[::1] i8[::1] f8[::1]"
)
def _advance(
    places: Bytes, begun: Floats, weights: Floats, widths: Ints, known: Floats, rates: Floats, fade: Floats,
    sums: Floats, pays: Floats, seen: Floats, fresh: Ints, events: Ints, count: Ints, evidence: Floats,
) -> None:  # fmt: skip  # the events, the question, the state, the answer
    columns, bets = sums.shape
    looked = 0
    for event in range(len(places)):
        for column in range(columns):
            place = places[event, column]
            if place == NOTHING:
                continue
            for bet in range(bets):
                held = (sums[column, bet] + begun[event]) * pays[column, place, bet]
                sums[column, bet] = held if held < MOST else MOST
            fresh[column, place] += 1
            events[column] += 1
            if events[column] % RENEWED == 0:
                _renew(column, widths[column], known, rates, fade, pays, seen, fresh)
        count[0] += 1
        if count[0] % LOOKED == 0:
            evidence[looked] = _together(sums, weights)
            looked += 1


@kernel
def _together(sums: Floats, weights: Floats) -> float:
    """The weighted sum, four at a time, in an order that is the same everywhere."""
    columns, bets = sums.shape
    whole = bets & ~3
    a, b, c, d = 0.0, 0.0, 0.0, 0.0
    for column in range(columns):
        for bet in range(0, whole, 4):
            a += weights[column, bet] * sums[column, bet]
            b += weights[column, bet + 1] * sums[column, bet + 1]
            c += weights[column, bet + 2] * sums[column, bet + 2]
            d += weights[column, bet + 3] * sums[column, bet + 3]
        for bet in range(whole, bets):
            a += weights[column, bet] * sums[column, bet]
    return (a + b) + (c + d)


@kernel
def _renew(
    column: int, width: int, known: Floats, rates: Floats, fade: Floats, pays: Floats, seen: Floats, fresh: Ints
) -> None:
    """What the learning bets of a column pay from now on, by what they have seen; held to a mean of 1 at most."""
    first = pays.shape[2] - len(fade)
    for life in range(len(fade)):
        before = 0.0
        for place in range(width):
            before += seen[column, life, place]
        total = 0.0
        for place in range(width):
            held = fade[life] * seen[column, life, place] + fresh[column, place]
            held += (1.0 - fade[life]) * KEPT * before * known[column, place]
            seen[column, life, place] = held
            total += held
        variance = 0.0
        for place in range(width):
            pay = seen[column, life, place] / (total * known[column, place])
            pays[column, place, first + life] = pay
            variance += known[column, place] * (pay - 1.0) ** 2
        bound = 1.0 + rates[column, 0] * np.sqrt(variance)
        for place in range(width):
            pay = pays[column, place, first + life] / bound
            pays[column, place, first + life] = pay if rates[column, 1] == 1.0 else pay ** (1.0 / rates[column, 1])
    for place in range(width):
        fresh[column, place] = 0
