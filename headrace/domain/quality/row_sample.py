"""A random sample of rows that stays one however rows are split, repeated and merged: those with the smallest keys.

A key is a hash of what a row is known by, so which rows are sampled has to do with nothing else about them. The
smallest keys of a union are among the smallest of its parts: samples of parts merge into the sample of the whole, in
any order, and a row that is told twice is sampled once ("bottom-k": Cohen and Kaplan, Summarizing Data Using Bottom-k
Sketches, 2007). Should it be told in two ways, the lesser one counts, whichever came first.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from headrace.columnar import packing
from headrace.domain.quality.covariate_shift import ReferenceSample
from headrace.errors import ContractError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]
NEGATIVE, POSITIVE, UNLABELLED = 0, 1, 2


@dataclass(frozen=True, slots=True, eq=False)
class RowSample:
    """Rows with their features in bins, their score and, where it is known, their label.

    Attributes:
        bins: how many bins each feature has.
        keys: int64[rows], ascending and distinct.
        places: uint8[features, rows], C-contiguous: the bin of each value.
        scores: float64[rows]; NaN where nobody keeps them.
        labels: uint8[rows]: NEGATIVE, POSITIVE or UNLABELLED.
    """

    bins: tuple[int, ...]
    keys: Ints
    places: Bytes
    scores: Floats
    labels: Bytes

    def __len__(self) -> int:
        """How many rows."""
        return len(self.keys)

    def reference(self) -> ReferenceSample:
        """Its labelled rows, to estimate by."""
        known = self.labels != UNLABELLED
        places = np.ascontiguousarray(self.places[:, known])
        return ReferenceSample(places, self.bins, self.scores[known], self.labels[known] == POSITIVE)


def nothing(bins: tuple[int, ...]) -> RowSample:
    """A sample of no rows."""
    empty = np.zeros(0, np.uint8)
    return RowSample(bins, np.zeros(0, np.int64), np.zeros((len(bins), 0), np.uint8), np.zeros(0), empty)


def sampled(rows: RowSample, size: int) -> RowSample:
    """At most `size` of rows whose keys come in any order, and more than once."""
    keys, first = np.unique(rows.keys, return_index=True)
    if len(keys) < len(rows.keys):  # of what is told twice the lesser, so that it does not matter who comes first
        order = np.lexsort((*rows.places, rows.labels, rows.scores, rows.keys))
        first = order[np.unique(rows.keys[order], return_index=True)[1]]
    some = first[:size]
    places = np.ascontiguousarray(rows.places[:, some])
    return RowSample(rows.bins, keys[:size], places, rows.scores[some], rows.labels[some])


def merged(samples: Iterable[RowSample], size: int) -> RowSample:
    """The sample of all rows of parts that were sampled to this size, at least one.

    Raises ContractError when parts have other bins.
    """
    several = list(samples)
    if any(each.bins != several[0].bins for each in several):
        raise ContractError("samples of rows have features in other bins: they are of different references")
    return sampled(
        RowSample(
            several[0].bins,
            np.concatenate([each.keys for each in several]),
            np.concatenate([each.places for each in several], axis=1),
            np.concatenate([each.scores for each in several]),
            np.concatenate([each.labels for each in several]),
        ),
        size,
    )


def pack(sample: RowSample) -> bytes:
    """The sample as bytes: keys and scores take about 16 bytes a row, bins less than one each."""
    return packing.pack(
        {
            "bins": np.array(sample.bins, np.int64),
            "keys": sample.keys,
            "places": sample.places.reshape(-1),
            "scores": sample.scores,
            "labels": sample.labels,
        }
    )


def unpack(data: bytes) -> RowSample:
    """What `pack` took, bit for bit. Raises ContractError when the bytes are none of ours, damaged, or no sample."""
    columns = packing.unpack(data)
    if set(columns) != {"bins", "keys", "places", "scores", "labels"}:
        raise ContractError(f"sample of rows: packed is something else, of {', '.join(columns)}")
    bins = tuple(int(size) for size in columns["bins"])
    keys, labels = columns["keys"].astype(np.int64, copy=False), columns["labels"].astype(np.uint8, copy=False)
    rows = len(keys)
    scores = columns["scores"].astype(np.float64, copy=False)
    if len(columns["places"]) != len(bins) * rows or len(scores) != rows or len(labels) != rows:
        raise ContractError("sample of rows: columns are not of one length")
    places = columns["places"].astype(np.uint8, copy=False).reshape(len(bins), rows)
    if rows and (
        np.any(places.max(axis=1) >= np.array(bins)) or np.any(keys[1:] <= keys[:-1]) or labels.max() > UNLABELLED
    ):
        raise ContractError("sample of rows: a bin, a key or a label is none that there can be")
    return RowSample(bins, keys, places, scores, labels)
