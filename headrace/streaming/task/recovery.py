"""What is done where the past is not all there: nothing by itself. To go on would lose or double or blur in silence."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace

from headrace.errors import ContractError
from headrace.streaming.kafka.admin import Admin
from headrace.streaming.kafka.bindings import Wiring
from headrace.streaming.kafka.client import Consumer
from headrace.streaming.kafka.connection import Connection
from headrace.streaming.kafka.message import TopicPartition
from headrace.streaming.kafka.reader import messages, ranges
from headrace.streaming.process.logs import logger
from headrace.streaming.process.metrics import Metrics
from headrace.streaming.task.checkpoint import CheckpointGone, Checkpoints, CheckpointUnreadable
from headrace.streaming.task.commitment import CheckpointPlace, Commitment
from headrace.streaming.task.service import Service

log = logger("recovery")
ANSWER_AGAIN = "answer_again"
REBUILD_STATE = "rebuild_state"
SKIP_DELETED = "skip_deleted"
UNREADABLE = (LookupError, ValueError, TypeError, AttributeError, struct.error, zlib.error)
"""What reading bytes of another layout raises; of Arrow and JSON as well, whose errors are ValueErrors."""


class Recovery:
    """Refuses with the remedy, or goes on as an operator said in so many words.

    Args:
        allowed: what the operator allows (`HEADRACE_RECOVER`), or nothing.
        needs_whole_log: see `Service`.
    """

    def __init__(self, allowed: str, metrics: Metrics, needs_whole_log: str = "") -> None:
        self._needs_whole_log = needs_whole_log
        self.allowed = allowed
        self.metrics = metrics

    def state(
        self, checkpoints: Checkpoints, where: str, partition: int, found: Commitment, low: int,
        beat: Callable[[], None],
    ) -> tuple[CheckpointPlace | None, int, bytes | None]:  # fmt: skip  # where it lies, how it is read
        """(place, where its log is to be read from, snapshot) of the state that a partition has to begin with.

        Without a checkpoint, or where it may be rebuilt, it is rebuilt from its log, which begins at `low`.
        """
        place = found.place
        if place is None:
            if found.begun is not None and found.begun < low:
                self.rebuild_state(where, low, f"it has no checkpoint yet, and records from {found.begun} on are gone")
            return None, low, None
        low = since_of(found, low)
        if place.at < low:
            self.rebuild_state(where, low, f"records between its checkpoint at {place.at} and that are gone")
            return None, low, None
        try:
            return place, place.at, checkpoints.read(partition, place, beat)
        except (CheckpointGone, CheckpointUnreadable) as reason:
            self.rebuild_state(where, low, str(reason))
            return None, low, None

    def taken_over(
        self, service: Service, where: str, partition: int, snapshot: bytes | None, low: int, end: int | None = None
    ) -> bool:
        """Whether the service took a partition over with its snapshot; where it cannot read that, it begins with none,
        and its state is to be rebuilt from its log, which begins at `low`.

        A snapshot whose layout says that it can be read, and that lacks what a state has or has it in another shape, is
        of a version that changed the layout without saying so. ContractError where the log is not whole, see
        `rebuild_state`.
        """
        try:
            service.restore(partition, snapshot, end)
        except UNREADABLE as fault:
            if snapshot is None:
                raise
            reason = f"its checkpoint cannot be read by this version ({type(fault).__name__}: {fault})"
            self.rebuild_state(where, low, reason)
            service.restore(partition, None, end)
            return False
        return True

    def rebuild_state(self, where: str, low: int, reason: str) -> None:
        """A partition's state is to be built from its log, which begins at `low`: what lies before is gone, or was
        written when its topic had another number of partitions.

        A log from which nothing was ever deleted gives the very state that is gone. Of any other it is a ContractError,
        unless it is allowed.
        """
        if low > 0 and self._needs_whole_log:
            raise ContractError(
                f"{where}: {reason}, and its log begins at {low}, so the state cannot be rebuilt as it was. Stopped; "
                f"HEADRACE_RECOVER does not help here: {self._needs_whole_log}"
            )
        if low > 0:
            self._settle(
                REBUILD_STATE,
                f"{where}: {reason}, and its log begins at {low}, or is of another number of partitions before that: "
                "the state cannot be rebuilt as it was",
                "build it from what the log still has. What fell out of the log is missing from it until its longest "
                "window, and its labels' time to mature, have passed",
            )
        log.warning("state is rebuilt from the log", partition=where, reason=reason, begins=low)
        self.metrics.recoveries.labels(REBUILD_STATE).inc()

    def skip_deleted(self, where: str, low: int, found: Commitment, stateful: bool) -> Commitment:
        """Retention deleted records below `low` before they were read: the commitment to go on with behind the gap.

        Its state goes on as well, as the last checkpoint has it: records since then are missing from it, also those
        that were answered. Without a checkpoint it begins empty. ContractError unless that is allowed.
        """
        place = found.place
        folded = place.at if place else found.offset if found.begun is None else found.begun
        lack = ""
        if stateful:
            as_it_was = f"is that of {folded}" if place else "begins empty, for it has no checkpoint"
            lack = f", and its state {as_it_was}: what lies between is missing from it as well"
        self._settle(
            SKIP_DELETED,
            f"{where} begins at {low}, but only {found.offset} was processed: the records between were deleted before "
            "they were read (or were control records: then nothing is lost); raise the topic's retention",
            f"go on at {low}. The {low - found.offset} offsets between are never answered{lack}",
        )
        self.metrics.recoveries.labels(SKIP_DELETED).inc()
        self._gone("unanswered", where, found.offset, low)
        if stateful:
            self._gone("missing_from_state", where, folded, low, checkpoint=place is not None)
        # Rows of before may have been admitted: they are gone, as are those that were not.
        return Commitment(low, max(found.admitted, low), place and replace(place, at=low))

    def _gone(self, how: str, where: str, start: int, stop: int, **more: bool) -> None:
        self.metrics.offsets_deleted.labels(how).inc(stop - start)
        log.warning(
            "offsets were deleted", how=how, partition=where, start=start, stop=stop, offsets=stop - start, **more
        )

    def answer_again(self, group: str, evidence: str) -> None:
        """The group has answered before and no offset says how far. ContractError unless that is allowed."""
        self._settle(
            ANSWER_AGAIN,
            f"the group {group} has no committed offsets, but {evidence}: they expired (a broker forgets those of a "
            "group without members after offsets.retention.minutes, 7 days by default) or were deleted",
            "answer all that the input still holds, once more. Readers find a second answer to each event: delete what "
            "this group wrote before, or begin a new pipeline",
        )
        self.metrics.recoveries.labels(ANSWER_AGAIN).inc()

    def _settle(self, way: str, trouble: str, what: str) -> None:
        if self.allowed != way:
            raise ContractError(f"{trouble}. Stopped. To {what}: start once with HEADRACE_RECOVER={way}")
        log.warning("going on as told", way=way, trouble=trouble)


def since_of(found: Commitment, low: int) -> int:
    """From which offset on a log that begins at `low` is what a partition's state is folded of: before it, the topic
    had another number of partitions.
    """
    return low if found.place is None else max(low, found.place.since)


def check_offsets(
    connection: Connection,
    consumer: Consumer,
    wiring: Wiring,
    service: Service,
    recovery: Recovery,
    beat: Callable[[], None],
) -> None:
    """Refuse to begin anew where this group has been before: asked before it is joined.

    A group that never committed has no outputs and no checkpoints: each partition's first offset is committed with its
    first answers, or before them.
    """
    inputs = [TopicPartition(c.name, number) for c in wiring.inputs for number in range(consumer.partitions(c.name))]

    def known() -> bool:
        return any(found.offset >= 0 for found in consumer.committed(inputs))

    if known() or Admin(connection).members(wiring.group):
        return
    evidence = _evidence(connection, wiring, service, beat)
    # Asked once more: another member may have begun, and ended, since; what it wrote became readable with its offsets.
    if evidence is not None and not known():
        recovery.answer_again(wiring.group, evidence)


def _evidence(connection: Connection, wiring: Wiring, service: Service, beat: Callable[[], None]) -> str | None:
    """What shows that the group has answered before, or nothing."""
    for logical in () if service.succession.follows else service.answers:  # else they are of the group before
        name = wiring.outputs[logical].name
        written = ranges(connection, name)
        # What retention took was there as well.
        with closing(messages(connection, name, written)) as found:
            if any(part.start > 0 for part in written) or any(True for _ in found):
                return f"{name} holds its answers"
    if service.stateful:
        name, mine = wiring.checkpoints.name, f"{wiring.group}/".encode()
        with closing(messages(connection, name, ranges(connection, name))) as found:
            for part in found:
                beat()
                if any((message.key() or b"").startswith(mine) for message in part):
                    return f"{name} holds checkpoints of it"
    return None
