"""What the online store keeps of an entity: its entries, packed, and features read straight from the packed bytes.

A timeline is little-endian and a multiple of 8 bytes long: a word of version (low byte), number of value columns (next
byte), of value columns of labels (next byte) and of labels kept (the rest); the times of the entries (int64,
ascending), their values (float64, an entry's columns together); then the same of labels. Entries of the same time are
ordered by the bits of their values, not by arrival, so that a sum does not depend on the order in which sources were
read.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace.columnar.jit import frozen, kernel
from headrace.columnar.partitioner import keys_of
from headrace.domain.aggregations.registry import SCANS_STAMP as SCANS_STAMP  # held by the stamps of kernels
from headrace.domain.aggregations.registry import scan_of
from headrace.domain.features.label_aggregates import LabelAnswers, LabelQuestion
from headrace.domain.features.sliding_windows import Answers, Question
from headrace.domain.features.window_kernels import after
from headrace.domain.features.window_pool import Floats, Ints
from headrace.errors import ContractError

VERSION = 1
WORD = 8
COUNT_AT = 24
"""Bit of the first word from which on the number of labels stands."""

Section = tuple[Ints, Ints, Floats]
"""Entries of several entities, as `Windows.columns` gives them: the number of each one's, times, values."""


def pack(entries: Section, labels: Section | None = None) -> list[bytes]:
    """One timeline an entity, from the entries of all, and the labels of the same entities."""
    length, times, values = entries
    if labels is None:
        labels = np.zeros(len(length), np.int64), np.zeros(0, np.int64), np.zeros((0, 0))
    sizes = length * (1 + values.shape[1]) + labels[0] * (1 + labels[2].shape[1])
    ends = np.cumsum(1 + sizes)
    words = np.empty(int(ends[-1]) if len(ends) else 0, np.int64)
    words[ends - 1 - sizes] = _head(values.shape[1], labels[2].shape[1]) | labels[0] << COUNT_AT
    first = ends - sizes
    _fill(words, first, length, times, values.view(np.int64))
    _fill(words, first + length * (1 + values.shape[1]), labels[0], labels[1], labels[2].view(np.int64))
    data = memoryview(words.astype("<i8", copy=False).tobytes())
    return [bytes(data[start:stop]) for start, stop in pairwise([0, *(ends * WORD).tolist()])]


class Timelines:
    """Timelines of several entities, as read from the store; None for an entity that has none.

    Raises ContractError when a value is no timeline with `columns` value columns, and `label_columns` of labels.
    """

    def __init__(self, packed: Sequence[bytes | None], columns: int, label_columns: int = 0) -> None:
        joined, ends = keys_of(pa.array(packed, pa.large_binary()))
        sizes = np.diff(ends)
        if np.any(sizes % WORD):
            raise ContractError("online store: a timeline's length is no multiple of 8 bytes")
        self._words = joined[: ends[-1]].view("<i8").astype(np.int64, copy=False)
        self._starts = (np.cumsum(sizes) - sizes) // WORD
        self._columns, self._label_columns = columns, label_columns
        known = sizes > 0
        heads = self._words[self._starts[known]]
        self._labels = np.zeros(len(sizes), np.int64)
        self._labels[known] = heads >> COUNT_AT
        rest = sizes // WORD - 1 - self._labels * (1 + label_columns)
        self._length = np.maximum(rest, 0) // (1 + columns)
        strange = (heads & ((1 << COUNT_AT) - 1) != _head(columns, label_columns)) | (heads < 0)
        if np.any(strange) or np.any(self._length[known] * (1 + columns) != rest[known]):
            shape = f"{columns} columns, {label_columns} of labels"
            raise ContractError(f"online store: a value is no timeline of version {VERSION} with {shape}")

    def answer(self, which: Ints, times: Ints, question: Question) -> Answers:
        """Windows (t - delay - duration, t - delay] of entity `which[i]` at `times[i]`, for every row i."""
        shape = (len(which), len(question.durations))
        count = np.zeros(shape, np.int64)
        sums = np.zeros((*shape, self._columns, 4 if question.extremes else 2), np.float64)
        durations, limits, at = np.asarray(question.durations, np.int64), question.most, frozen(times)
        lines = self._words, self._words.view(np.float64), self._starts, self._length
        _look(*lines, which, at, question.delay, durations, limits, count, sums)
        scanned = np.zeros((*shape, len(question.scans)), np.float64)
        if question.scans:
            scans, parameters = question.scan_numbers, question.scan_parameters
            _scan(*lines, self._columns, which, at, question.delay, count, scans, parameters, scanned)
        return Answers(count, sums, scanned, question.scans)

    def labels(self, which: Ints, times: Ints, question: LabelQuestion, count: Ints) -> LabelAnswers:
        """Labels of the entries in the same windows that were known at `times[i]`; `count` of these entries."""
        shape = (len(which), len(question.durations), question.columns - 1)
        sums = np.zeros(shape, np.float64)
        durations = np.asarray(question.durations, np.int64)
        numbers = self._words.view(np.float64)
        starts = self._starts + 1 + self._length * (1 + self._columns)
        at = frozen(times)
        _look_at_labels(self._words, numbers, starts, self._labels, which, at, question.delay, durations, sums)
        return LabelAnswers(question, count, sums)


def _head(columns: int, label_columns: int) -> int:
    return VERSION | columns << 8 | label_columns << 16


@kernel("i8[::1] i8[::1] i8[::1] i8[::1] i8[:,::1]")
def _fill(words: Ints, places: Ints, length: Ints, times: Ints, values: Ints) -> None:
    """Lay out each entity's entries from its place on: times, then values, those of one time by their bits."""
    columns = values.shape[1]
    entry = 0
    for entity in range(len(length)):
        count, place = length[entity], places[entity]
        first = place + count
        for step in range(count):
            words[place + step] = times[entry + step]
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
        entry += count


@kernel(
    "~i8[::1] ~f8[::1] i8[::1] i8[::1] i8[::1] ~i8[::1] i8 i8[::1] i8[::1] i8[:,::1] f8[:,:,:,::1]",
)
def _look(
    words: Ints, numbers: npt.NDArray[np.float64], starts: Ints, length: Ints, which: Ints, times: Ints, delay: int,
    durations: Ints, limits: Ints, counts: Ints, sums: Floats,
) -> None:  # fmt: skip  # the timelines, the question, the answer
    columns = sums.shape[2]
    for row in range(len(which)):
        start = starts[which[row]] + 1
        count = length[which[row]]
        end = times[row] - delay
        high = after(words, start, start + count, end)
        for window in range(len(durations)):
            low = after(words, start, high, end - durations[window])
            if limits[window] > 0:
                low = max(low, high - limits[window])
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


@kernel(
    "~i8[::1] ~f8[::1] i8[::1] i8[::1] i8 i8[::1] ~i8[::1] i8 i8[:,::1] i8[:,::1] f8[::1] f8[:,:,::1]",
)
def _scan(
    words: Ints, numbers: npt.NDArray[np.float64], starts: Ints, length: Ints, columns: int, which: Ints, times: Ints,
    delay: int, counts: Ints, scans: Ints, parameters: Floats, scanned: Floats,
) -> None:  # fmt: skip  # the timelines, the question, the answer
    """Let functions walk the entries of each window, of which `counts` says how many there are."""
    for row in range(len(which)):
        start, count = starts[which[row]] + 1, length[which[row]]
        high = after(words, start, start + count, times[row] - delay) - start
        moments = words[start : start + count]
        values = numbers[start + count : start + count * (1 + columns)].reshape((count, columns))
        for window in range(counts.shape[1]):
            low = high - counts[row, window]
            for at in range(len(scans)):
                scanned[row, window, at] = scan_of(
                    scans[at, 0], moments, values, scans[at, 1], low, high, times[row], parameters[at]
                )


@kernel(
    "~i8[::1] ~f8[::1] i8[::1] i8[::1] i8[::1] ~i8[::1] i8 i8[::1] f8[:,:,::1]",
)
def _look_at_labels(
    words: Ints, numbers: npt.NDArray[np.float64], starts: Ints, length: Ints, which: Ints, times: Ints, delay: int,
    durations: Ints, sums: Floats,
) -> None:  # fmt: skip  # the timelines, the question, the answer
    columns = sums.shape[2]
    for row in range(len(which)):
        start, count = starts[which[row]], length[which[row]]
        if count == 0:
            continue
        end = times[row] - delay
        high = after(words, start, start + count, end)
        for window in range(len(durations)):
            low = after(words, start, high, end - durations[window])
            for place in range(low, high):
                at = start + count + (place - start) * (columns + 1)
                if numbers[at] <= times[row] - words[place]:
                    for column in range(columns):
                        sums[row, window, column] += numbers[at + 1 + column]
