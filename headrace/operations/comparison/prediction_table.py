"""Predictions and outcomes as columns: only what a duel needs of them, read in one pass over each topic."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace.domain.pipeline.classes.columns import CLASS, chances_of, places_of
from headrace.domain.pipeline.segments import Segments
from headrace.domain.pipeline.spec import Pipeline
from headrace.domain.scorecards.backfills import backfilled
from headrace.domain.scorecards.identity import Identity, identities
from headrace.operations.progress import Advance
from headrace.operations.time_spans import FOREVER, TimeSpan
from headrace.operations.topics.tail import tail
from headrace.streaming.kafka.bindings import Channel
from headrace.streaming.kafka.connection import Connection
from headrace.streaming.kafka.reader import Range, ranges, read

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

TOPICS = ("predictions", "shadow-predictions")
_PEEKED = 50
"""Records at the end of each partition that say how far event time has come."""


@dataclass(frozen=True, slots=True)
class PredictionColumns:
    """Predictions of one model and arm, in the order of reading; one entry a row.

    Attributes:
        event_ids, entities: strings.
        times: int64, event times in milliseconds.
        scores: float64.
        flagged: bool, what was decided.
        latency: float32, milliseconds from the event's arrival to its score.
        backfilled: bool, whether the event was published long after it happened, or before.
        micros: float32, microseconds that the model took.
        groups: string, group of the segment that was asked for; empty without one.
        events: struct of the event's fields, or null where the pipeline carries none.
        chances: float64 [rows, classes], of each of several classes; no columns of others.
        decided: int64, the place of the class decided on; 0 of others.
    """

    event_ids: Any
    entities: Any
    times: Ints
    scores: Floats
    flagged: Flags
    latency: npt.NDArray[np.float32]
    backfilled: Flags
    micros: npt.NDArray[np.float32]
    groups: Any
    events: Any
    chances: Floats = field(default_factory=lambda: np.empty((0, 0)))
    decided: Ints = field(default_factory=lambda: np.empty(0, np.int64))

    def __len__(self) -> int:
        return len(self.scores)


@dataclass(frozen=True, slots=True)
class Truths:
    """Outcomes: for each the event, its label (float64, NaN for none), what orders revisions, and how far labels were.

    Attributes:
        as_of: int64, milliseconds: labels up to this label time had been read.
    """

    event_ids: Any
    labels: Floats
    revisions: Ints
    as_of: Ints

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(slots=True)
class Read:
    """What was read of the predictions topics.

    Attributes:
        answered: how many predictions each model and arm has in the span.
        topics: the topic of each.
        parts: those that were kept, by model and arm.
        unreadable: records that could not be read.
    """

    answered: dict[Identity, int] = field(default_factory=dict)
    topics: dict[Identity, str] = field(default_factory=dict)
    parts: dict[Identity, list[PredictionColumns]] = field(default_factory=dict)
    unreadable: int = 0

    def of(self, who: Identity) -> PredictionColumns:
        """All rows of one."""
        return PredictionColumns(*(_together(column) for column in _columns(self.parts[who])))


def newest(connection: Connection, channels: Sequence[Channel]) -> int | None:
    """The newest event time at the ends of some topics' partitions, milliseconds; None when they are empty."""
    found = None
    for channel in channels:
        wanted, _ = tail(connection, channel, _PEEKED)
        for intake in read(connection, channel, wanted):
            times = _millis(intake.batch.columns.column("event_time"))
            if len(times):
                found = max(int(times.max()), found or int(times.max()))
    return found


def extent(connection: Connection, channel: Channel, span: TimeSpan) -> list[Range]:
    """The part of a topic that may hold events of a span.

    What is written before an event happened cannot be about it, so reading begins at records written when the span
    begins; unless event times run ahead of the clock, as those of a simulation may: then at the beginning.
    """
    if span.start <= -FOREVER:
        return ranges(connection, channel.name)
    wanted, _ = tail(connection, channel, _PEEKED)
    for intake in read(connection, channel, wanted):
        if np.any(_millis(intake.batch.columns.column("event_time")) > intake.batch.timestamp):
            return ranges(connection, channel.name)
    return ranges(connection, channel.name, start_ms=max(span.start, 0))


def read_answers(
    connection: Connection,
    channels: Sequence[tuple[Channel, list[Range]]],
    span: TimeSpan,
    keeps: Callable[[Identity], bool],
    pipeline: Pipeline,
    segment: str | None,
    told: Advance,
) -> Read:
    """Predictions of a span; those of models that `keeps` names are kept, the others counted.

    Args:
        channels: predictions topics with what is to be read of them.
        segment: whose groups are to be told.
        told: how many records more were read.
    """
    found = Read()
    own = {} if segment is None else {segment: pipeline.segments[segment]}
    segments = Segments(replace(pipeline, segments=own))
    for channel, wanted in channels:
        for intake in read(connection, channel, wanted):
            told(len(intake.batch) + len(intake.rejects))
            found.unreadable += len(intake.rejects)
            columns = _within(intake.batch.columns, span)
            for who, rows in _by_identity(columns):
                found.answered[who] = found.answered.get(who, 0) + rows.num_rows
                found.topics[who] = channel.logical
                if keeps(who):
                    answers = _answers(rows, segments, pipeline.events.allowed_lateness, pipeline.model.classes)
                    found.parts.setdefault(who, []).append(answers)
    return found


def read_truths(
    connection: Connection,
    channel: Channel,
    wanted: list[Range],
    span: TimeSpan,
    who: Sequence[Identity],
    told: Advance,
) -> Truths:
    """Outcomes of a span, every revision, of some models and arms."""
    parts = [Truths(pa.array([], pa.string()), np.zeros(0), np.zeros(0, np.int64), np.zeros(0, np.int64))]
    for intake in read(connection, channel, wanted):
        told(len(intake.batch) + len(intake.rejects))
        for found, rows in _by_identity(_within(intake.batch.columns, span)):
            rows = rows.filter(pa.array(rows.column("revision").to_numpy() >= 0))  # -1: no outcome, a repeat
            if found in who:
                labels = rows.column("label").fill_null(np.nan).to_numpy(zero_copy_only=False)
                revisions = rows.column("revision").to_numpy().astype(np.int64)
                parts.append(Truths(rows.column("event_id"), labels, revisions, _millis(rows.column("as_of"))))
    return Truths(*(_together(column) for column in _columns(parts)))


def _answers(rows: pa.RecordBatch, segments: Segments, lateness: int, classes: Sequence[str] = ()) -> PredictionColumns:
    groups: Any = np.full(rows.num_rows, "", object)
    for (_, group), mask in segments.groups(rows):
        if mask is not None:
            groups[mask] = group
    happened, ingested = _millis(rows.column("event_time")), _millis(rows.column("ingest_time"))
    latency = _millis(rows.column("predicted_time")) - ingested
    has_event = "event" in rows.schema.names
    return PredictionColumns(
        rows.column("event_id"),
        rows.column("entity"),
        happened,
        rows.column("score").to_numpy(),
        rows.column("decision").to_numpy(zero_copy_only=False),
        np.maximum(latency, 0).astype(np.float32),
        backfilled(happened, ingested, lateness),
        rows.column("compute_micros").to_numpy().astype(np.float32),
        pa.array(groups, pa.string()).dictionary_encode(),
        rows.column("event") if has_event else pa.nulls(rows.num_rows),
        chances_of(rows) if classes else np.empty((rows.num_rows, 0)),
        places_of(rows.column(CLASS), classes) if classes else np.zeros(rows.num_rows, np.int64),
    )


def _within(columns: pa.RecordBatch, span: TimeSpan) -> pa.RecordBatch:
    times = _millis(columns.column("event_time"))
    inside = (times >= span.start) & (times < span.stop)
    return columns if inside.all() else columns.filter(pa.array(inside))


def _by_identity(columns: pa.RecordBatch) -> Iterator[tuple[Identity, pa.RecordBatch]]:
    """The rows of each model and arm."""
    if not columns.num_rows:
        return
    codes, known = identities(columns)
    for code, who in enumerate(known):
        yield who, columns if len(known) == 1 else columns.filter(pa.array(codes == code))


def _columns(parts: Sequence[Any]) -> Iterator[list[Any]]:
    for name in type(parts[0]).__dataclass_fields__:
        yield [getattr(part, name) for part in parts]


def _together(parts: list[Any]) -> Any:
    """One column of many: a NumPy array, or an Arrow array without chunks."""
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts)
    whole = pa.chunked_array(parts)
    if pa.types.is_dictionary(whole.type):
        whole = whole.unify_dictionaries()
    return whole.combine_chunks()


def _millis(column: Any) -> Ints:
    found: Ints = column.cast(pa.int64()).to_numpy()
    return found
