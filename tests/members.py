"""Members of services as processes that can be started, stopped, killed and read the last words of."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

from tests.sources import ROOT


class Members:
    """The members of a test, each with a log beside it.

    Args:
        bootstrap: Kafka.
        directory: takes the logs.

    Attributes:
        processes: those that run, by member.
        settings: variables of all of them.
        restarted: exit codes after which a supervisor starts a member again; 2 and 3 are for people to look at.
    """

    restarted: tuple[int, ...] = (1, 70, 75)

    def __init__(self, bootstrap: str, directory: Path) -> None:
        self.bootstrap = bootstrap
        self.directory = directory
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.settings: dict[str, str] = {}
        self._heard: dict[str, int] = {}

    def command(self, member: str) -> list[str]:
        """The module that a member runs, and its arguments."""
        raise NotImplementedError

    def own(self) -> dict[str, str]:
        """The variables that all members have, unless `settings` say otherwise."""
        raise NotImplementedError

    def environment(self, member: str, **settings: str) -> dict[str, str]:
        """The variables of a member's process."""
        return {
            **os.environ,
            "HEADRACE_BOOTSTRAP": self.bootstrap,
            "HEADRACE_MEMBER": member,
            "HEADRACE_SESSION_TIMEOUT_MS": "6000",
            **self.own(),
            **self.settings,
            **settings,
        }

    def start(self, member: str, **settings: str) -> subprocess.Popen[bytes]:
        """Start a member."""
        path = self.directory / f"{member}.log"
        self._heard[member] = path.stat().st_size if path.exists() else 0
        with path.open("ab") as log:
            self.processes[member] = subprocess.Popen(
                [sys.executable, "-m", *self.command(member)],
                cwd=ROOT,
                env=self.environment(member, **settings),
                stdout=log,
                stderr=log,
            )
        return self.processes[member]

    def stop(self, member: str, how: signal.Signals = signal.SIGTERM) -> int:
        """End a member and wait for it; to be asked to drain it must have come so far as to hear that."""
        process = self.processes[member]
        end = time.monotonic() + 60
        while how != signal.SIGKILL and not self._listens(member) and process.poll() is None:
            assert time.monotonic() < end, f"{member} does not listen\n{self.logs()}"
            time.sleep(0.05)  # Reads its log, which is all that tells: there is no event to wait for.
        del self.processes[member]
        process.send_signal(how)
        return process.wait(60)

    def _listens(self, member: str) -> bool:
        with (self.directory / f"{member}.log").open("rb") as log:
            log.seek(self._heard[member])
            return b'"event": "listening"' in log.read()

    def readiness(self, member: str) -> str:
        """What a member that listens says of itself on /readyz; nothing before that."""
        with (self.directory / f"{member}.log").open("rb") as log:
            log.seek(self._heard[member])
            told = [json.loads(line) for line in log.read().splitlines() if line.startswith(b"{")]
        port = next((entry["port"] for entry in told if entry.get("event") == "listening"), None)
        if port is None:
            return ""
        try:
            with urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
                return str(answer.read().decode())
        except HTTPError as error:
            return error.read().decode()

    def await_readiness(self, member: str, words: str, seconds: float = 120) -> None:
        """Wait until a member's readiness has these words."""
        end = time.monotonic() + seconds
        while words not in (said := self.readiness(member)):
            assert time.monotonic() < end, f"{member} says {said!r}\n{self.logs()}"
            time.sleep(0.1)  # Asks a process over HTTP: there is no event to wait for.

    def close(self) -> None:
        """Kill what still runs."""
        for process in self.processes.values():
            process.kill()
            process.wait()

    def revive(self) -> None:
        """Start members again that ended by themselves, as a supervisor would; a wrong contract is a failure."""
        for member, process in list(self.processes.items()):
            if process.poll() is not None:
                assert process.returncode in self.restarted, f"{member}: {process.returncode}\n{self.logs()}"
                self.start(member)

    def assert_alive(self) -> None:
        """No member has ended."""
        for member, process in self.processes.items():
            assert process.poll() is None, f"{member} ended with {process.returncode}\n{self.logs()}"

    def logs(self) -> str:
        """What the members said last, for a failing assertion."""
        return "\n".join(f"{path.name}: {path.read_text()[-3000:]}" for path in sorted(self.directory.glob("*.log")))
