"""Rows that estimates under shifted inputs are made of: those in the model's package, and samples of predictions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace.domain.drift.reference_profile import ColumnProfile
from headrace.domain.models.answer_interval import AnswerInterval
from headrace.domain.models.held_out import keys_of, places_of
from headrace.domain.models.matrix import FeatureMatrix
from headrace.domain.models.package import SAMPLE, ModelPackage
from headrace.domain.models.store import ModelStore
from headrace.domain.quality.row_sample import UNLABELLED, RowSample, merged, nothing, sampled
from headrace.domain.scorecards.identity import Identity
from headrace.domain.scorecards.partial_aggregate import SAMPLED
from headrace.errors import ContractError, Transient

AWAY = "the model store does not answer"
NO_PACKAGE = "the model store has no sound package of the model"
NO_ROWS = f"the model's package has no {SAMPLE}, the rows held out in training"
_KEPT = 8
"""Packages whose rows are kept in memory: a third of a megabyte each."""


class FeatureBins:
    """Where the features of predictions lie in the bins of a model's package.

    Args:
        package: with a profile.
        schema: columns of predictions.

    Raises ContractError when predictions lack what the model reads.
    """

    def __init__(self, package: ModelPackage, schema: pa.Schema) -> None:
        reference = package.reference
        assert reference is not None, "rows held out stand beside a profile"
        self._profiles: Mapping[str, ColumnProfile] = reference.inputs
        inputs = {given.name: given for given in package.manifest.inputs}
        watched = [inputs[name] for name in self._profiles]
        self._matrix = FeatureMatrix.resolve(watched, schema, package.title)
        self._columns = [*dict.fromkeys(struct for struct, _ in self._matrix.paths), "event_time"]
        self.empty = nothing(tuple(len(column.bins.counts) for column in self._profiles.values()))

    def sample(self, columns: pa.RecordBatch, before: RowSample | None = None) -> RowSample:
        """The sample of some more predictions; that of all of them is the same, however they are cut.

        Args:
            columns: of predictions, with their features; at least one.
            before: the sample of others; None: there are none.
        """
        before = self.empty if before is None else before
        keys = keys_of(columns.column("event_id"))
        some = np.flatnonzero(keys <= (before.keys[-1] if len(before) == SAMPLED else _largest(keys)))
        if not len(some):
            return before
        rows = columns.select(self._columns).take(pa.array(some))
        return merged([before, sampled(self._rows(keys[some], rows), SAMPLED)], SAMPLED)

    def _rows(self, keys: npt.NDArray[np.int64], columns: pa.RecordBatch) -> RowSample:
        matrix = self._matrix.of(columns)
        values = {name: np.ascontiguousarray(matrix[:, at], np.float64) for at, name in enumerate(self._profiles)}
        times = columns.column("event_time").cast(pa.int64()).to_numpy()
        places = places_of(self._profiles, values, times)
        none = np.full(len(keys), np.nan), np.full(len(keys), UNLABELLED, np.uint8)
        return RowSample(self.empty.bins, keys, places, *none)


def _largest(keys: npt.NDArray[np.int64]) -> int:
    """A key that no sample of these goes beyond."""
    if len(keys) > SAMPLED:
        found = np.partition(keys, SAMPLED - 1)[SAMPLED - 1]
        if len(np.unique(keys[keys <= found])) >= SAMPLED:
            return int(found)
    return int(keys.max())


@dataclass(frozen=True, slots=True)
class NoShift:
    """Why nothing is estimated under shifted inputs."""

    reason: str


class PackagedRows:
    """Rows and bins of models' packages, each read once as long as it is in use.

    Args:
        store: where packages lie.
    """

    def __init__(self, store: ModelStore) -> None:
        self._store = store
        self._rows: dict[str, RowSample | NoShift] = {}
        self._intervals: dict[str, AnswerInterval | None] = {}

    def rows(self, who: Identity) -> RowSample | NoShift:
        """Labelled rows that a model was not fitted on. Raises Transient while its package cannot be had."""
        if who.digest in self._rows:
            return self._rows[who.digest]
        found = self._read(who)
        rows = found if isinstance(found, NoShift) else found.held_out or NoShift(NO_ROWS)
        if len(self._rows) >= _KEPT:
            del self._rows[next(iter(self._rows))]
        self._rows[who.digest] = rows
        return rows

    def bins(self, who: Identity, schema: pa.Schema) -> FeatureBins | NoShift:
        """By which bins a model's predictions are sampled. Raises Transient while its package cannot be had."""
        found = self._read(who)
        if isinstance(found, NoShift):
            return found
        if found.judged is None:
            return NoShift(NO_ROWS)
        try:
            return FeatureBins(found, schema)
        except ContractError as fault:
            return NoShift(str(fault))

    def interval(self, who: Identity) -> AnswerInterval | NoShift | None:
        """How far a model of quantities says that it may be off; None where it does not say, or has no package.

        What is not to be had now is said so.
        """
        if who.digest not in self._intervals:
            try:
                found = self._read(who)
            except Transient:
                return NoShift(AWAY)
            if len(self._intervals) >= _KEPT:
                del self._intervals[next(iter(self._intervals))]
            self._intervals[who.digest] = None if isinstance(found, NoShift) else found.manifest.interval
        return self._intervals[who.digest]

    def _read(self, who: Identity) -> ModelPackage | NoShift:
        try:
            return self._store.package(who.name, who.version, who.digest)
        except ContractError:
            return NoShift(NO_PACKAGE)
