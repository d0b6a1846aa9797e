"""Watches what comes out of a pipeline: counts, identities and latencies, on a thread of its own."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headrace.operations.scorecard_query.leaderboard import Standing, Standings
from headrace.operations.topics.prediction_lines import PredictionLine, prediction_lines
from headrace.operations.topics.tail import Follower
from headrace.streaming.kafka.bindings import Channel
from headrace.streaming.kafka.connection import Connection
from headrace.streaming.records.batch import Batch
from headrace.streaming.records.codec import Codec

WAIT_S = 0.05
WINDOW_S = 5.0
"""Rates and latencies on display are of the last seconds."""
SHOWN = 6
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class DemoOutput:
    """What came out so far.

    Attributes:
        predictions, dead_letters: how many.
        rate: predictions a second, lately.
        latencies: seconds from an event's Kafka time stamp to the moment its prediction could be read, lately.
        last: the newest predictions, oldest first.
        outcomes: how many by state; corrections under `corrected`.
        standings: what the scorecards say of each model.
    """

    predictions: int
    dead_letters: int
    rate: float
    latencies: Floats
    last: Sequence[PredictionLine]
    outcomes: Mapping[str, int] = field(default_factory=dict)
    standings: Sequence[Standing] = ()


@dataclass(frozen=True, slots=True)
class Account:
    """Events and their answers, compared one by one by event id.

    Attributes:
        events, predictions, dead_letters: how many of each.
        unanswered: events with neither prediction nor dead letter.
        repeated: predictions beyond the first of their event.
        strange: predictions of events that were never published.
        both: events with a prediction and a dead letter.
    """

    events: int
    predictions: int
    dead_letters: int
    unanswered: int
    repeated: int
    strange: int
    both: int

    @property
    def differences(self) -> int:
        """How often an event has no fate, or more than one, or a prediction no event."""
        return self.unanswered + self.repeated + self.strange + self.both

    @property
    def balanced(self) -> bool:
        """Whether every event has exactly one fate."""
        return self.differences == 0


class Watch:
    """Reads what comes out from the beginning of its topics, as a consumer outside would.

    Args:
        events: the codec of events and the name of their id, to know the events in dead letters.
        predictions, dead_letters, outcomes, scorecards: the topics.
        listen: told every batch of outcomes, on the watch's thread.
    """

    def __init__(
        self,
        connection: Connection,
        events: tuple[Codec, str],
        predictions: Channel,
        dead_letters: Channel,
        outcomes: Channel,
        scorecards: Channel,
        *,
        listen: Callable[[pa.RecordBatch], None] = lambda outcomes: None,
    ) -> None:
        self.events = events
        self._listen = listen
        self._sources = (
            (Follower(connection, predictions), self._predictions),
            (Follower(connection, dead_letters), self._dead_letters),
            (Follower(connection, outcomes), self._take_outcomes),
            (Follower(connection, scorecards), self._take_scorecards),
        )
        self._outcomes: Counter[str] = Counter()
        self._standings = Standings()
        self._lock = threading.Lock()
        self._answered: list[pa.Array] = []
        self._refused: list[pa.Array] = []
        self._counts = [0, 0]
        self._recent: deque[tuple[float, Floats]] = deque()
        self._latencies: list[Floats] = []
        self._last: list[PredictionLine] = []
        self._measuring = False
        self._failure: Exception | None = None
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._thread.start()

    def measure(self) -> None:
        """From now on latencies count; before, it was a backlog."""
        with self._lock:
            self._measuring = True
            self._recent.clear()

    def seen(self, now: float) -> DemoOutput:
        """What came out so far; `now` in seconds since the epoch. Raises what the reading could not handle."""
        if self._failure is not None:
            raise self._failure
        with self._lock:
            while self._recent and self._recent[0][0] < now - WINDOW_S:
                self._recent.popleft()
            recent = [latencies for _, latencies in self._recent]
            joined = np.concatenate(recent) if recent else np.empty(0)
            predictions, dead_letters = self._counts
            rate, outcomes, standings = len(joined) / WINDOW_S, dict(self._outcomes), self._standings.now()
            return DemoOutput(predictions, dead_letters, rate, joined, tuple(self._last), outcomes, standings)

    def latencies(self) -> Floats:
        """All latencies since `measure`, in seconds."""
        with self._lock:
            return np.concatenate(self._latencies) if self._latencies else np.empty(0)

    def account(self, published: pa.Array | pa.ChunkedArray) -> Account:
        """Compare with the ids of all events published."""
        with self._lock:
            answered = _ids(pa.chunked_array(self._answered, pa.string()))
            refused = _ids(pa.chunked_array(self._refused, pa.string()))
            predictions, dead_letters = self._counts
        return compare(_ids(published), answered, refused, predictions, dead_letters)

    def close(self) -> None:
        """Stop watching."""
        self._ending.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            while not self._ending.is_set():
                # Only predictions are waited for: a wait for anything else would show as latency.
                for (follower, take), wait in zip(self._sources, (WAIT_S, 0.0, 0.0, 0.0), strict=True):
                    batch = follower.poll(wait)
                    if batch is not None:
                        take(batch, time.time())
        except Exception as failure:  # noqa: BLE001  # raised again by whoever asks what was seen
            self._failure = failure
        finally:
            for follower, _ in self._sources:
                follower.close()

    def _predictions(self, batch: Batch, now: float) -> None:
        columns = batch.columns
        latencies = now - columns.column("ingest_time").cast(pa.int64()).to_numpy() / 1000
        last = list(prediction_lines(columns.slice(max(len(batch) - SHOWN, 0))))
        with self._lock:
            self._answered.append(columns.column("event_id"))
            self._counts[0] += len(batch)
            self._recent.append((now, latencies))
            if self._measuring:
                self._latencies.append(latencies)
            self._last = [*self._last, *last][-SHOWN:]

    def _take_outcomes(self, batch: Batch, now: float) -> None:
        self._listen(batch.columns)
        first = pc.equal(batch.columns.column("revision"), 0)
        states = pc.if_else(first, batch.columns.column("state"), "corrected").value_counts().to_pylist()
        with self._lock:
            self._outcomes.update({entry["values"]: entry["counts"] for entry in states})

    def _take_scorecards(self, batch: Batch, now: float) -> None:
        with self._lock:
            self._standings.take(batch.columns.to_pylist())

    def _dead_letters(self, batch: Batch, now: float) -> None:
        codec, name = self.events
        ours = pc.equal(batch.columns.column("topic"), codec.subject.removesuffix("-value"))
        values = batch.columns.column("value").filter(ours)
        ids = codec.decode(values.to_pylist()).columns.column(name).cast(pa.string())
        with self._lock:
            self._refused.append(ids)
            self._counts[1] += len(batch)


def compare(
    published: npt.NDArray[Any], answered: npt.NDArray[Any], refused: npt.NDArray[Any], predictions: int, dead: int
) -> Account:
    """Events against their answers, by id.

    >>> compare(np.array(["a", "b", "c"]), np.array(["a", "a"]), np.array(["b"]), 2, 1)
    Account(events=3, predictions=2, dead_letters=1, unanswered=1, repeated=1, strange=0, both=0)
    """
    distinct = np.unique(answered)
    return Account(
        events=len(published),
        predictions=predictions,
        dead_letters=dead,
        unanswered=int((~np.isin(published, np.concatenate([distinct, refused]))).sum()),
        repeated=len(answered) - len(distinct),
        strange=int((~np.isin(distinct, published)).sum()),
        both=int(np.isin(distinct, refused).sum()),
    )


def _ids(column: pa.Array | pa.ChunkedArray) -> npt.NDArray[Any]:
    found: npt.NDArray[Any] = column.cast(pa.string()).to_numpy(zero_copy_only=False).astype(str)
    return found
