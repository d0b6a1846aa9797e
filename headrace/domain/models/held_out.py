"""Rows that a model was judged by, as its package keeps them: its inputs in bins, its score, and what turned out.

Estimates under shifted inputs are made of them (`quality.covariate_shift`), so a package has a few of them, drawn at
random, in the bins of its `profile.json`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace.columnar.hashes import codes_of
from headrace.domain.drift.cycles import hours_of
from headrace.domain.drift.reference_profile import ColumnProfile, ReferenceProfile
from headrace.domain.quality import row_sample
from headrace.domain.quality.row_sample import NEGATIVE, POSITIVE, RowSample, sampled
from headrace.errors import ContractError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]
MOST_ROWS = 10_000
"""Some 12 bytes a row, and half a byte for each input."""
MOST_INPUTS = 64
"""Of a model with more, nobody estimates under shift: what that costs grows with their square."""


def drawn(
    profile: ReferenceProfile,
    names: Sequence[str],
    matrix: npt.NDArray[np.floating],
    times: Ints,
    scores: Floats,
    labels: npt.NDArray[np.number],
) -> RowSample | None:
    """A sample of rows that a model was not fitted on, the same of the same rows; None where inputs are too many.

    Args:
        profile: of the rows that it was fitted on.
        names: of the matrix' columns, among them all inputs of the profile.
        matrix: rows x columns, NaN where missing.
        times: int64, event times, milliseconds.
        scores: float64, what the model says of them.
        labels: above 0 is positive.
    """
    if not 0 < len(profile.inputs) <= MOST_INPUTS:
        return None
    keys = keys_of(pa.array(np.arange(len(times))))
    some = np.argsort(keys)[:MOST_ROWS]
    columns = {name: np.ascontiguousarray(matrix[some, names.index(name)], np.float64) for name in profile.inputs}
    known = np.where(labels[some] > 0, POSITIVE, NEGATIVE).astype(np.uint8)
    places = places_of(profile.inputs, columns, times[some])
    return sampled(RowSample(bins_of(profile), keys[some], places, scores[some], known), MOST_ROWS)


def keys_of(ids: pa.Array) -> Ints:
    """Keys of rows by what they are known by, int64: who is sampled has to do with nothing else about them."""
    return codes_of(ids).view(np.int64)


def bins_of(profile: ReferenceProfile) -> tuple[int, ...]:
    """How many bins each input of a profile has."""
    return tuple(len(column.bins.counts) for column in profile.inputs.values())


def places_of(profiles: Mapping[str, ColumnProfile], columns: Mapping[str, Floats], times: Ints) -> Bytes:
    """The bin of each value, uint8[inputs, rows], C-contiguous.

    Args:
        profiles: of inputs, by name.
        columns: their values, float64, NaN where missing.
        times: int64, event times of the rows, milliseconds.
    """
    hours = hours_of(times)
    found = np.empty((len(profiles), len(times)), np.uint8)
    for at, (name, profile) in enumerate(profiles.items()):
        found[at] = profile.place(columns[name], hours)
    return found


def parse(data: bytes, profile: ReferenceProfile | None, where: str) -> RowSample:
    """The rows that a package keeps; ContractError says what is wrong with them, `where` they lie."""
    if profile is None:
        raise ContractError(f"{where} is of bins that no profile tells of")
    try:
        found = row_sample.unpack(data)
    except ContractError as fault:
        raise ContractError(f"{where}: {fault}") from None
    if found.bins != bins_of(profile):
        raise ContractError(f"{where} is of other bins than those of the profile")
    if len(found) > MOST_ROWS or not np.isfinite(found.scores).all():
        raise ContractError(f"{where} has more than {MOST_ROWS:,} rows, or scores that are no numbers")
    return found
