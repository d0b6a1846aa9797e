"""What a model predicted then, beside what its replay says: score by score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headrace.domain.pipeline.wiring import Contracts
from headrace.operations.comparison.prediction_table import TOPICS, extent
from headrace.operations.progress import ProgressView
from headrace.operations.time_spans import TimeSpan
from headrace.streaming.kafka.connection import Connection
from headrace.streaming.kafka.reader import read

kernels: Any = pc  # its stubs know too few of the overloads
EXAMPLES = 5
DAY = 86_400_000
"""Milliseconds: so much earlier than its event happened a record may have been written, by clocks that differ."""
OF_SCORES = ("event_id", "score", "decision", "event_time")
CLASS = "class"
"""And of models of several classes which one was decided on."""


@dataclass(frozen=True, slots=True)
class DifferentScore:
    """An event with two scores."""

    event_id: str
    recorded: float
    replayed: float


@dataclass(frozen=True, slots=True)
class RecordedAgreement:
    """How a replay compares with what was recorded of the same model, by its digest, in any arm.

    Attributes:
        recorded: records of the model on the predictions topics, within the event times that were replayed.
        compared: of these, whose event was replayed.
        unreplayed: the others: their features are gone, or lie outside of the offsets.
        unrecorded: replayed events without a record of the model.
        different: records whose score differs from the replay's in at least a bit.
        largest, mean: of the absolute differences of all compared; None without any.
        decisions: records that decided otherwise.
        unreadable: records of the predictions topics that could not be read.
        examples: some that differ, the largest first.
    """

    recorded: int
    compared: int
    unreplayed: int
    unrecorded: int
    different: int
    largest: float | None
    mean: float | None
    decisions: int
    unreadable: int
    examples: Sequence[DifferentScore]


@dataclass(slots=True)
class ReplayedScores:
    """The scores of a replay, kept to be compared: about 60 bytes an event."""

    parts: list[pa.RecordBatch] = field(default_factory=list)

    def note(self, predictions: pa.RecordBatch) -> None:
        """Keep a batch's."""
        self.parts.append(predictions.select(_columns(predictions.schema)))

    def agreement(
        self, connection: Connection, contracts: Contracts, digest: str, progress: ProgressView
    ) -> RecordedAgreement | None:
        """How they compare with what the topics say of the model; None where nothing was replayed.

        Raises:
            ContractError: a partition cannot be read.
            Transient: Kafka does not answer.
        """
        if not self.parts:
            return None
        replayed = pa.Table.from_batches(self.parts).combine_chunks()
        times = replayed["event_time"].cast(pa.int64()).to_numpy()
        span = TimeSpan(int(times.min()), int(times.max()) + 1)
        recorded, unreadable = _recorded(connection, contracts, digest, span, progress)
        return compared(replayed, recorded, unreadable)


def compared(replayed: pa.Table, recorded: pa.Table, unreadable: int = 0) -> RecordedAgreement:
    """Records beside the replay of their events; of an event that was replayed twice the first counts.

    Args:
        replayed, recorded: `OF_SCORES` in columns, and `CLASS` where there are several.
        unreadable: told along.
    """
    ids = replayed["event_id"].combine_chunks()
    at = kernels.index_in(recorded["event_id"].combine_chunks(), value_set=ids)
    known = at.is_valid().to_numpy(zero_copy_only=False)
    place = at.drop_null().to_numpy()
    then, now = recorded["score"].to_numpy()[known], replayed["score"].to_numpy()[place]
    apart: npt.NDArray[np.float64] = np.abs(then - now)
    decided = recorded["decision"].to_numpy()[known] != replayed["decision"].to_numpy()[place]
    if CLASS in recorded.column_names:
        then_said, now_said = (table[CLASS].to_numpy()[rows] for table, rows in ((recorded, known), (replayed, place)))
        decided |= then_said != now_said
    largest = np.argsort(-apart, kind="stable")[:EXAMPLES]
    names = recorded["event_id"].take(pa.array(np.flatnonzero(known)[largest])).to_pylist()
    events = kernels.unique(ids)
    met = kernels.is_in(events, value_set=recorded["event_id"].combine_chunks())
    return RecordedAgreement(
        recorded=recorded.num_rows,
        compared=len(place),
        unreplayed=recorded.num_rows - len(place),
        unrecorded=len(events) - (kernels.sum(met).as_py() or 0),
        different=int((then != now).sum()),
        largest=float(apart.max()) if len(apart) else None,
        mean=float(apart.mean()) if len(apart) else None,
        decisions=int(decided.sum()),
        unreadable=unreadable,
        examples=[
            DifferentScore(name, float(then[row]), float(now[row]))
            for name, row in zip(names, largest.tolist(), strict=True)
            if then[row] != now[row]
        ],
    )


def _columns(schema: pa.Schema) -> list[str]:
    """What is compared."""
    return [name for name in (*OF_SCORES, CLASS) if name in schema.names]


def _recorded(
    connection: Connection, contracts: Contracts, digest: str, span: TimeSpan, progress: ProgressView
) -> tuple[pa.Table, int]:
    """What the topics have of a model within a span, and how many records cannot be read."""
    schema = contracts.channel(TOPICS[0]).codec.reader.arrow
    names = _columns(schema)
    kept = pa.schema([schema.field(name) for name in names])
    found: list[pa.RecordBatch] = []
    unreadable = 0
    for channel in map(contracts.channel, TOPICS):
        wanted = extent(connection, channel, TimeSpan(span.start - DAY, span.stop))
        with progress.count(f"beside {channel.name}", sum(part.stop - part.start for part in wanted)) as advance:
            for intake in read(connection, channel, wanted):
                advance(len(intake.batch) + len(intake.rejects))
                unreadable += len(intake.rejects)
                columns = intake.batch.columns
                times = columns["event_time"].cast(pa.int64()).to_numpy()
                ours = kernels.equal(columns["model"].field("digest"), digest).to_numpy(zero_copy_only=False)
                ours &= (times >= span.start) & (times < span.stop)
                if ours.any():
                    found.append(columns.select(names).filter(pa.array(ours)))
    return pa.Table.from_batches(found, schema=kept), unreadable
