"""Recorded rows of a model, in the order of their event times, as they are watched."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from headrace.domain.drift.reference_bins import Ints
from headrace.domain.drift.reference_profile import AttributionProfile
from headrace.domain.explanations.attributions import Attributions, attributions_like
from headrace.domain.pipeline.wiring import Contracts
from headrace.domain.records.watched_columns import OUTCOMES, ModelIdentity, WatchedColumns, judged
from headrace.errors import ConfigurationError
from headrace.operations.models.store_access import store_at
from headrace.operations.progress import ProgressView
from headrace.streaming.kafka.reader import ranges, read
from headrace.streaming.process.settings import Settings


def watched_of(settings: Settings, contracts: Contracts, stream: str, model: ModelIdentity) -> WatchedColumns:
    """What is watched of a model, by its package. Raises Transient while the model store does not answer."""
    package = store_at(settings.models).package(*model)
    schema = contracts.channel(stream).codec.reader.arrow

    def opening(profile: AttributionProfile) -> Attributions:
        return attributions_like(package, profile.sample)

    return WatchedColumns(stream, contracts.pipeline, package.manifest, package.reference, schema, opening)


def model_rows(
    settings: Settings,
    contracts: Contracts,
    stream: str,
    model: ModelIdentity,
    watched: WatchedColumns,
    progress: ProgressView,
) -> tuple[pa.RecordBatch, Ints]:
    """The rows of a stream that a model was not fitted on, and their event times, int64 milliseconds, ascending.

    Raises:
        ConfigurationError: there are none.
        Transient: Kafka does not answer.
    """
    channel = contracts.channel(stream)
    wanted = ranges(settings.connection, channel.name)
    parts = []
    with progress.count(stream, sum(part.stop - part.start for part in wanted)) as advance:
        for intake in read(settings.connection, channel, wanted):
            advance(len(intake.batch) + len(intake.rejects))
            columns = intake.batch.columns
            ours = columns.column("model").field("digest").cast(pa.string()).to_numpy(zero_copy_only=False)
            rows = (ours == model.digest) & watched.new(columns)
            if stream == OUTCOMES:
                rows &= judged(columns)
            if rows.any():
                parts.append(columns.filter(pa.array(rows)))
    if not parts:
        raise ConfigurationError(f"{model.title} has no {stream} yet of events that it was not fitted on")
    whole = pa.Table.from_batches(parts).combine_chunks().to_batches()[0]
    times = whole.column("event_time").cast(pa.int64()).to_numpy()
    order = np.argsort(times, kind="stable")
    return whole.take(pa.array(order)), times[order]
