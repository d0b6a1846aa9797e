"""What the online store keeps of an entity: its entries, packed, and features read straight from the packed bytes.

A timeline is little-endian and a multiple of 8 bytes long: a word of version (low byte) and number of value columns
(next byte), the times (int64, ascending), then the values (float64, an entry's columns together). Entries of the same
time are ordered by the bits of their values, not by arrival, so that a sum does not depend on the order in which
sources were read.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from services.enrich.compiled import kernel
from services.enrich.entries import Floats, Ints, after
from services.enrich.index import keys_of
from services.enrich.windows import Answers, Question
from services.kit.errors import ContractError

VERSION = 1
WORD = 8


def pack(length: Ints, times: Ints, values: Floats) -> list[bytes]:
    """One timeline an entity, from the entries of all (as `Windows.columns` gives them)."""
    columns = values.shape[1]
    ends = np.cumsum(1 + length * (1 + columns))
    words = np.empty(int(ends[-1]) if len(ends) else 0, np.int64)
    _fill(words, length, times, values.view(np.int64), VERSION | columns << 8)
    data = memoryview(words.astype("<i8", copy=False).tobytes())
    return [bytes(data[start:stop]) for start, stop in pairwise([0, *(ends * WORD).tolist()])]


class Timelines:
    """Timelines of several entities, as read from the store; None for an entity that has none.

    Raises ContractError when a value is no timeline with `columns` value columns.
    """

    def __init__(self, packed: Sequence[bytes | None], columns: int) -> None:
        joined, ends = keys_of(pa.array(packed, pa.large_binary()))
        sizes = np.diff(ends)
        if np.any(sizes % WORD):
            raise ContractError("online store: a timeline's length is no multiple of 8 bytes")
        self._words = joined[: ends[-1]].view("<i8").astype(np.int64, copy=False)
        self._starts = (np.cumsum(sizes) - sizes) // WORD
        self._length = np.maximum(sizes // WORD - 1, 0) // (1 + columns)
        self._columns = columns
        known = sizes > 0
        heads = self._words[self._starts[known]]
        whole = (1 + self._length[known] * (1 + columns)) * WORD == sizes[known]
        if np.any(heads != (VERSION | columns << 8)) or not np.all(whole):
            raise ContractError(f"online store: a value is no timeline of version {VERSION} with {columns} columns")

    def answer(self, which: Ints, times: Ints, question: Question) -> Answers:
        """Windows (t - delay - duration, t - delay] of entity `which[i]` at `times[i]`, for every row i."""
        shape = (len(which), len(question.durations))
        count = np.zeros(shape, np.int64)
        sums = np.zeros((*shape, self._columns, 4 if question.extremes else 2), np.float64)
        durations = np.asarray(question.durations, np.int64)
        numbers = self._words.view(np.float64)
        _look(self._words, numbers, self._starts, self._length, which, times - question.delay, durations, count, sums)
        return Answers(count, sums)


@kernel
def _fill(words: Ints, length: Ints, times: Ints, values: Ints, head: int) -> None:
    columns = values.shape[1]
    place, entry = 0, 0
    for entity in range(len(length)):
        count = length[entity]
        words[place] = head
        first = place + 1 + count
        for step in range(count):
            words[place + 1 + step] = times[entry + step]
            at = step
            while at > 0 and times[entry + at - 1] == times[entry + step]:
                order = 0
                for column in range(columns):
                    other, own = words[first + (at - 1) * columns + column], values[entry + step, column]
                    if other != own:
                        order = 1 if other > own else -1
                        break
                if order <= 0:
                    break
                for column in range(columns):
                    words[first + at * columns + column] = words[first + (at - 1) * columns + column]
                at -= 1
            for column in range(columns):
                words[first + at * columns + column] = values[entry + step, column]
        place = first + count * columns
        entry += count


@kernel
def _look(
    words: Ints, numbers: npt.NDArray[np.float64], starts: Ints, length: Ints, which: Ints, ends: Ints,
    durations: Ints, counts: Ints, sums: Floats,
) -> None:  # fmt: skip  # the timelines, the question, the answer
    columns = sums.shape[2]
    for row in range(len(which)):
        start = starts[which[row]] + 1
        count = length[which[row]]
        high = after(words, start, start + count, ends[row])
        for window in range(len(durations)):
            low = after(words, start, high, ends[row] - durations[window])
            counts[row, window] = high - low
            for column in range(columns):
                total, known, least, most = 0.0, 0.0, np.inf, -np.inf
                for place in range(low, high):
                    value = numbers[start + count + (place - start) * columns + column]
                    if value == value:
                        total += value
                        known += 1.0
                        least = min(least, value)
                        most = max(most, value)
                sums[row, window, column, 0] = total
                sums[row, window, column, 1] = known
                if sums.shape[3] > 2:
                    sums[row, window, column, 2] = least
                    sums[row, window, column, 3] = most
