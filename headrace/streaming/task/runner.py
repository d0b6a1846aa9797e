"""The loop: poll, admit, process, deliver, commit. It decides nothing about the records themselves.

The laws it keeps: nothing is acknowledged before it is durable; a partition's state is a fold of its records; a record
is processed, dead-lettered or waits; anything unexpected ends the process, whose supervisor starts a fresh one.
"""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Iterator

import numpy as np

from headrace.columnar.jit import prepare
from headrace.errors import ContractError, Fenced, HeadraceError, Transient
from headrace.streaming.kafka.bindings import Channel, Wiring
from headrace.streaming.kafka.client import Consumer
from headrace.streaming.kafka.decode import Intake, take_in
from headrace.streaming.kafka.errors import TransactionAborted, translate
from headrace.streaming.kafka.global_table import Facts
from headrace.streaming.kafka.message import Message, place
from headrace.streaming.kafka.poll_result import parted
from headrace.streaming.process.clock import SteadyClock
from headrace.streaming.process.health import Health
from headrace.streaming.process.logs import logger
from headrace.streaming.process.metrics import Metrics
from headrace.streaming.process.settings import Settings
from headrace.streaming.records.dead_letters import RejectShare
from headrace.streaming.task.checkpoint import Checkpoints
from headrace.streaming.task.commit import QUIET_S, Commits
from headrace.streaming.task.outputs import Outbox
from headrace.streaming.task.partition_counts import Grown, PartitionCounts, await_producers
from headrace.streaming.task.processor import RETRY_S, Answering
from headrace.streaming.task.progress import Progress
from headrace.streaming.task.rebalance import Membership
from headrace.streaming.task.recovery import Recovery, check_offsets
from headrace.streaming.task.service import Service
from headrace.streaming.task.succession import Following
from headrace.streaming.task.task import State, Task
from headrace.streaming.task.transactions import Delivery, Retry, open_delivery
from headrace.streaming.watermarks.idleness import Lookout, Quiet

log = logger("runner")
POLL_S = 0.05
TICK_S = 0.01
GAUGE_S = 1.0
COMPILING_S = 5.0
"""Kernels that take longer are told of in the log, each time again."""
GC_THRESHOLD = 100_000
BATCH_BYTES = 8 << 20
"""Values of one batch: what is made of them on the way out, dead letters above all, holds them several times over."""
UNREADABLE_RETRY_S = 0.2
TOO_LATE = "_MAX_POLL_EXCEEDED"
"""The member left the group by the clock: its partitions are taken away next, and it joins again."""


class Runner:
    """Runs one member of one service until `stop()` is called or its input stays idle for `until_idle_s`."""

    def __init__(self, service: Service, wiring: Wiring, settings: Settings, metrics: Metrics) -> None:
        self.service = service
        self.wiring = wiring
        self.settings = settings
        self.metrics = metrics
        self.connection = settings.connection
        self.library = self.connection.library
        self.clock = SteadyClock(self.library.wall, self.library.monotonic)
        # Monotonic: a clock that is set right must not look like a loop that hangs.
        self.health = Health(metrics, self.library.monotonic, settings.silence_s)
        self.owned: dict[int, Task] = {}
        self._stop = threading.Event()
        self._backlog: list[Message] = []
        self._lookout = Lookout()
        self._unreadable_since: float | None = None
        self._tick_at = 0.0
        self._gauge_at = 0.0
        self._delivery: Delivery | None = None

    # ---- life ----------------------------------------------------------------------------------------------------

    @property
    def stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._stop.is_set()

    @property
    def tangled(self) -> bool:
        """Whether the process may hang when it ends in the ordinary way: a producer that hung was left behind."""
        return self._delivery is not None and len(self._delivery.left) > 0

    @property
    def written(self) -> tuple[str, ...]:
        """Logical names of the topics that it writes."""
        wiring = self.wiring
        state = (wiring.checkpoints.logical,) if self.service.stateful else ()
        return (*wiring.outputs, *self.service.decides, wiring.dead_letters.logical, *state)

    def stop(self) -> None:
        """Finish the batch at hand, commit, leave. Safe to call from a signal handler."""
        self._stop.set()

    def run(self) -> None:
        """Start, loop, drain. Raises what the loop could not handle; then nothing uncommitted was acknowledged."""
        try:
            port = self.health.serve(self.settings.host, self.settings.port)
            log.info("listening", port=port, paths=["/livez", "/readyz", "/metrics"])
            self._prepare()
            if not await_producers(self.connection, self.wiring.inputs, self.health, self._stop):
                return
            turns = self.turns()
            next(turns)
            gc.collect()
            gc.freeze()  # What start-up built stays: the collector need not walk it for every batch,
            gc.set_threshold(GC_THRESHOLD)  # nor look for cycles among the messages of a batch: they have none.
            for _ in turns:
                pass
        finally:
            self.health.close()

    def turns(self) -> Iterator[None]:
        """The life of a member alone, without a process around it: it is open after the first turn, loops, and drains.

        What turns it decides what happens between two of them. Raises as `run` does.
        """
        self.open()
        try:
            try:
                yield
                while not self.stopping:
                    self.step()
                    yield
            except Grown:
                self.commits.finish()  # What was read until now is right, and is moved from here.
                raise
            log.info("draining", partitions=sorted(self.owned))
            self.commits.finish()
        except BaseException as error:
            self.membership.dying = True  # Closing revokes our partitions: half a batch must not be committed then.
            if not isinstance(error, Fenced):
                self._abandon()
            raise
        finally:
            self.consumer.close()
            self.following.close()
            for facts in self.facts:
                facts.close()

    def _abandon(self) -> None:
        """Abort what is open, so that readers need not wait for its time-out; the process ends in any case."""
        try:
            self.outbox.delivery.abort()
        except HeadraceError as error:
            log.warning("the open transaction was left to its time-out", reason=str(error))

    def open(self) -> None:
        """Connect, check the topics, read the facts, join the group."""
        wiring, settings = self.wiring, self.settings
        connection = self.connection
        # The producer comes first: taking over the transactional id aborts what a dead predecessor left open.
        retry = Retry(settings.patience_s, self.health.beat, self.library.monotonic, self.library.sleep)
        self._delivery = delivery = open_delivery(settings.mode, connection, wiring.transactional_id, retry)
        channels = [*wiring.inputs, wiring.dead_letters, *wiring.outputs.values(), *wiring.facts.values()]
        names = {channel.logical: channel.name for channel in channels} | dict(wiring.beside)
        asking = Consumer(connection)
        counted = {logical: asking.partitions(name) for logical, name in names.items()}
        asking.close()
        self.counts = PartitionCounts(wiring, self.service, counted)
        self.consumer = Consumer(
            connection,
            group=wiring.group,
            member=self.counts.instance,
            protocol=settings.group_protocol,
            session_timeout_ms=settings.session_timeout_ms,
        )
        self.counts.check_group(self.consumer)
        self.service.start(counted)
        places = self.consumer.partitions(wiring.checkpoints.name)
        checkpoints = Checkpoints(connection, wiring, places, self.service.layout)
        share = RejectShare(settings.dead_letter_limit)
        self.outbox = Outbox(wiring, delivery, self.metrics, self.clock)
        self.answering = Answering(
            self.service, self.outbox, self.consumer, self.owned, self.metrics, share, settings.patience_s
        )
        self.commits = Commits(
            self.service,
            self.outbox,
            self.consumer,
            checkpoints,
            self.owned,
            settings,
            self.metrics,
            self._serve_rebalance,
            self.counts,
        )
        recovery = Recovery(settings.recover, self.metrics, self.service.needs_whole_log)
        self.membership = Membership(
            wiring,
            self.service,
            self.consumer,
            checkpoints,
            self.commits,
            recovery,
            self.metrics,
            self.clock,
            self.health.beat,
        )
        self.following = Following(connection, wiring, self.consumer, self.commits)
        self.facts = [Facts(connection, channel, self.metrics) for channel in wiring.facts.values()]
        self.progress = Progress(
            self.service,
            wiring,
            self.consumer,
            self.owned,
            self.answering,
            self.commits,
            self.membership,
            self.facts,
            self.metrics,
            self.health,
        )
        for facts in self.facts:
            for batch in facts.whole():
                self.health.beat()
                self.service.learn(batch, self.clock())
        check_offsets(connection, self.consumer, wiring, self.service, recovery, self.health.beat)
        self.membership.join()

    def _prepare(self) -> None:
        """Have all kernels compiled before there is a loop that they could hold up."""
        begun = told = time.monotonic()

        def beat(done: int, total: int) -> None:
            nonlocal told
            self.health.beat()
            if done < total:
                self.health.missing = f"kernels are being compiled, {done} of {total} are ready"
                if time.monotonic() - told >= COMPILING_S:
                    told = time.monotonic()
                    log.info("compiling kernels, once for this machine and version", ready=done, of=total)

        prepare(beat)
        self.health.missing = "starting"
        log.info("kernels ready", seconds=round(time.monotonic() - begun, 1))

    # ---- one turn ------------------------------------------------------------------------------------------------

    def step(self) -> None:
        """One turn of the loop."""
        self.health.beat()
        for facts in self.facts:
            for batch in facts.news():
                self.service.learn(batch, self.clock())
        begun, looked = self.clock(), not self._backlog
        self._backlog = self._backlog or self.poll()
        if self.settings.mode == "at_least_once" and self.commits.new():
            # Its outputs are readable before their offsets: without any, nobody could tell that the group was here.
            self.commits.commit()
        if self.service.succession.ends_for:  # It may serve a rebalance, which changes the backlog.
            self.commits.end(self.service.succession.ends_for)
        self._backlog = self.following.turn(self.service.succession, self._backlog, self.clock())
        messages, self._backlog = bounded(self._backlog)
        self.take(messages)
        self._lookout.looked(begun, looked and len(messages) < self.settings.batch_rows and not self._backlog)
        now = self.clock()
        self.answering.retry(now)
        if now >= self._tick_at and not self.membership.between:
            self._tick_at = now + TICK_S
            output = self.service.tick(now, self._at_end())
            self.outbox.decide(output.facts)
            self.outbox.deliver(output.emits)
            self.progress.ticked(output.unfinished, now)
        if self.commits.due(self.clock(), len(messages)):
            self.commits.commit()
        if now >= self._gauge_at:
            self._gauge_at = now + GAUGE_S
            self.progress.report(now)
            self.counts.look(self.consumer, now)
        idle = self.progress.idle_s(self.clock(), bool(self._backlog))
        if self.settings.until_idle_s is not None and idle >= self.settings.until_idle_s:
            self.stop()

    def _at_end(self) -> dict[int, Quiet]:
        """The partitions that were at their end for a while."""
        until = self._lookout.until
        return {
            task.partition: Quiet(task.still_since, until, followed=task.state is State.FOLLOWING)
            for task in self.owned.values()
            if task.still_since is not None and task.end_told_at is not None and task.end_told_at <= until
        }

    def poll(self) -> list[Message]:
        """Messages that are there, or come soon; when there are few, waits `linger_ms` for more of them."""
        most = self.settings.batch_rows
        timeout = POLL_S if self.outbox.opened_at is None else QUIET_S / 2
        if self.answering.waits():
            timeout = min(timeout, RETRY_S)
        with self.metrics.stage("poll"):
            messages = self.consumer.poll(1, timeout)
            if messages and most > 1:
                messages = self._gather(messages, most, 0)
            if messages and len(messages) < most // 16 and self.settings.linger_ms:
                messages = self._gather(messages, most, self.settings.linger_ms / 1000)
        self.membership.raise_error()
        return messages

    def _gather(self, messages: list[Message], most: int, timeout: float) -> list[Message]:
        """More messages behind these. A rebalance meanwhile drops those whose partitions went: they are read again."""
        self.membership.gone.clear()
        more = self.consumer.poll(most - len(messages), timeout)
        return self._still_ours(messages) + more

    def _still_ours(self, messages: list[Message]) -> list[Message]:
        gone = self.membership.gone
        if not gone:
            return messages
        # What the consumer says of itself is of no partition, and stays.
        return [message for message in messages if message.partition() is None or self._number(message) not in gone]

    def _number(self, message: Message) -> int:
        return self.wiring.number(message.topic(), message.partition())

    def _serve_rebalance(self) -> None:
        """Let a waiting rebalance happen between two batches; messages that come meanwhile are the next to be taken."""
        self.membership.gone.clear()
        polled = self.consumer.poll(1, 0.01)
        self._backlog = [*self._still_ours(self._backlog), *polled]
        self.membership.raise_error()

    def take(self, messages: list[Message]) -> None:
        """Take polled messages in: decode records, have them answered, note which partitions are at their end."""
        now = self.clock()
        records, ended, errors = parted(messages)
        for _, error in errors:
            if isinstance(named := translate(error), Transient | TransactionAborted) or error.name() == TOO_LATE:
                log.warning("consumer", error=str(error))  # librdkafka goes on trying, or joins again, by itself.
            else:
                raise named  # A topic or a right that is gone, a log that was cut off: nothing would come, in silence.
        if records and not self._answered(records, now):
            self._backlog = [*messages, *self._backlog]
            return
        for message in ended:
            partition, end = self._number(message), place(message)[1]
            if (task := self.owned.get(partition)) is not None and task.state is not State.ENDED:
                task.meet_end(end, now)

    def _answered(self, records: list[Message], now: float) -> bool:
        """Decode and answer; False when the registry must be asked again first, a bounded number of times."""
        try:
            with self.metrics.stage("decode"):
                intakes = [take_in(channel, part, number) for number, channel, part in self._by_topic(records)]
        except Transient as reason:
            if self._unreadable_since is None:
                log.warning("waiting", reason=str(reason))
                self._unreadable_since = now
            if now - self._unreadable_since > self.settings.patience_s:
                raise
            self._stop.wait(UNREADABLE_RETRY_S)
            return False
        self._unreadable_since = None
        for intake in intakes:
            self.counts.notice(self.consumer, intake.batch)
        self.metrics.batch_rows.observe(len(records))
        for intake in intakes:
            self._advance(intake, now)
            try:
                self.answering.take(intake, now)
            except ContractError:
                self.counts.ask(self.consumer)
                raise
        return True

    def _by_topic(self, records: list[Message]) -> Iterator[tuple[int, Channel, list[Message]]]:
        """(place, topic, its records) for each input that records came from."""
        inputs = self.wiring.inputs
        if len(inputs) == 1:
            yield 0, inputs[0], records
            return
        parts: dict[str | None, list[Message]] = {}
        for record in records:
            parts.setdefault(record.topic(), []).append(record)
        for number, channel in enumerate(inputs):
            if channel.name in parts:
                yield number, channel, parts[channel.name]

    def _advance(self, intake: Intake, now: float) -> None:
        """Move the reading positions."""
        for partition, (first, last, newest) in intake.ends.items():
            self.owned[partition].advance(first, last, newest, now)


def bounded(messages: list[Message]) -> tuple[list[Message], list[Message]]:
    """The first of some messages, whose values have `BATCH_BYTES` together, one message at least; and the rest."""
    if sum(map(len, messages)) <= BATCH_BYTES:
        return messages, []
    sizes = np.cumsum(np.fromiter(map(len, messages), np.int64, len(messages)))
    stop = max(int(np.searchsorted(sizes, BATCH_BYTES, "right")), 1)
    return messages[:stop], messages[stop:]
