"""What is done to a run: members killed as soon as a control event appears, the broker frozen, jobs killed."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import psutil

from headrace.domain.control.events import ControlEvent
from headrace.errors import Transient
from headrace.operations.control_tail import ControlTail
from loadtests.loop_faults.loop import Loop

Fault = Callable[[int, ControlEvent], None]
JOBS = ("headrace.domain.training.job", "headrace.domain.evaluation")


@dataclass
class Done:
    """What was done, for the report.

    Attributes:
        kills: by member, the numbers of the events after which it was killed.
        frozen: kind of the event, and for how many seconds the broker stood still.
        jobs: processes of trainings and evaluations that were killed, by what they were.
    """

    kills: dict[str, list[int]] = field(default_factory=dict)
    frozen: list[tuple[str, float]] = field(default_factory=list)
    jobs: list[str] = field(default_factory=list)

    @property
    def count(self) -> int:
        """Members killed."""
        return sum(map(len, self.kills.values()))


class Watcher:
    """Follows the control topic, and does a fault at each event as soon as it can be read."""

    def __init__(self, loop: Loop, fault: Fault) -> None:
        self._tail = ControlTail(loop.connection, loop.contracts.channel("control"))
        self._fault = fault
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="faults", daemon=True)
        self.failure: BaseException | None = None

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def close(self) -> None:
        """Follow no more; raises what a fault raised."""
        self._over.set()
        self._thread.join(30)
        if self.failure is not None:
            raise self.failure

    def _follow(self) -> None:
        number = 0
        try:
            while not self._over.is_set():
                try:
                    for event in self._tail.events(1.0):
                        number += 1
                        self._fault(number, event)
                except Transient:
                    continue
        except BaseException as error:  # noqa: BLE001 - told to whoever closes: a fault that was not done hides others
            self.failure = error
        finally:
            self._tail.close()


def kill_some(loop: Loop, done: Done, chosen: Callable[[int], tuple[str, ...]]) -> Fault:
    """Kill members as an event appears: `chosen(number)` of the event says which."""

    def fault(number: int, event: ControlEvent) -> None:
        for member in chosen(number):
            process = loop.processes.get(member)
            if process is not None and process.poll() is None:
                process.send_signal(signal.SIGKILL)
                done.kills.setdefault(member, []).append(number)

    return fault


def freeze_at(loop: Loop, done: Done, kinds: tuple[str, ...], seconds: float) -> Fault:
    """Freeze the broker when the first event of each kind appears."""
    waiting = set(kinds)

    def fault(number: int, event: ControlEvent) -> None:
        kind = event.finding.type
        if kind in waiting:
            waiting.remove(kind)
            broker = loop.kafka.processes()[0]
            broker.freeze()
            try:
                time.sleep(seconds)  # That is the fault.
            finally:
                broker.thaw()
            done.frozen.append((kind, seconds))

    return fault


class JobKiller:
    """Kills each kind of job once, in its middle: as soon as it has said or worked for a while."""

    def __init__(self, done: Done, after_s: float) -> None:
        self._done = done
        self._after_s = after_s

    def __call__(self) -> None:
        """Look at the processes of this run's jobs."""
        for child in psutil.Process(os.getpid()).children(recursive=True):
            try:
                words = child.cmdline()
                kind = next((job for job in JOBS if job in words), None)
                if kind is None or kind in self._done.jobs or sum(child.cpu_times()[:2]) < self._after_s:
                    continue
                child.kill()
                self._done.jobs.append(kind)
            except psutil.NoSuchProcess:
                continue
