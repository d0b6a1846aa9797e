"""The seam between the runner and a service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from headrace.streaming.records.batch import Admission, Batch, Output
from headrace.streaming.watermarks.idleness import Quiet


@dataclass(frozen=True, slots=True)
class Succession:
    """What a service knows of the groups before and after its own, by their full names; empty where there is none.

    Attributes:
        follows: the group whose place this one takes.
        ends_for: the group that takes the place of this one, now.
    """

    follows: str = ""
    ends_for: str = ""


class Service:
    """What the runner asks of a service. Everything is told the time; nothing here knows Kafka.

    A service may read several topics. Wherever a partition is named here or in a `Batch`, its number says the topic
    too: it is `slot(place of the topic in inputs, partition)`, so those of the first input keep their own numbers. A
    batch holds rows of one topic; rows of different topics come in no particular order. A service may read a topic that
    it writes itself (to bring together what belongs together, by another key).

    A partition's life: `restore`, then for its rows, in offset order and each row once, `admit` and `replay` while they
    were answered in an earlier life, `admit` and `process` from then on; now and then `snapshot`; in the end `drop`, or
    nothing where the process ends. In `process`, `replay`, `snapshot` and `tick` a partition of an input that carries
    state is always one that was restored and not dropped; one of an input without state begins with `own`.

    A service's state for a partition is a pure function of the rows of that partition up to an offset: batch boundaries
    must not show in it. All hooks are called by one thread, none while another runs. What they raise ends the process,
    but for a `Transient` of `process`.
    """

    inputs: tuple[str, ...]
    """Logical names of the topics that the consumer group reads."""
    answers: tuple[str, ...] = ()
    """Outputs that nobody else writes: by them a group knows that it has been here before."""
    prepares: tuple[str, ...] = ()
    """Outputs that no group before it writes. While it follows one, what it emits on them is written all the same, for
    each record once, so that whoever reads them is ready when it answers; what it emits elsewhere is not."""
    counted: tuple[str, ...] = ()
    """Topics whose number of partitions decides where records of a key, and so its state, are: it may not change."""
    begins_kept: bool = False
    """Whether a partition's first commit has its checkpoint, so that it is never folded from its beginning again: where
    a state begins with more than its records, such as how many partitions others have."""
    layout: int = 1
    """Of its snapshots, as checkpoints name it: raised by whoever changes what a snapshot holds or means. A checkpoint
    of another layout is not read: the state is rebuilt from the log, or that is refused with the remedy."""
    needs_whole_log: str = ""
    """Why its state must not be built from a part of its log, whatever an operator allows; empty: it may."""
    merges: bool = False
    """Whether rows of one partition wait for those of others: all of an input that were held are offered together."""
    facts: tuple[str, ...] = ()
    """Logical names of compacted topics that every member reads whole, before and beside its input."""
    decides: tuple[str, ...] = ()
    """Those of them that it writes, see `headrace.streaming.records.batch.Fact`."""

    @property
    def stateful(self) -> tuple[str, ...]:
        """Inputs whose partitions carry state: it is checkpointed, and rebuilt before a partition's first answer.

        All, of a service that has a `snapshot` of its own; one that keeps nothing of some inputs names the others.
        """
        return self.inputs if type(self).snapshot is not Service.snapshot else ()

    @property
    def succession(self) -> Succession:
        """Which groups answer before and after this one, as far as its facts tell; see `streaming.task.succession`."""
        return Succession()

    # ---- the service ---------------------------------------------------------------------------------------------

    def start(self, partitions: Mapping[str, int]) -> None:
        """Told once, before all else: the number of partitions of each topic it is wired to, by logical name.

        Of those in `counted` they stay as they are for the life of the process; others may grow, which ends it.
        """

    def learn(self, facts: Batch, now: float) -> None:
        """Take up records of a fact topic, in the topic's order; all there were come before any other record.

        Not while a batch is at hand. The facts of one topic that come later do so whenever this member hears of them:
        which rows they hold for is not the same for two members, nor for a row that is answered again.
        """

    def tick(self, now: float, at_end: Mapping[int, Quiet]) -> Output:
        """Called at least every second between batches, but not while it is unknown which partitions come back.

        `at_end`: for each owned partition whose log is read to its end, since when and until when that is certain. What
        is made known of it holds for that time, not for `now`. Of the output, rows that wait and `rejects` mean
        nothing.
        """
        return Output()

    def ready(self) -> str | None:
        """None when records may be taken, else what is still missing (shown by /readyz). Asked once a second.

        For people and for whoever waits for a member to come up: records are offered in any case.
        """
        return None

    def durable(self) -> None:
        """Everything answered so far is committed, by `process` and by `tick`: none of it will be asked again."""

    # ---- rows ----------------------------------------------------------------------------------------------------

    def admit(self, batch: Batch, now: float) -> Admission:
        """Check rows and say which may pass; what is emitted here is written even when `process` then holds the rows.

        Called exactly once for each row in a life of the process; must not depend on anything but the rows, in order.
        What it emits and refuses is thrown away for rows that an earlier life had admitted.
        """
        return Admission(batch)

    def process(self, batch: Batch, now: float) -> Output:
        """Fold admitted rows into state and answer them, but for the partitions it holds, whose rows stay untouched.

        Rows that were held are offered again, and no later row of their partition before them, though several batches
        of `admit` may have passed meanwhile. A `Transient` leaves the service as if it had not been called: the same
        rows are offered again, until it has been raised for too long.
        """
        raise NotImplementedError

    def replay(self, batch: Batch) -> None:
        """Fold admitted rows into state, answering nothing: they were answered in an earlier life."""

    # ---- state ---------------------------------------------------------------------------------------------------

    def restore(self, partition: int, snapshot: bytes | None, end: int | None = None) -> None:
        """Take over a partition of an input with state, with what `snapshot` gave in an earlier life, or with none.

        What was known of the partition is replaced: another member may have gone on with it meanwhile. `end`: where its
        log ended just before; None where nobody asked. Raises ContractError for a snapshot that it cannot read.
        """

    def own(self, partition: int) -> None:
        """A partition of an input without state is this member's from now on; what was known of it is of no use."""

    def snapshot(self, partition: int) -> bytes | None:
        """The partition's state, whole: the fold of all rows that were processed, where none is held.

        None: there is none worth keeping now. It is asked again when there are more rows.
        """
        return None

    def drop(self, partition: int) -> None:
        """Forget a partition that now belongs to another member. Nothing of it may be emitted any more."""
