"""The log of events from some time on, through the gate of `enrich`, with what of it is deleted or may still change."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from headrace.domain.features.event_gate import DAY, Passed, times_of
from headrace.domain.features.offline_fold import OfflineGate, event_times
from headrace.domain.features.window_pool import Ints
from headrace.domain.pipeline import units
from headrace.domain.pipeline.spec import Pipeline, View
from headrace.domain.pipeline.wiring import Contracts
from headrace.errors import ConfigurationError
from headrace.operations.progress import ProgressView
from headrace.operations.topics.tail import tail
from headrace.streaming.kafka.reader import ranges, read
from headrace.streaming.process.settings import Settings
from headrace.streaming.watermarks.event_time import NEVER

PEEKED = 50
"""Records at the end of each partition that say how far event time has come."""


class EventLog:
    """Events of a pipeline that windows of some views may hold from a time on.

    Args:
        views: whose windows are wanted.
        since: event time from which on features are wanted, ms; None: from the newest on.

    Attributes:
        whole_from: windows that begin at this time or later lack nothing that was deleted, ms; NEVER where nothing was.
        unreadable: records that could not be decoded, so that `enrich` refused them too.
    """

    def __init__(
        self, settings: Settings, contracts: Contracts, views: Sequence[View], since: int | None, progress: ProgressView
    ) -> None:
        self._connection, self._channel = settings.connection, contracts.channel("events")
        self.pipeline: Pipeline = contracts.pipeline
        self._progress = progress
        self._gate = OfflineGate(self.pipeline)
        self.whole_from, self.unreadable = NEVER, 0
        newest, ahead = self._peek()
        if newest is None:
            raise ConfigurationError(
                f"{self._channel.name} has no events: `headrace publish {self.pipeline.name} FILE` writes some"
            )
        events = self.pipeline.events
        # What windows can hold, and before that what the gate has to know of lateness and repeats.
        reach = max((view.span for view in views), default=0) + events.allowed_lateness + events.repeats_within
        start = (newest if since is None else since) - reach - DAY
        everything = ahead or start <= 0
        self._wanted = ranges(self._connection, self._channel.name, None if everything else start)
        self._first = {part.partition: part.start for part in ranges(self._connection, self._channel.name)}

    @property
    def reached(self) -> int:
        """How far event time has credibly come, ms, of what was read; NEVER before there is any."""
        return self._gate.credible

    def passed(self) -> Iterator[tuple[Passed, Ints]]:
        """The rows that may pass, with their times (ms), each partition's in its order."""
        begun: set[int] = set()
        total = sum(part.stop - part.start for part in self._wanted)
        with self._progress.count(f"reading {self._channel.name}", total) as advance:
            for intake in read(self._connection, self._channel, self._wanted):
                self.unreadable += len(intake.rejects)
                for partition, rows in intake.batch.runs():
                    if partition not in begun:
                        begun.add(partition)
                        self._note_beginning(partition, times_of(intake.batch.columns, self.pipeline.events.time)[rows])
                if len(intake.batch):
                    found = self._gate.passed(intake.batch)
                    yield found, event_times(self.pipeline, found)
                advance(len(intake.batch) + len(intake.rejects))

    def lacks(self, view: View, time: int) -> str | None:
        """What a view's windows at a time may lack, and from when on they lack nothing; None where nothing."""
        begins = time - view.span
        if self.whole_from == NEVER or begins >= self.whole_from:
            return None
        whole = units.moment(self.whole_from)
        return (
            f"events before {whole} were deleted from {self._channel.name}, so windows that begin before may lack "
            f"some; all windows of {view.name} are whole for times from {units.moment(self.whole_from + view.span)} on"
        )

    def _note_beginning(self, partition: int, times: Ints) -> None:
        """What was deleted before a partition's first records may have been as young as these."""
        part = next(each for each in self._wanted if each.partition == partition)
        if part.start > 0 and part.start == self._first[partition]:
            self.whole_from = max(self.whole_from, int(times[:PEEKED].max()) + self.pipeline.events.allowed_lateness)

    def _peek(self) -> tuple[int | None, bool]:
        """The newest event time, ms; and whether events are dated ahead of when they were written."""
        wanted, _ = tail(self._connection, self._channel, PEEKED)
        newest, ahead = None, False
        for intake in read(self._connection, self._channel, wanted):
            times = intake.batch.columns.column(self.pipeline.events.time).cast(pa.int64()).to_numpy()
            if len(times):
                newest = max(int(times.max()), newest or int(times.max()))
                ahead = ahead or bool(np.any(times > intake.batch.timestamp))
        return newest, ahead
