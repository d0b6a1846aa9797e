"""What a function over a window says of itself; the parser, windows, contracts and docs follow from it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64] | npt.NDArray[np.float64]
Scan = Callable[[Ints, Floats, int, int, int, int, float], float]
"""A kernel (times, values, column, low, high, now, parameter) -> float64. `times` is int64 (entries,), ms; `values`
float64 (entries, columns), NaN for null; the window holds the entries [low, high), in the order of their times, and
`now` is the time of the event that asks. `column` is -1 where the function is of events and not of values. Entries of
one time are in the order of arrival in a view of the events' own key, and in another one in the store: the answer must
not depend on it, and be the same bits for the same entries."""


class WindowState(Protocol):
    """One window of a batch of rows, over one field; every array has an element for each row.

    Attributes:
        events: int64, entries in the window: those whose value is not null, or all where it is of no value.
        total, known: float64, sum and number of the values that are not null.
        least, most: float64, infinite where no value is known; kept for functions that read `extremes`.
        scanned: float64, what the function's `scan` gave.
    """

    @property
    def events(self) -> Ints: ...
    @property
    def total(self) -> Floats: ...
    @property
    def known(self) -> Floats: ...
    @property
    def least(self) -> Floats: ...
    @property
    def most(self) -> Floats: ...
    @property
    def scanned(self) -> Floats: ...


class LabelState(Protocol):
    """Labels of the entries in one window of a batch of rows, as far as they are known.

    Attributes:
        labelled: int64, entries with a label; kept for functions that read it (`counts_labels`).
        total, known: float64, sum and number of the labels to go by, those that stand for missing ones included.
    """

    @property
    def labelled(self) -> Ints: ...
    @property
    def total(self) -> Floats: ...
    @property
    def known(self) -> Floats: ...


class AggregateFunction:
    """A function over the values of one field in a window, or over its events alone.

    Windows keep sum and number of values, and with `extremes` least and greatest, of whole blocks of entries, so that
    an answer costs little however long the window; a function that needs anything else walks the entries by a `scan`
    of its own. A state column of entries is float64; null values are NaN and left out.

    Attributes:
        name: as the pipeline file calls it.
        gloss: what it does, in the words of the docs, after "it".
        takes_field: whether it is of a value: `name(value)`; else of events: `name`.
        field_optional: whether it may be of either.
        strings: whether the value may be a string, of which entries keep a code: see `codes`.
        parameter: what it takes besides: a `share` between 0 and 1, or a `duration` (ms); None for nothing.
        codes: how strings are told apart: by a `hash` of 52 bits, or their `place` among those that a rule lists.
        type: of the feature's column: `integer` is never null, `number` is NaN where the window holds no value.
        extremes: whether it reads `least` and `most`.
        scan: what it makes of a window's entries itself; None when sums will do.
        of_labels: whether it can be of labels.
        counts_labels: whether it then reads how many there are.
    """

    name: str
    gloss: str
    takes_field: bool = True
    field_optional: bool = False
    strings: bool = False
    codes: Literal["hash", "place"] = "hash"
    parameter: Literal["share", "duration"] | None = None
    type: Literal["integer", "number"] = "number"
    extremes: bool = False
    scan: Scan | None = None
    of_labels: bool = False
    counts_labels: bool = False

    def finish(self, window: WindowState) -> Numbers:
        """The feature, for each row; NaN where the window holds no value, for which the view's `missing` stands.

        Of a function with a `scan` it is what that found, unless it says otherwise.
        """
        if self.scan is None:
            raise NotImplementedError
        return window.scanned

    def finish_labels(self, window: LabelState) -> Numbers:
        """The same of labels; asked only of functions `of_labels`."""
        raise NotImplementedError


def where_known(numbers: Floats, known: Floats) -> Floats:
    """The numbers, NaN where nothing is known.

    >>> where_known(np.array([0.0, 3.0]), np.array([0.0, 1.0])).tolist()
    [nan, 3.0]
    """
    return np.where(known > 0, numbers, np.nan)


def quotient(total: Floats, known: Floats) -> Floats:
    """Sum by number, NaN where nothing is known.

    >>> quotient(np.array([0.0, 3.0]), np.array([0.0, 2.0])).tolist()
    [nan, 1.5]
    """
    found = np.full(len(total), np.nan)
    np.divide(total, known, out=found, where=known > 0)
    return found
