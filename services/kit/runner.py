"""The loop: poll, admit, process, deliver, commit. It owns start, stop, redo, restore and backpressure; it decides
nothing about the records themselves.

The laws it keeps: nothing is acknowledged before it is durable; a partition's state is a fold of its records; a record is
processed, dead-lettered or waits; anything unexpected ends the process, whose supervisor starts a fresh one.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable

import numpy as np

from services.kit import dead_letters
from services.kit.batch import Batch, Emit, Reject
from services.kit.channels import Wiring
from services.kit.checkpoints import Checkpoints
from services.kit.delivery import Delivery, Parcel, TransactionAborted, open_delivery
from services.kit.errors import ContractError, Fenced, Transient
from services.kit.facts import Facts
from services.kit.health import Health
from services.kit.intake import Intake, take_in
from services.kit.kafka import Consumer, Message, TopicPartition, place, translate
from services.kit.logs import logger
from services.kit.metrics import Metrics
from services.kit.positions import Commitment, Owned, Pending, Place
from services.kit.service import Service
from services.kit.settings import Settings

log = logger("runner")
POLL_S = 0.05
RETRY_S = 0.005
TICK_S = 0.01
QUIET_S = 0.01
REDO_LIMIT = 20
END_OF_PARTITION = "_PARTITION_EOF"


class Runner:
    """Runs one member of one service until `stop()` is called or its input stays idle for `until_idle_s`."""

    def __init__(
        self, service: Service, wiring: Wiring, settings: Settings, metrics: Metrics, clock: Callable[[], float]
    ) -> None:
        self.service = service
        self.wiring = wiring
        self.settings = settings
        self.metrics = metrics
        self.clock = clock
        self.health = Health(metrics, clock)
        self.stopping = False
        self.owned: dict[int, Owned] = {}
        self.parked: dict[int, Owned] = {}
        self.backlog: list[Message] = []
        self.callback_error: Exception | None = None
        self.answered: list[np.ndarray] = []
        self.reject_share = dead_letters.RejectShare(settings.dead_letter_limit)
        self.opened_at: float | None = None
        self.retry_at = 0.0
        self.tick_at = 0.0
        self.gauge_at = 0.0
        self.quiet = True
        self.polled = 0
        self.dying = False
        self.joined = False
        self.gone_in_poll: set[int] = set()
        self.idle_since: float | None = None

    # ---- life ----------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Start, loop, drain. Raises what the loop could not handle; then nothing uncommitted was acknowledged."""
        self.open()
        try:
            while not self.stopping:
                self.step()
            self.drain()
        except BaseException:
            self.dying = True  # Closing revokes our partitions: half a batch must not be committed on the way out.
            raise
        finally:
            self.health.close()
            self.consumer.close()
            for facts in self.facts:
                facts.close()

    def stop(self) -> None:
        """Finish the batch at hand, commit, leave. Safe to call from a signal handler."""
        self.stopping = True

    def open(self) -> None:
        """Connect, check the topics, read the facts, join the group."""
        wiring, settings = self.wiring, self.settings
        connection = settings.connection
        port = self.health.serve(settings.host, settings.port)
        log.info("listening", port=port, paths=["/livez", "/readyz", "/metrics"])
        # The producer comes first: taking over the transactional id aborts what a dead predecessor left open.
        self.delivery: Delivery = open_delivery(settings.mode, connection, wiring.transactional_id)
        self.consumer = Consumer(
            connection,
            group=wiring.group,
            member=settings.member,
            protocol=settings.group_protocol,
            session_timeout_ms=settings.session_timeout_ms,
        )
        channels = [wiring.input, wiring.dead_letters, *wiring.outputs.values(), *wiring.facts.values()]
        names = {channel.logical: channel.name for channel in channels} | dict(wiring.beside)
        counts = {logical: self.consumer.partitions(name) for logical, name in names.items()}
        self.checkpoints = Checkpoints(connection, wiring, self.consumer.partitions(wiring.checkpoints.name))
        self.service.start(counts)
        self.facts = [Facts(connection, channel) for channel in wiring.facts.values()]
        for facts in self.facts:
            for batch in facts.whole():
                self.service.learn(batch, self.clock())
        gc.collect()
        gc.freeze()  # What start-up built stays: the collector need not walk it for every batch.
        self.consumer.subscribe(
            [wiring.input.name],
            on_assign=self._guarded(self.on_assign),
            on_revoke=self._guarded(self.on_revoke),
            on_lost=self._guarded(self.on_lost),
        )

    def drain(self) -> None:
        """The last commit, with a checkpoint, so that the next member need not replay."""
        log.info("draining", partitions=sorted(self.owned))
        self.commit(checkpoint=True)

    # ---- one turn ------------------------------------------------------------------------------------------------

    def step(self) -> None:
        """One turn of the loop."""
        self.health.beat()
        for facts in self.facts:
            for batch in facts.news():
                self.service.learn(batch, self.clock())
        messages = self.backlog or self.poll()
        self.backlog = []
        self.polled = len(messages)
        self.take(messages)
        now = self.clock()
        if now >= self.retry_at:
            self.retry_held(now)
        if now >= self.tick_at:
            self.tick_at = now + TICK_S
            at_end = {part: own.at_end_since for part, own in self.owned.items() if own.at_end_since is not None}
            output = self.service.tick(now, at_end)
            self.deliver(output.emits)
        if self.commit_is_due(self.clock()):
            self.commit()
        if now >= self.gauge_at:
            self.gauge_at = now + 1.0
            self.report(now)
        self.note_idle(now)

    def poll(self) -> list[Message]:
        """Messages that are there, or come soon; when there are few, waits `linger_ms` for more of them."""
        most = self.settings.batch_rows
        timeout = POLL_S
        if self.opened_at is not None:
            timeout = QUIET_S / 2
        if any(own.held for own in self.owned.values()):
            timeout = min(timeout, RETRY_S)
        with self.stage("poll"):
            messages = self.consumer.poll(1, timeout)
            if messages:
                messages = self.gather(messages, most, 0)
            if messages and len(messages) < most // 16 and self.settings.linger_ms:
                messages = self.gather(messages, most, self.settings.linger_ms / 1000)
        self._raise_callback_error()
        self.quiet = len(messages) < most // 16
        return messages

    def gather(self, messages: list[Message], most: int, timeout: float) -> list[Message]:
        """More messages behind these. A rebalance meanwhile drops those whose partitions went: they are read again."""
        self.gone_in_poll = set()
        more = self.consumer.poll(most - len(messages), timeout)
        if self.gone_in_poll:
            messages = [message for message in messages if message.partition() not in self.gone_in_poll]
        return messages + more

    def take(self, messages: list[Message]) -> None:
        """Take polled messages in: decode the records, admit and process them, note which partitions are at their end."""
        now = self.clock()
        records = []
        ends: dict[int, int] = {}
        for message in messages:
            error = message.error()
            if error is None:
                records.append(message)
            elif error.name() == END_OF_PARTITION:
                partition, end = place(message)
                ends[partition] = end
            elif isinstance(named := translate(error), Fenced):
                raise named
            else:
                log.warning("consumer", error=str(error))  # librdkafka goes on trying by itself.
        if records:
            with self.stage("decode"):
                intake = take_in(self.wiring.input, records)
            self.metrics.batch_rows.observe(len(records))
            self.advance(intake)
            self.sort_out(intake, now)
        for partition, end in ends.items():
            own = self.owned.get(partition)
            if own is not None and own.read <= end:
                own.read = end  # Past the control records at the end.
                own.at_end_since = now

    def advance(self, intake: Intake) -> None:
        """Move the reading positions; a step back would fold records twice."""
        for partition, (first, last, newest) in intake.ends.items():
            own = self.owned[partition]
            if first < own.read:
                raise ContractError(f"{self.wiring.input.name}[{partition}] went back from {own.read} to {first}")
            own.read = last + 1
            own.at_end_since = None
            own.newest_timestamp = newest

    def sort_out(self, intake: Intake, now: float) -> None:
        """Records answered in an earlier life are folded; admitted ones are answered; new ones are admitted as well."""
        batch = intake.batch
        touched = [self.owned[partition] for partition in intake.ends]
        if all(intake.ends[own.partition][0] >= own.readmit_until for own in touched):
            self.meet(batch, intake.rejects, intake.records, now)
        else:
            answered, admitted = np.zeros(len(batch), bool), np.zeros(len(batch), bool)
            for partition, rows in batch.runs():
                own = self.owned[partition]
                answered[rows] = batch.offset[rows] < own.replay_until
                admitted[rows] = batch.offset[rows] < own.readmit_until
            if answered.any():
                past = batch.take(answered)
                self.service.replay(self.service.admit(past, now).batch)
                self.metrics.replayed.inc(len(past))
            again = batch.take(admitted & ~answered)
            if len(again):
                self.answer(self.service.admit(again, now).batch, intake.records, now)
            news = [r for r in intake.rejects if r.offset >= self.owned[r.partition].readmit_until]
            self.meet(batch.take(~admitted), news, intake.records, now)
        for own in touched:
            own.admitted = max(own.admitted, own.read)
            if not own.held:
                own.processed = max(own.processed, own.read)

    def meet(self, batch: Batch, rejects: list[Reject], records: list[Message], now: float) -> None:
        """Admit new rows, refuse what must be refused, answer the rest."""
        admission = self.service.admit(batch, now)
        refused = [*rejects, *admission.rejects]
        self.reject_share.note(len(batch) + len(rejects), len(refused))
        self.refuse(refused, records, now)
        self.deliver(admission.emits)
        self.answer(admission.batch, records, now)

    def answer(self, batch: Batch, records: list[Message], now: float) -> None:
        """Process admitted rows; what must wait is kept, and its partitions paused."""
        waiting = {partition for partition, _ in batch.runs() if self.owned[partition].held}
        if waiting:  # Only when rows admitted in an earlier life are held before new ones of the same partition.
            mask = np.isin(batch.partition, list(waiting))
            self.hold(batch.take(mask), records, waiting)
            batch = batch.take(~mask)
        if not len(batch):
            return
        try:
            with self.stage("process"):
                output = self.service.process(batch, now)
        except Transient as reason:
            self.note_stuck(reason, {partition for partition, _ in batch.runs()}, now)
            self.hold(batch, records, {partition for partition, _ in batch.runs()})
            return
        self.refuse(output.rejects, records, now)
        self.deliver(output.emits)
        held = np.isin(batch.partition, list(output.held)) if output.held else np.zeros(len(batch), bool)
        self.answered.append(batch.timestamp[~held])
        self.metrics.records.labels("processed").inc(len(batch) - int(held.sum()))
        for partition, rows in batch.runs():
            if partition not in output.held:
                own = self.owned[partition]
                own.stuck_since = None
                own.rows_since_checkpoint += rows.stop - rows.start
        if output.held:
            self.hold(batch.take(held), records, output.held)

    def hold(self, batch: Batch, records: list[Message], partitions: Iterable[int]) -> None:
        """Keep rows for later and read no further in their partitions."""
        for partition, rows in batch.runs():
            if partition in partitions:
                self.owned[partition].held.append(Pending(batch.slice(rows), records))
        self.consumer.pause(TopicPartition(self.wiring.input.name, partition) for partition in partitions)

    def note_stuck(self, reason: Transient, partitions: Iterable[int], now: float) -> None:
        """A store is out of reach: bounded patience, then the process ends and says why."""
        for partition in partitions:
            own = self.owned[partition]
            if own.stuck_since is None:
                own.stuck_since = now
                log.warning("waiting", partition=partition, reason=str(reason))
            elif now - own.stuck_since > self.settings.patience_s:
                raise reason

    def retry_held(self, now: float) -> None:
        """Offer held rows again, in their order."""
        waited = False
        for own in list(self.owned.values()):
            if not own.held:
                continue
            waited = True
            pending, own.held = own.held, []
            for position, part in enumerate(pending):
                self.answer(part.batch, part.records, now)
                if own.held:
                    own.held.extend(pending[position + 1 :])
                    break
            else:
                own.processed = own.admitted
                self.consumer.resume([TopicPartition(self.wiring.input.name, own.partition)])
        stuck = any(own.stuck_since is not None for own in self.owned.values())
        self.retry_at = now + (0.2 if stuck else RETRY_S) if waited else 0.0

    # ---- outputs -------------------------------------------------------------------------------------------------

    def deliver(self, emits: Iterable[Emit]) -> None:
        """Encode and send what a service answered."""
        for emit in emits:
            channel = self.wiring.outputs[emit.topic]
            with self.stage("encode"):
                values = channel.codec.encode(emit.columns)
                keys = emit.key.to_pylist() if emit.key is not None else [None] * len(values)
                partitions = None if emit.partition is None else emit.partition.tolist()
            self.send(Parcel(channel.name, keys, values, emit.source, partitions))
            self.metrics.emitted.labels(emit.topic).inc(len(values))

    def refuse(self, rejects: Iterable[Reject], records: list[Message], now: float) -> None:
        """Write dead letters."""
        rejects = list(rejects)
        if not rejects:
            return
        by_place = {place(record): record for record in records}
        self.send(dead_letters.parcel(self.wiring, rejects, by_place, now))
        self.metrics.records.labels("refused").inc(len(rejects))
        for reject in rejects:
            self.metrics.dead_letters.labels(reject.reason).inc()

    def send(self, parcel: Parcel) -> None:
        if self.opened_at is None:
            self.opened_at = self.clock()
        with self.stage("produce"):
            try:
                self.delivery.send(parcel)
            except TransactionAborted as reason:
                self.redo(reason)

    # ---- commits -------------------------------------------------------------------------------------------------

    def commit_is_due(self, now: float) -> bool:
        """Under load every `commit_ms`; when it is quiet, or everything waits, as soon as there is something."""
        if self.opened_at is None:
            if all(own.committed == own.commitment() for own in self.owned.values()):
                return False
            self.opened_at = now
        if now - self.opened_at >= self.settings.commit_ms / 1000 or self.delivery.rows >= self.settings.commit_rows:
            return True
        if self.settings.mode == "at_least_once":
            return False
        waiting = all(own.held for own in self.owned.values())
        return waiting or (self.quiet and (not self.polled or now - self.opened_at >= QUIET_S))

    def commit(self, checkpoint: bool = False) -> None:
        """Make everything so far durable. Redoes the transaction until it commits or the member is fenced."""
        started = self.clock()
        redone = 0
        while True:
            try:
                self._commit_once(started, checkpoint)
                break
            except TransactionAborted as reason:
                redone += 1
                if redone > REDO_LIMIT:
                    raise Fenced(f"the transaction was aborted {redone} times: {reason}") from reason
                self.redo(reason)
                # A stale view of the group aborts commits until the rebalance is served, which polling does.
                polled = self.consumer.poll(1, 0.01)
                self._raise_callback_error()
                self.backlog = [*self.backlog, *polled]
        now = self.clock()
        self.opened_at = None
        self.metrics.commit.observe(now - started)
        self.metrics.stage.labels("commit").inc(now - started)
        for timestamps in self.answered:
            self.metrics.latency.observe(now - timestamps / 1000)
        self.answered = []

    def _commit_once(self, now: float, checkpoint: bool) -> None:
        places = self.write_checkpoints(now, checkpoint)
        if places:
            self.delivery.flush()
        fresh = {partition: place() for partition, place in places.items()}
        offsets = []
        commitments = {}
        for own in self.owned.values():
            if own.restoring():
                continue  # Its committed offset stands; nothing of it has been answered in this life.
            commitment = Commitment(
                own.processed, max(own.admitted, own.processed), fresh.get(own.partition, own.place)
            )
            if commitment != own.committed:
                commitments[own.partition] = commitment
                offsets.append(
                    TopicPartition(
                        self.wiring.input.name, own.partition, commitment.offset, metadata=commitment.metadata()
                    )
                )
        self.delivery.commit(self.consumer, offsets, self.consumer.group_metadata())
        for partition, commitment in commitments.items():
            own = self.owned[partition]
            own.committed = commitment
            if partition in fresh:
                own.place = fresh[partition]
                own.rows_since_checkpoint = 0
                own.last_checkpoint = now
                self.metrics.checkpoints.inc()

    def write_checkpoints(self, now: float, every: bool) -> dict[int, Callable[[], Place]]:
        """Queue the checkpoints that are due. A partition whose rows are held has none: its state is ahead of no offset."""
        places: dict[int, Callable[[], Place]] = {}
        if not self.service.stateful:
            return places
        for own in self.owned.values():
            old = now - own.last_checkpoint >= self.settings.checkpoint_s
            due = every or old or own.rows_since_checkpoint >= self.settings.checkpoint_rows
            if own.rows_since_checkpoint == 0 or not due or own.held or own.restoring():
                continue
            snapshot = self.service.snapshot(own.partition)
            if snapshot is not None:
                self.delivery.open()
                self.metrics.checkpoint_bytes.labels(str(own.partition)).set(len(snapshot))
                places[own.partition] = self.checkpoints.write(
                    self.delivery.producer, own.partition, own.processed, snapshot
                )
        return places

    def redo(self, reason: TransactionAborted) -> None:
        """Abort, and send the kept outputs again. Serves no rebalance, so it may stand in the middle of a batch."""
        log.warning("transaction aborted", reason=str(reason))
        self.metrics.aborts.inc()
        self.delivery.abort()
        for _ in range(REDO_LIMIT):
            try:
                return self.delivery.resend()
            except TransactionAborted:
                self.delivery.abort()
        raise Fenced(f"outputs could not be sent again: {reason}")

    # ---- partitions come and go ----------------------------------------------------------------------------------

    def on_assign(self, partitions: list[TopicPartition]) -> None:
        """Take partitions over, each with its state as of its committed offset."""
        self.joined = True
        for found in self.consumer.committed(partitions) if partitions else []:
            started = self.clock()
            own = self.restored(found)
            self.owned[own.partition] = own
            self.metrics.restore.observe(self.clock() - started)
        for partition in set(self.parked) - set(self.owned):
            self.service.drop(partition)
        self.parked = {}
        begin = {own.partition: own.read for own in self.owned.values()}
        self.consumer.take_over([TopicPartition(tp.topic, tp.partition, begin[tp.partition]) for tp in partitions])
        log.info("assigned", partitions={own.partition: own.read for own in self.owned.values()})

    def restored(self, found: TopicPartition) -> Owned:
        """A partition at its committed offset; one that was ours until this rebalance keeps its state if it fits."""
        partition = found.partition
        low, _ = self.consumer.watermarks(found.topic, partition)
        fresh = found.offset < 0
        commitment = Commitment(low, low) if fresh else Commitment.read(found.offset, found.metadata)
        kept = self.parked.pop(partition, None)
        if kept is not None and kept.committed == commitment and kept.processed == commitment.offset:
            kept.at_end_since = None
            return kept
        if commitment.offset < low:
            raise ContractError(
                f"{found.topic}[{partition}] begins at {low}, but only {commitment.offset} was processed: the records "
                "between were deleted before they were read; raise the topic's retention"
            )
        begin = commitment.offset
        if self.service.stateful:
            place = commitment.place
            begin = low if place is None else place.at
            if begin < low:
                raise ContractError(f"{found.topic}[{partition}] begins at {low}, after its checkpoint at {begin}")
            self.service.restore(partition, None if place is None else self.checkpoints.read(partition, place))
        return Owned(
            partition,
            read=begin,
            processed=commitment.offset,
            admitted=commitment.admitted,
            replay_until=commitment.offset,
            readmit_until=commitment.admitted,
            place=commitment.place,
            committed=None if fresh else commitment,
            last_checkpoint=self.clock(),
        )

    def on_revoke(self, partitions: list[TopicPartition]) -> None:
        """Commit what is done, with checkpoints, so that the next owner continues at once; keep the state for a while."""
        if self.dying:
            return self.leave(partitions, park=False)
        try:
            self._commit_once(self.clock(), checkpoint=True)
            self.opened_at = None
        except (TransactionAborted, Transient) as reason:
            # The next owner answers these records; ours must not become visible beside its.
            log.warning("outputs dropped at revocation", reason=str(reason))
            self.delivery.abort()
            self.leave(partitions, park=False)
            return
        self.leave(partitions, park=True)

    def on_lost(self, partitions: list[TopicPartition]) -> None:
        """Another member may own them already: never commit, drop state and outputs."""
        log.warning("partitions lost", partitions=sorted(tp.partition for tp in partitions))
        self.leave(partitions, park=False)

    def leave(self, partitions: list[TopicPartition], park: bool) -> None:
        gone = {tp.partition for tp in partitions}
        self.gone_in_poll |= gone
        if not self.dying:
            self.delivery.forget(gone)
        for partition in gone & set(self.owned):
            own = self.owned.pop(partition)
            if park and not own.held and not own.restoring():
                self.parked[partition] = own
            else:
                self.service.drop(partition)
        self.backlog = [message for message in self.backlog if message.partition() not in gone]

    def _guarded(self, callback: Callable[[list[TopicPartition]], None]) -> Callable[[list[TopicPartition]], None]:
        """Callbacks run inside librdkafka: what they raise is kept and raised by the loop, which dies of it."""

        def guarded(partitions: list[TopicPartition]) -> None:
            try:
                callback(partitions)
            except Exception as error:
                self.callback_error = error

        return guarded

    def _raise_callback_error(self) -> None:
        if self.callback_error is not None:
            raise self.callback_error

    # ---- telling -------------------------------------------------------------------------------------------------

    def report(self, now: float) -> None:
        """Gauges and readiness, once a second."""
        missing = self.service.ready()
        if missing is None and not self.owned:
            missing = "no partition is assigned"
        if missing is None and any(own.restoring() for own in self.owned.values()):
            missing = "state is being rebuilt"
        self.health.missing = missing
        self.metrics.owned.set(len(self.owned))
        self.metrics.held.set(sum(1 for own in self.owned.values() if own.held))
        for own in self.owned.values():
            high = self.consumer.high_watermark(self.wiring.input.name, own.partition)
            behind = max(high - own.processed, 0) if own.at_end_since is None or own.held else 0
            label = str(own.partition)
            self.metrics.lag_records.labels(label).set(behind)
            self.metrics.lag_seconds.labels(label).set(max(now - own.newest_timestamp / 1000, 0) if behind else 0)

    def note_idle(self, now: float) -> None:
        """Idle: every owned partition read to its end, answered and committed."""
        busy = (
            not self.joined
            or self.opened_at is not None
            or any(own.at_end_since is None or own.held for own in self.owned.values())
        )
        self.idle_since = None if busy else self.idle_since or now
        self.metrics.idle.set(0 if self.idle_since is None else now - self.idle_since)
        limit = self.settings.until_idle_s
        if limit is not None and self.idle_since is not None and now - self.idle_since >= limit:
            self.stop()

    def stage(self, stage: str) -> _Stage:
        return _Stage(self, stage)


class _Stage:
    """Adds the time inside a `with` to a stage's counter."""

    def __init__(self, runner: Runner, stage: str) -> None:
        self.runner = runner
        self.stage = stage

    def __enter__(self) -> None:
        self.started = self.runner.clock()

    def __exit__(self, *_: object) -> None:
        self.runner.metrics.stage.labels(self.stage).inc(self.runner.clock() - self.started)
