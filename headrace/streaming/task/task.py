"""One partition's life at this member, as states, and how far the partition has come.

A partition is taken over and *restoring* until it meets its past, *running* or *held* from then on, *suspended* when it
was given up and may come back, and *closed* when it is another member's: the states of Kafka Streams' tasks, whose
prepareCommit, postCommit, closeClean and closeDirty are here as well. Where another group answers it, whose place this
one is to take, it is *following*, as a standby task does, and goes on answering where the other one has *ended*.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum

from headrace.errors import ContractError
from headrace.streaming.kafka.message import Message
from headrace.streaming.records.batch import Batch
from headrace.streaming.task.commitment import CheckpointPlace, Commitment


class State(Enum):
    """What a partition is at."""

    FOLLOWING = "following"
    """Records are folded that another group has answered, and none that it has not."""
    RESTORING = "restoring"
    """Records are folded that were answered in an earlier life."""
    RUNNING = "running"
    """Rows are answered as they come."""
    HELD = "held"
    """Rows wait, and those behind them with them: the consumer is paused."""
    ENDED = "ended"
    """Another group answers from here on: nothing is read any more."""
    SUSPENDED = "suspended"
    """Given up, all that was answered committed; its state is kept for the case that it comes back."""
    CLOSED = "closed"
    """Gone for good."""


LEGAL = {
    State.FOLLOWING: {State.RESTORING, State.RUNNING, State.CLOSED},
    State.RESTORING: {State.RUNNING, State.ENDED, State.CLOSED},
    State.RUNNING: {State.HELD, State.ENDED, State.SUSPENDED, State.CLOSED},
    State.HELD: {State.RUNNING, State.ENDED, State.CLOSED},
    State.ENDED: {State.CLOSED},
    State.SUSPENDED: {State.RUNNING, State.CLOSED},
    State.CLOSED: set[State](),
}
READING = {State.FOLLOWING, State.RESTORING, State.RUNNING, State.HELD}
"""States in which records are taken. Held, too: of what was polled before the consumer was paused."""


class IllegalTransition(RuntimeError):
    """A partition was asked for what its state does not allow: a defect, which ends the process."""


@dataclass(frozen=True, slots=True)
class Pending:
    """Admitted rows of one partition that wait, with the records they came from."""

    batch: Batch
    records: list[Message]


@dataclass(slots=True, eq=False)
class Task:
    """A partition that this member owns, by the number that the service knows it by. Nobody else writes to it.

    Offsets: below `read` everything came from the consumer, below `admitted` it was admitted, in this or an earlier
    life. Records below `replay_until` were answered in an earlier life, those below `readmit_until` admitted in it; of
    one that follows: by the group that it follows. Below `told_until` this group itself had admitted them, and had
    written what is its own to write (see `Service.prepares`).

    `still_since` is when `read` moved last; `end_told_at` when that was told to be the end of the log. It is None while
    there is more, and from a pause on: only what is told again after it says that nothing came meanwhile.

    Attributes:
        where: the topic and its partition, for people.
        stateful: whether it has state, with checkpoints.
        place: where the newest checkpoint lies.
        begun: where its log began when its state did, as long as there is no checkpoint.
        held: rows that wait, in their order.
        stuck_since: since when a store is out of reach that its rows need.
        committed: what was committed last; None: nothing ever was.
        worked: whether records were taken or answered since the last commit; control records alone are no work.
        rows_since_checkpoint: records taken since the one at `place`.
        checkpoint_bytes: size of the newest one, committed or on its way.
        successor: the group that answers after this one; empty unless it has ended.
    """

    partition: int
    where: str
    stateful: bool
    read: int
    admitted: int
    replay_until: int
    readmit_until: int
    place: CheckpointPlace | None = None
    begun: int | None = None
    committed: Commitment | None = None
    follows: bool = False
    successor: str = ""
    told_until: int = 0
    worked: bool = True
    last_checkpoint: float = 0.0
    state: State = field(init=False)
    held: tuple[Pending, ...] = ()
    stuck_since: float | None = None
    still_since: float | None = None
    end_told_at: float | None = None
    rows_since_checkpoint: int = 0
    checkpoint_bytes: int = 0
    newest_timestamp: int = 0

    def __post_init__(self) -> None:
        if self.successor:
            self.state, self.worked = State.ENDED, False
        elif self.follows:
            self.state = State.FOLLOWING
        else:
            self.state = State.RESTORING if self.read < self.replay_until else State.RUNNING

    # ---- records come ----------------------------------------------------------------------------------------------

    def advance(self, first: int, last: int, newest_timestamp: int, now: float) -> None:
        """Records from `first` to `last` are about to be offered.

        Raises ContractError for a step back, which would fold records twice.
        """
        self._must_be(READING, "read")
        if first < self.read:
            raise ContractError(f"{self.where} went back from {self.read} to {first}")
        self.rows_since_checkpoint += last + 1 - first
        self.still_since, self.end_told_at = now, None
        self.newest_timestamp = newest_timestamp
        self._reach(last + 1)

    def meet_end(self, end: int, now: float) -> None:
        """The log was told to end here; nothing that was told before `read` moved on counts."""
        self._must_be(READING, "told its end")
        if self.read > end:
            return
        if self.still_since is None or self.read < end:
            self.still_since = now
        self.end_told_at = None if self.held else now  # Of a paused log nothing more is heard.
        # Past the control records at the end; one that follows goes no further than the group it follows.
        self._reach(min(end, max(self.replay_until, self.read)) if self.state is State.FOLLOWING else end)

    def _reach(self, offset: int) -> None:
        self.read = offset
        if self.state is State.RESTORING and offset >= self.replay_until:
            self._go(State.RUNNING)

    def admit(self) -> None:
        """All that was read is admitted: replayed, answered, refused, or held."""
        self._must_be(READING, "admitted")
        self.admitted = max(self.admitted, self.read)
        self.worked = True

    # ---- rows are answered or wait ---------------------------------------------------------------------------------

    def hold(self, pending: Pending) -> None:
        """Keep rows for later, behind those that wait already."""
        if self.state is not State.HELD:
            self._go(State.HELD)
        self.held = (*self.held, pending)
        self.end_told_at = None  # Nobody looks any more: the end is told again after the consumer is resumed.

    def release(self) -> tuple[Pending, ...]:
        """Rows that wait, to be offered once more; whoever takes them answers or holds them before anything else."""
        self._must_be({State.HELD}, "released")
        self._go(State.RUNNING)
        pending, self.held, self.worked = self.held, (), True
        return pending

    def note_answered(self) -> None:
        """Nothing is out of reach that its rows needed."""
        self.stuck_since = None

    def note_stuck(self, now: float) -> float:
        """What its rows need is out of reach; returns for how long by now, 0.0 for the first time."""
        if self.stuck_since is None:
            self.stuck_since = now
        return now - self.stuck_since

    def stop_short(self) -> None:
        """What was polled beyond the group that is followed is left for later: there is more, if somebody looks."""
        self._must_be({State.FOLLOWING}, "stopped short")
        self.end_told_at = None

    # ---- one group after another ------------------------------------------------------------------------------------

    def follow(self, answered: int, admitted: int) -> bool:
        """The group that is followed has answered, and admitted, what lies below these; returns whether it went on.

        ContractError where it went back: what was folded here is no longer what it has answered.
        """
        self._must_be({State.FOLLOWING}, "following")
        if answered < self.read:
            raise ContractError(
                f"{self.where} was answered up to {self.read} by the group that is followed, and now to {answered}"
            )
        before, self.replay_until, self.readmit_until = self.replay_until, answered, max(admitted, answered)
        return answered > before

    def answer_on(self) -> None:
        """The group that was followed has ended where it was last seen: from there on this one answers."""
        self._must_be({State.FOLLOWING}, "answered on")
        self.admitted = max(self.admitted, self.readmit_until)
        self._go(State.RESTORING if self.read < self.replay_until else State.RUNNING)

    def end(self, successor: str) -> None:
        """Answer no more: whoever reads the committed offset, with this in it, goes on from there."""
        self._must_be({State.RESTORING, State.RUNNING, State.HELD}, "ended")
        processed, admitted = self.processed, max(self.admitted, self.readmit_until)
        self._go(State.ENDED)
        self.held, self.read, self.admitted, self.successor, self.worked = (), processed, admitted, successor, True
        self.still_since = self.end_told_at = None

    # ---- what was done becomes durable -----------------------------------------------------------------------------

    @property
    def restoring(self) -> bool:
        """Whether records are folded that were answered in an earlier life."""
        return self.state is State.RESTORING

    @property
    def processed(self) -> int:
        """The offset below which everything was answered: that of the first record that waits, if any does.

        It follows from what waits and from nothing else, so no way through admission and release can leave it behind
        (records would be answered again) or carry it ahead (records would be skipped).
        """
        if self.held:
            return int(self.held[0].batch.offset[0])
        return self.read if self.state is State.FOLLOWING else max(self.read, self.replay_until)

    @property
    def told(self) -> int:
        """The offset below which this group has admitted everything itself."""
        return max(self.told_until, self.read)

    @property
    def taking_over(self) -> bool:
        """Whether it answers after another group, and nothing is committed yet that says so."""
        return self.follows and (self.committed is None or self.committed.silent)

    def commitment(self) -> Commitment:
        """What a commit now would say."""
        place = self.place
        exact = self.state in (State.RUNNING, State.FOLLOWING)
        if place is not None and not self.rows_since_checkpoint and exact:
            # Only control records came since: the same state stands for them, however much of the log retention takes.
            place = replace(place, at=self.processed)
        begun = self.begun if place is None else None
        if self.state is State.FOLLOWING or (self.restoring and self.taking_over):
            return Commitment(self.read, self.read, place, begun, silent=True)
        admitted = max(self.admitted, self.processed)
        told = self.told if self.told < admitted and self.state is not State.ENDED else None
        return Commitment(self.processed, admitted, place, begun, ended=self.successor, told=told)

    @property
    def unsaid(self) -> bool:
        """Whether a commit now would say anything new."""
        return self.committed != self.commitment()

    @property
    def dirty(self) -> bool:
        """Whether records were taken or answered of which the committed offset does not tell."""
        return self.worked and self.unsaid

    @property
    def outran_checkpoint(self) -> bool:
        """Whether its state is the fold to an offset beyond its newest checkpoint: to none where rows are held."""
        exact = self.state in (State.RUNNING, State.FOLLOWING)
        return self.stateful and self.rows_since_checkpoint > 0 and exact

    def prepare_commit(self, fresh: CheckpointPlace | None = None) -> Commitment | None:
        """What is to be committed, with a new checkpoint if there is one; None where nothing is.

        Of a partition that is being restored the committed offset stands: nothing was answered in this life. But what
        another group has answered, after which this one goes on, is committed as it is folded: it may have been told.
        """
        self._must_be(READING | {State.ENDED}, "committed")
        if self.restoring and not self.taking_over:
            return None
        commitment = self.commitment()
        if fresh is not None:
            commitment = replace(commitment, place=fresh)
        return commitment if commitment != self.committed else None

    def post_commit(self, commitment: Commitment | None) -> None:
        """What `prepare_commit` gave is durable, and so is all that was answered so far."""
        self._must_be(READING | {State.ENDED}, "committed")
        if commitment is not None:
            self.committed, self.place = commitment, commitment.place
        self.worked = False

    def note_snapshot(self, size: int) -> None:
        """A checkpoint of so many bytes is on its way."""
        self.checkpoint_bytes = size

    def note_checkpoint(self, rows: int, now: float) -> None:
        """A checkpoint was committed, which is so many rows ahead of the one before."""
        self.rows_since_checkpoint -= rows
        self.last_checkpoint = now

    def note_no_snapshot(self) -> None:
        """Its rows leave no state behind."""
        self.rows_since_checkpoint = 0

    # ---- it goes, and may come back --------------------------------------------------------------------------------

    def suspend(self) -> None:
        """Given up; IllegalTransition unless all that was answered is committed and nothing waits."""
        self._must_be_clean("suspended")
        self._go(State.SUSPENDED)

    def resumes(self, found: Commitment) -> bool:
        """Whether its state is that of the offset found as it comes back: nobody else went on from where it stopped."""
        return self.state is State.SUSPENDED and self.committed == found and self.processed == found.offset

    def resume(self) -> None:
        """It came back: it is read on from where it was, and its end must be told again."""
        self._must_be({State.SUSPENDED}, "resumed")
        self._go(State.RUNNING)
        self.still_since = self.end_told_at = None

    def close_clean(self) -> None:
        """It is another member's, with all that was answered committed; IllegalTransition where it is not."""
        self._must_be_clean("closed clean")
        self._go(State.CLOSED)

    def close_dirty(self) -> None:
        """It may be another member's already: what was not committed is for whoever goes on from the last commit."""
        self._go(State.CLOSED)

    def _must_be_clean(self, what: str) -> None:
        if self.worked:
            raise IllegalTransition(f"{self.where} has work that is not committed and cannot be {what}")

    def _must_be(self, states: set[State], what: str) -> None:
        if self.state not in states:
            raise IllegalTransition(f"{self.where} is {self.state.value} and cannot be {what}")

    def _go(self, state: State) -> None:
        if state not in LEGAL[self.state]:
            raise IllegalTransition(f"{self.where} cannot go from {self.state.value} to {state.value}")
        self.state = state
