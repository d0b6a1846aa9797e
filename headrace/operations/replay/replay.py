"""Scores events of the past again, or for the first time, by a model and the features that were known then."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa

from headrace.domain.models.checks.score_range import finite
from headrace.domain.models.model_loader import OpenArm, Opener, Pass
from headrace.domain.models.settings import InferenceSettings
from headrace.domain.pipeline.contracts import PREDICTIONS
from headrace.domain.pipeline.wiring import Contracts
from headrace.domain.records.predictions import PredictionRecords
from headrace.domain.scorecards.identity import Identity
from headrace.domain.training.job.outcome_topic import check_kept
from headrace.errors import ConfigurationError
from headrace.operations.comparison.prediction_table import extent
from headrace.operations.comparison.training_overlap import Origin, origins
from headrace.operations.models.store_access import store_at
from headrace.operations.plan_changes.plan_topic import facts_of
from headrace.operations.progress import ProgressView
from headrace.operations.replay.arm import replayed_arm
from headrace.operations.replay.destinations import Destination, ReplayedRows
from headrace.operations.replay.recorded_scores import DAY, RecordedAgreement, ReplayedScores
from headrace.operations.replay.request import ReplayRequest, run_of
from headrace.operations.time_spans import FOREVER, Bounds, TimeSpan
from headrace.streaming.kafka.bindings import Channel
from headrace.streaming.kafka.connection import Connection
from headrace.streaming.kafka.reader import Range, ranges, read
from headrace.streaming.records.batch import Batch

CALL_S = 0.01
"""Seconds that a call of the model may take: nobody waits for a single answer, and larger batches gain nothing."""


class PrepareDestination(Protocol):
    """Opens where predictions go, once it is known that there are any to be made."""

    def __call__(self) -> Destination:
        """May raise as `destinations` says."""


@dataclass(frozen=True, slots=True)
class FeaturesGone:
    """A partition whose records below an offset were deleted, though events of the span may have been among them."""

    partition: int
    below: int


@dataclass(frozen=True, slots=True)
class ReplayedRange:
    """What a replay did.

    Attributes:
        run: its name, the end of its predictions' ids.
        model, digest, threshold: what scored.
        bounds: event times that were asked for.
        offsets: (partition, start, stop) of the features topic that were read.
        read: records; `outside`: of these, not within the event times; `unreadable`: could not be decoded.
        scored: predictions; `unanswered`: rows that the model gave no finite score.
        trained_on: predictions of events that the model was fitted on: its figures on them say nothing.
        origin_unknown: why (more of) that cannot be told.
        first, last: event times of the predictions, milliseconds; None without any.
        gone: where the topic does not reach back as far as the span.
        written_to: topic or file; empty for none. `written`: predictions that are durable there.
        agreement: with what was recorded, where it was asked for.
        stopped: whether a signal ended it before its end.
        seconds, cpu_seconds: that reading, scoring and writing took.
    """

    run: str
    model: str
    digest: str
    threshold: float
    bounds: Bounds
    offsets: Sequence[tuple[int, int, int]]
    read: int
    outside: int
    unreadable: int
    scored: int
    unanswered: int
    trained_on: int
    origin_unknown: Sequence[str]
    first: int | None
    last: int | None
    gone: Sequence[FeaturesGone]
    written_to: str
    written: int
    agreement: RecordedAgreement | None
    stopped: bool
    seconds: float
    cpu_seconds: float

    @property
    def whole(self) -> bool:
        """Whether every event that was asked for has its prediction."""
        return not (self.stopped or self.unreadable or self.unanswered or self.gone)


@dataclass(slots=True)
class _Counts:
    read: int = 0
    outside: int = 0
    unreadable: int = 0
    scored: int = 0
    unanswered: int = 0
    trained_on: int = 0
    first: int | None = None
    last: int | None = None

    def reach(self, times: np.ndarray) -> None:
        self.first = min(int(times.min()), int(times.max()) if self.first is None else self.first)
        self.last = max(int(times.max()), int(times.min()) if self.last is None else self.last)


def replay(
    settings: InferenceSettings,
    contracts: Contracts,
    request: ReplayRequest,
    prepare: PrepareDestination,
    progress: ProgressView,
    stop: threading.Event,
    compare: bool = False,
) -> ReplayedRange:
    """Score the events that are asked for, once each record of the features topic, and write what comes out.

    A repeat gives the same scores and ids. The model runs as the service `score` would run it.

    Args:
        settings, contracts: of the pipeline; how models are run.
        prepare: opens where predictions go.
        stop: once set, no further batch is begun; a file is not written then.
        compare: hold the scores against those that are recorded of the same model.

    Raises:
        ConfigurationError: the model is not clear, or there is nothing to score; nothing was written.
        ContractError: the model cannot be played, or offsets or a topic are gone.
        Transient: Kafka or the model store does not answer.
    """
    connection, channel = settings.connection, contracts.channel("features")
    store, facts = store_at(settings.models), facts_of(settings, contracts)
    arm = replayed_arm(request.model, store.packages(), facts)
    schema, model = channel.codec.reader.arrow, contracts.pipeline.model
    with progress.stage(f"opening {arm.title}"):
        opened = Opener(store, settings.session(CALL_S, model.classes), schema).open(arm)
    who = Identity(arm.model, arm.version, arm.digest, arm.arm)
    origin = origins(store, lambda: facts, [who])[who]
    wanted, gone = _wanted(connection, channel, request)
    records = PredictionRecords(PREDICTIONS, schema, contracts.channel(PREDICTIONS).codec.reader.arrow, model)
    scores = ReplayedScores() if compare else None
    run, counts = run_of(contracts.pipeline.name, opened, request), _Counts()
    began, cpu = time.monotonic(), time.process_time()
    destination, stopped = prepare(), False
    try:
        total = sum(part.stop - part.start for part in wanted)
        with progress.count(f"from {channel.name}", total) as advance:
            for intake in read(connection, channel, wanted):
                if stopped := stop.is_set():
                    break
                counts.read += len(intake.batch) + len(intake.rejects)
                counts.unreadable += len(intake.rejects)
                rows = _scored(intake.batch, request.span, opened, records, run, origin, counts)
                if rows is not None:
                    destination.write(rows)
                    if scores is not None:
                        scores.note(rows.emit.columns)
                advance(len(intake.batch) + len(intake.rejects))
        if not stopped and counts.read == counts.outside:
            raise ConfigurationError(_nothing(channel, request, counts))
        written = destination.finish(stopped)
    finally:
        destination.discard()
    took, spent = time.monotonic() - began, time.process_time() - cpu
    agreement = None
    if scores is not None and not stopped:
        agreement = scores.agreement(connection, contracts, arm.digest, progress)
    return ReplayedRange(
        run=run,
        model=arm.title,
        digest=arm.digest,
        threshold=opened.threshold,
        bounds=request.span.bounds,
        offsets=[(part.partition, part.start, part.stop) for part in wanted],
        read=counts.read,
        outside=counts.outside,
        unreadable=counts.unreadable,
        scored=counts.scored,
        unanswered=counts.unanswered,
        trained_on=counts.trained_on,
        origin_unknown=origin.unknown,
        first=counts.first,
        last=counts.last,
        gone=gone,
        written_to=destination.name,
        written=written,
        agreement=agreement,
        stopped=stopped,
        seconds=took,
        cpu_seconds=spent,
    )


def _scored(
    batch: Batch,
    span: TimeSpan,
    opened: OpenArm,
    records: PredictionRecords,
    run: str,
    origin: Origin,
    counts: _Counts,
) -> ReplayedRows | None:
    """The predictions of a batch; None where none of its rows is asked for and gets a score."""
    times = batch.columns["event_time"].cast(pa.int64()).to_numpy()
    inside = (times >= span.start) & (times < span.stop)
    counts.outside += int((~inside).sum())
    part, times = batch.take(inside), times[inside]
    if not len(part):
        return None
    clock: Callable[[], float] = time.perf_counter
    through, begin = Pass(part.columns, clock), clock()
    scores = opened.score(through)
    each = (clock() - begin + through.beside) / len(part)
    known = finite(scores)
    if not known.all():
        counts.unanswered += int((~known).sum())
        part, scores, times = part.take(known), scores[known], times[known]
        if not len(part):
            return None
    counts.scored += len(part)
    counts.reach(times)
    fitted = origin.saw(times)
    counts.trained_on += int(fitted.sum())
    emit = records.emit(part, opened, 0, scores, time.time(), each, replay=run)
    return ReplayedRows(emit, part, fitted)


def _wanted(connection: Connection, channel: Channel, request: ReplayRequest) -> tuple[list[Range], list[FeaturesGone]]:
    """What is to be read of the features topic, and where it does not reach back far enough."""
    whole = ranges(connection, channel.name)
    if request.offsets:
        offsets = {part.partition: (part.start, part.stop) for part in request.offsets}
        check_kept(channel.name, offsets, {part.partition: (part.start, part.stop) for part in whole})
        return list(request.offsets), []
    if request.span.start <= -FOREVER:
        return whole, []
    wanted = extent(connection, channel, TimeSpan(request.span.start - DAY, request.span.stop))
    starts = {part.partition: part.start for part in wanted}
    gone = [
        FeaturesGone(part.partition, part.start)
        for part in whole
        if part.start > 0 and starts.get(part.partition) == part.start
    ]
    return wanted, gone


def _nothing(channel: Channel, request: ReplayRequest, counts: _Counts) -> str:
    told = f"no event of {request.span.text} is on {channel.name}"
    if request.offsets:
        told += " at these offsets"
    return f"{told}: {counts.read:,} records were read; nothing was written"
