"""The one owner of a set of members: starts them, starts them again, drains them."""

from __future__ import annotations

import os
import signal
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from headrace.devparts import process
from headrace.operations.local.members import Member
from headrace.operations.local.supervisor import Fate

GRAIN_S = 0.1
GRACE_S = 8.0
"""On top of a member's own drain, before it is killed."""
ANSWER_S = 2.0


@dataclass(slots=True)
class _Child:
    member: Member
    port: int
    process: process.Process | None = None
    since: float = 0.0
    fate: Fate = field(default_factory=Fate)


@dataclass(frozen=True, slots=True)
class MemberState:
    """One member as it is now: `pid` is None while it does not run."""

    name: str
    service: str
    port: int
    pid: int | None
    fate: Fate


class Fleet:
    """Members as child processes whose output goes to `directory/NAME.log`.

    Each member's health server listens on a port that is free when it is started; it keeps it over restarts unless
    somebody else has taken it. Everything happens in `start`, `step` and `stop`, which one thread must call, and that
    thread must live as long as the fleet: the kernel kills the members when it ends, so that none is left without an
    owner.

    Args:
        env: variables of all members, on top of this process's own.
        clock: seconds, monotonic.
    """

    def __init__(
        self, members: Sequence[Member], directory: Path, env: Mapping[str, str], clock: Callable[[], float]
    ) -> None:
        ports = process.free_ports(len(members))
        self.directory = directory
        self.env = dict(env)
        self.clock = clock
        self._idle: dict[str, float] = {}
        self._children = [_Child(member, port) for member, port in zip(members, ports, strict=True)]

    def start(self) -> None:
        """Start all members."""
        for child in self._children:
            self._start(child)

    def step(self) -> list[MemberState]:
        """Take note of members that ended, start those that are due; returns the members that ended since."""
        now, ended = self.clock(), []
        for child in self._children:
            code = self._exit_code(child)
            if code is not None:
                child.fate = child.fate.ended(code, now, now - child.since)
                ended.append(_state(child))
            if child.fate.due is not None and child.fate.due <= now:
                child.fate = child.fate.started()
                self._start(child)
        return ended

    def states(self) -> list[MemberState]:
        """All members, in their order."""
        return [_state(child) for child in self._children]

    def running(self) -> bool:
        """Whether any member runs or will run again."""
        return any(not child.fate.over for child in self._children)

    def idle_s(self, services: Collection[str] | None = None) -> float:
        """For how long every member (of these services) has had nothing to do; 0 when one is busy or does not answer.

        A member that says the same as when it was last asked counts as busy: it is in the middle of something.
        """
        asked = [child for child in self._children if services is None or child.member.service in services]
        found = {child.member.name: _idle_s(child) for child in asked if not child.fate.over}
        moved = all(found[name] > self._idle.get(name, 0.0) for name in found)
        self._idle = found
        return min(found.values(), default=0.0) if moved else 0.0

    def stop(self, within: float, each: Callable[[], None] = lambda: None) -> None:
        """SIGTERM to all, wait until they have drained, SIGKILL what is left; returns when all are gone.

        Args:
            within: seconds for the drain.
            each: called now and then while waiting.
        """
        self._signal(signal.SIGTERM)
        pause = threading.Event()
        deadline = self.clock() + within
        try:
            while self._reap() and self.clock() < deadline:
                each()
                pause.wait(GRAIN_S)
        finally:
            self._signal(signal.SIGKILL)
            while self._reap():
                pause.wait(GRAIN_S)

    def _start(self, child: _Child) -> None:
        if not process.bindable(child.port):  # Somebody took it meanwhile: on the same port it would fail for ever.
            (child.port,) = process.free_ports(1)
        env = {"PYTHONUNBUFFERED": "1", **self.env, **child.member.env, "HEADRACE_PORT": str(child.port)}
        child.process = process.start(child.member.name, child.member.argv, self.directory, env=env, with_parent=True)
        child.since = self.clock()

    def _signal(self, number: signal.Signals) -> None:
        for child in self._children:
            if child.process is not None:
                # Not reaped yet, so the pid is still its own.
                with suppress(ProcessLookupError):
                    os.kill(child.process.pid, number)

    def _reap(self) -> bool:
        """Take note of members that ended, for good; whether any is left."""
        for child in self._children:
            code = self._exit_code(child)
            if code is not None:
                child.fate = Fate(child.fate.failures, child.fate.restarts, None, code, True)
            elif child.process is None and not child.fate.over:
                child.fate = Fate(child.fate.failures, child.fate.restarts, None, child.fate.code, True)
        return any(child.process is not None for child in self._children)

    @staticmethod
    def _exit_code(child: _Child) -> int | None:
        """How its process ended, told once."""
        if child.process is None:
            return None
        pid, status = os.waitpid(child.process.pid, os.WNOHANG)
        if pid == 0:
            return None
        child.process.state.unlink(missing_ok=True)
        child.process = None
        return os.waitstatus_to_exitcode(status)


def _state(child: _Child) -> MemberState:
    pid = None if child.process is None else child.process.pid
    return MemberState(child.member.name, child.member.service, child.port, pid, child.fate)


def _idle_s(child: _Child) -> float:
    return 0.0 if child.process is None else sum(scrape(child.port).get("headrace_idle_seconds", ()))


def ask(port: int, path: str) -> tuple[int, str]:
    """(status, body) of a member's health server; (0, why) when it does not answer."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=ANSWER_S) as answer:
            return int(answer.status), answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError as error:
        return 0, str(error)


def remarks(port: int) -> dict[str, int]:
    """What a member noted of records since it started, and how often; see `streaming.records.batch.Admission`."""
    status, text = ask(port, "/metrics")
    samples = [s for f in text_string_to_metric_families(text) for s in f.samples] if status == 200 else []
    noted = {s.labels["remark"]: int(s.value) for s in samples if s.name == "headrace_remarks_total"}
    return {remark: count for remark, count in noted.items() if count}


def scrape(port: int) -> dict[str, list[float]]:
    """A member's metrics by name, a value for each set of labels; none when it does not answer."""
    status, text = ask(port, "/metrics")
    found: dict[str, list[float]] = {}
    for family in text_string_to_metric_families(text) if status == 200 else ():
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample.value)
    return found
