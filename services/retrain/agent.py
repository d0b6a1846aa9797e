"""The door to Faust: an agent on the control topic, at least once, and nothing else of it.

No tables, no web server, no producer, no topics made: what Faust does here is membership of the group, delivery in the
order of the topic, and commits of what was handled. Values stay bytes, which our own codec reads. The consumer is made
here, since Faust's own reads records of transactions that were aborted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import aiokafka
import faust
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from faust.app.base import BootStrategy
from faust.transport.drivers import aiokafka as driver

from headrace.streaming.process.logs import adopt, logger

log = logger("agent")
COMMIT_S = 1.0
GIVE_UP_S = 15.0
"""What it may take to leave the group; a member that does not is gone after its session."""


@dataclass(frozen=True, slots=True)
class AgentPlace:
    """Where an agent works, and as whom.

    Attributes:
        group, topic: the consumer group and what it reads.
        bootstrap: host:port, comma separated.
        member: stable name; a restart under the same name resumes at once.
        session_s: a silent member's partition moves after so long.
        entrance: how to get in, as aiokafka's clients take it.
    """

    group: str
    topic: str
    bootstrap: str
    member: str
    session_s: float
    entrance: dict[str, Any]


@dataclass(frozen=True, slots=True)
class AgentDuty:
    """What is to be done; all are awaited on the loop of the agent.

    Attributes:
        seated: the topic's partition is this member's now.
        unseated: it is not any more.
        handle: (offset, value) of a record, in the order of the topic, a record again after a restart.
    """

    seated: Callable[[], Awaitable[None]]
    unseated: Callable[[], Awaitable[None]]
    handle: Callable[[int, bytes | None], Awaitable[None]]


class ControlAgent:
    """A member of the group. To be made, started and stopped on one event loop.

    Attributes:
        failure: what a duty raised; its record counts as not handled, and the process is to end.
    """

    def __init__(self, place: AgentPlace, duty: AgentDuty) -> None:
        self.failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._duty = duty
        self._place = place
        self._seated = False
        self._app = _app(place)
        channel = self._app.topic(place.topic, value_serializer="raw", key_serializer="raw", value_type=bytes)
        self._app.agent(channel, name="control")(self._work)
        self._app.on_partitions_assigned.connect(self._on_assigned)
        self._app.on_partitions_revoked.connect(self._on_revoked)

    async def start(self) -> None:
        """Join the group; returns once Faust runs, which may be before the partition is this member's."""
        await self._app.start()

    async def stop(self) -> None:
        """Commit what was handled, and leave."""
        try:
            await asyncio.wait_for(self._app.stop(), GIVE_UP_S)
        except TimeoutError:
            log.warning("left the group without a word", seconds=GIVE_UP_S)

    def check(self) -> None:
        """Raise what ended Faust, if anything did: it says so in its log alone."""
        if self._app.crashed and not self.failure.done():
            reason = self._app.crash_reason
            self.failure.set_exception(reason if isinstance(reason, Exception) else RuntimeError(str(reason)))

    async def _work(self, stream: Any) -> None:
        async for event in stream.events():
            message = event.message
            if not await self._guarded(partial(self._duty.handle, message.offset, message.value)):
                # Faust would count the record as handled once this returns: the process ends instead.
                await asyncio.Event().wait()

    async def _on_assigned(self, _: Any, assigned: Any, **__: Any) -> None:
        if any(place.topic == self._place.topic for place in assigned):
            self._seated = True
            await self._guarded(self._duty.seated)
        elif self._seated:
            self._seated = False
            await self._guarded(self._duty.unseated)

    async def _on_revoked(self, _: Any, revoked: Any, **__: Any) -> None:
        log.info("rebalance", partitions=len(revoked))

    async def _guarded(self, duty: Callable[[], Awaitable[None]]) -> bool:
        """Whether a duty was done; what it raised ends the process."""
        try:
            await duty()
        except Exception as error:  # noqa: BLE001 - Faust would log it and go on past the record
            if not self.failure.done():
                self.failure.set_exception(error)
            return False
        return True


class _Boot(BootStrategy):
    """What of Faust runs."""

    enable_kafka_producer = False
    enable_web = False


class _App(faust.App):
    """Faust with a consumer of ours."""

    BootStrategy = _Boot
    place: AgentPlace

    def _new_transport(self) -> Any:
        return _Transport(self.conf.broker_consumer, self)

    def _create_directories(self) -> None:
        """None, of those that Faust keeps tables in: there are none, and the working directory may not be ours."""


class _ConsumerThread(driver.AIOKafkaConsumerThread):
    def _create_worker_consumer(self, transport: Any) -> aiokafka.AIOKafkaConsumer:
        self._assignor = RoundRobinPartitionAssignor
        place, conf = cast(_App, self.app).place, self.app.conf
        return aiokafka.AIOKafkaConsumer(
            bootstrap_servers=place.bootstrap,
            group_id=place.group,
            group_instance_id=place.member,
            partition_assignment_strategy=[RoundRobinPartitionAssignor],
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            session_timeout_ms=int(place.session_s * 1000),
            heartbeat_interval_ms=min(1_000, int(place.session_s * 200)),
            rebalance_timeout_ms=int(conf.broker_rebalance_timeout * 1000),
            request_timeout_ms=int(conf.broker_request_timeout * 1000),
            max_poll_interval_ms=int(conf.broker_max_poll_interval * 1000),
            fetch_max_wait_ms=100,
            **place.entrance,
        )


class _Consumer(driver.Consumer):
    def _new_consumer_thread(self) -> driver.AIOKafkaConsumerThread:
        return _ConsumerThread(self, loop=self.loop, beacon=self.beacon)


class _Transport(driver.Transport):
    Consumer = _Consumer


def _app(place: AgentPlace) -> Any:
    adopt("faust", "mode", "aiokafka", "asyncio", __name__)
    app = _App(
        place.group,
        broker=";".join(f"kafka://{address.strip()}" for address in place.bootstrap.split(",")),
        autodiscover=False,
        store="memory://",
        web_enabled=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        consumer_auto_offset_reset="earliest",
        broker_session_timeout=place.session_s,
        broker_request_timeout=max(40.0, place.session_s + 10),
        broker_commit_interval=COMMIT_S,
        stream_wait_empty=True,
        version=1,
    )
    app.place = place
    return app
