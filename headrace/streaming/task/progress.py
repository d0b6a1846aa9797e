"""What a member tells of itself: lag and readiness, and whether it has had nothing to do for a while."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from headrace.columnar.jit import late
from headrace.streaming.kafka.bindings import Wiring
from headrace.streaming.kafka.client import Consumer
from headrace.streaming.kafka.global_table import Facts
from headrace.streaming.process.health import Health
from headrace.streaming.process.logs import logger
from headrace.streaming.process.metrics import Metrics
from headrace.streaming.task.commit import Commits
from headrace.streaming.task.processor import Answering
from headrace.streaming.task.rebalance import Membership
from headrace.streaming.task.service import Service
from headrace.streaming.task.task import State, Task

log = logger("runner")


class Progress:
    """Looks at a member's parts and tells what they are at; changes none of them.

    Args:
        owned: the partitions of this member; shared.
    """

    def __init__(
        self,
        service: Service,
        wiring: Wiring,
        consumer: Consumer,
        owned: Mapping[int, Task],
        answering: Answering,
        commits: Commits,
        membership: Membership,
        facts: Sequence[Facts],
        metrics: Metrics,
        health: Health,
    ) -> None:
        self.service = service
        self.wiring = wiring
        self.consumer = consumer
        self.owned = owned
        self.answering = answering
        self.commits = commits
        self.membership = membership
        self.facts = facts
        self.metrics = metrics
        self.health = health
        self._joined_at: float | None = None
        self._work_seen = 0.0
        self._work_open = False
        self._done_at = 0.0
        self._ticked_at = 0.0
        self._unfinished = False

    def report(self, now: float) -> None:
        """Gauges and readiness, to be called once a second."""
        missing = self.service.ready()
        if missing is not None:
            missing = "; ".join([missing, *(facts.trouble for facts in self.facts if facts.trouble is not None)])
        if missing is None and not self.membership.joined:
            missing = "the group has assigned nothing yet"
        if missing is None and any(task.restoring for task in self.owned.values()):
            missing = "state is being rebuilt"
        self.health.missing = missing
        for call in late():
            log.warning("a kernel was compiled late", call=call)
            self.metrics.late_kernels.inc()
        self.metrics.ready.set(missing is None)
        self.metrics.owned.set(len(self.owned))
        self.metrics.held.set(sum(1 for task in self.owned.values() if task.held))
        self.metrics.lag_records.clear()
        self.metrics.lag_seconds.clear()
        for task in self.owned.values():
            channel, number = self.wiring.input(task.partition)
            high = self.consumer.high_watermark(channel.name, number)
            behind = max(high - task.processed, 0) if task.end_told_at is None or task.held else 0
            age = max(now - task.newest_timestamp / 1000, 0) if behind and task.newest_timestamp else 0
            self.metrics.lag_records.labels(channel.logical, str(number)).set(behind)
            self.metrics.lag_seconds.labels(channel.logical, str(number)).set(age)

    def ticked(self, unfinished: bool, now: float) -> None:
        """The service was told the time, and said whether anything is left to be told of what it has processed."""
        self._unfinished, self._ticked_at = unfinished, now

    def idle_s(self, now: float, backlog: bool) -> float:
        """For how long it has been idle, seconds; told to metrics as well.

        Idle: every owned partition read to its end, nothing held, and for a while no work that was not done. Work is
        done when its outputs, and all that the service still had to tell of it, are committed.

        `backlog`: whether messages were polled that are not taken yet.
        """
        if not self.membership.joined or self._joined_at is None:
            self._joined_at = now
        at_end = not backlog and all(
            task.end_told_at is not None and task.state is State.RUNNING for task in self.owned.values()
        )
        if self.answering.worked_at != self._work_seen:
            self._work_seen, self._work_open = self.answering.worked_at, True
        if at_end and (self._unfinished or self._ticked_at < self._work_seen):
            self._work_open = True
        elif self._work_open and at_end and self.commits.clean():
            self._work_open, self._done_at = False, now
        idle = now - max(self._joined_at, self._done_at) if at_end and not self._work_open else 0.0
        self.metrics.idle.set(idle)
        return idle
