"""What detectors of the literature would have said of an incident: they are folded again from recorded rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from headrace.domain.drift.reference_bins import Floats, Ints
from headrace.domain.drift.witnesses import METHODS, Witness
from headrace.domain.pipeline.classes.columns import CLASS, places_of
from headrace.domain.pipeline.wiring import Contracts
from headrace.domain.records.drift_parts import REFUSED
from headrace.domain.records.watched_columns import OUTCOMES, SILENT, ModelIdentity
from headrace.errors import ConfigurationError
from headrace.operations.drift.model_rows import model_rows, watched_of
from headrace.operations.drift.report import ChangedColumn, Incident
from headrace.operations.progress import ProgressView
from headrace.streaming.process.settings import Settings


@dataclass(frozen=True, slots=True)
class WitnessStatement:
    """What one of them says of a column.

    Attributes:
        name: of the detector, as river has it.
        column: what it listened to.
        rows_before: how many values it had heard when the change began; `before`: how often it had spoken by then.
        seen: event time at which it first spoke from then on, milliseconds; None: never.
        after: how many rows after the change began that was.
    """

    name: str
    column: str
    rows_before: int
    before: int
    seen: int | None
    after: int | None


@dataclass(frozen=True, slots=True)
class IncidentReport:
    """An incident with what witnesses say of it, nothing where nobody asked them."""

    incident: Incident
    witnesses: Sequence[WitnessStatement]


def witness_statements(
    settings: Settings, contracts: Contracts, incident: Incident, progress: ProgressView
) -> list[WitnessStatement]:
    """What each would have said of the first column of an incident that has values of its own.

    Of how wrong a model is, those that listen to errors are told whether its decisions were.

    Raises:
        ConfigurationError: river is not installed, nothing is recorded of it any more, or it has no values.
        Transient: Kafka, or the model store, does not answer.
    """
    if incident.stream == REFUSED:
        raise ConfigurationError(f"{incident.incident} is of what is refused: no witness listens to that")
    first = incident.columns[0]
    name, _, version = first.model.partition("@")
    model = ModelIdentity(name, version, first.digest)
    watched = watched_of(settings, contracts, incident.stream, model)
    named = [each for each in incident.columns if each.column in watched.plain and each.digest == first.digest]
    if not named:
        raise ConfigurationError(f"{incident.incident} is of inputs together: no witness listens to several at once")
    change = named[0]
    columns, times = model_rows(settings, contracts, incident.stream, model, watched, progress)
    values = watched.values(columns, change.column)
    judged = incident.stream == OUTCOMES and contracts.pipeline.model.output != "value"
    wrong = _errors(columns, contracts.pipeline.model.classes) if judged else None
    told = values != SILENT
    with progress.stage("hearing witnesses"):
        heard = {"numbers": values[told]} | ({} if wrong is None else {"errors": wrong[told], "shares": wrong[told]})
        return list(_statements(change, heard, times[told]))


def _errors(columns: pa.RecordBatch, classes: Sequence[str]) -> Floats:
    """1 where a decision, or the class decided on, was not what came true, else 0."""
    if classes:
        truth = columns.column("label").cast(pa.float64()).to_numpy(zero_copy_only=False)
        missed: Floats = (places_of(columns.column(CLASS), classes) != truth).astype(np.float64)
        return missed
    decided = columns.column("decision").cast(pa.float64()).to_numpy(zero_copy_only=False)
    true = columns.column("label").cast(pa.float64()).to_numpy(zero_copy_only=False) > 0.5
    found: Floats = (decided != true).astype(np.float64)
    return found


def _statements(change: ChangedColumn, heard: Mapping[str, Floats], times: Ints) -> Iterator[WitnessStatement]:
    first = int(np.searchsorted(times, change.reached if change.began is None else change.began))
    for name, method in METHODS.items():
        values = heard.get(method.takes)
        if values is not None:
            spoken = Witness(name).listen(values)
            since = spoken[spoken >= first]
            seen = (int(times[since[0]]), int(since[0]) - first) if len(since) else (None, None)
            yield WitnessStatement(name, change.column, first, int((spoken < first).sum()), *seen)
