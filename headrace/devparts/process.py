"""The one owner of child processes: start, wait until ready, stop, kill, and find again from another process."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import psutil

from headrace.errors import ConfigurationError, HeadraceError

# Below the ports that the kernel hands to outgoing connections (32768 and up on Linux, 49152 on macOS). A client that
# keeps reconnecting to a dead server's port in that range may connect to itself, and the server cannot come back.
_PORTS = range(15_000, 30_000)
_STARTTIME = 22
"""The field of /proc/PID/stat, counted from 1, that tells when a process began (proc_pid_stat(5))."""
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_ORPHAN = 'test "$PPID" = "$0" && exec "$@"'
"""Goes on only where the parent is still who it was: it may have ended before its end was to be told."""
_ENDS: dict[int, int] = {}
"""How children of this process ended, by pid, as psutil tells it: the kernel tells it once."""


def _psutil() -> Any:
    """psutil, which services themselves do without. ConfigurationError when it is not installed."""
    try:
        return import_module("psutil")
    except ModuleNotFoundError:
        raise ConfigurationError(
            "processes on this machine are started and found by psutil: pip install 'headrace[local]'"
        ) from None


class ProcessDied(HeadraceError):
    """A child ended or stayed unready beyond its bound; the message carries the end of its log."""


def _birth(pid: int) -> str:
    """When a process began, as the kernel tells it: a pid that is used again has another one.

    On Linux that is the boot, and clock ticks since it: a time of day made of them moves with every correction of the
    machine's clock, and the process would be taken for another one. psutil's NoSuchProcess when there is none.
    """
    stat = Path(f"/proc/{pid}/stat")
    try:
        ticks = stat.read_text().rpartition(")")[2].split()[_STARTTIME - 3]  # What follows the name is field 3.
    except ProcessLookupError:
        raise _psutil().NoSuchProcess(pid) from None
    except FileNotFoundError:
        return f"{_psutil().Process(pid).create_time():.2f}"
    return f"{_BOOT.read_text().strip() if _BOOT.exists() else ''}+{ticks}"


@dataclass(frozen=True, slots=True)
class Process:
    """A process that a directory remembers in `NAME.json` (pid, birth) and whose output is in `NAME.log`.

    Attributes:
        name: unique in the directory.
        directory: where its state and log files are.
        pid: its process id, which is also its group's and session's.
        birth: when it began, which tells it from another of the same pid.
    """

    name: str
    directory: Path
    pid: int
    birth: str

    @property
    def log(self) -> Path:
        """The file that takes both its output streams."""
        return self.directory / f"{self.name}.log"

    @property
    def state(self) -> Path:
        """The file by which `find` knows it."""
        return self.directory / f"{self.name}.json"

    def alive(self) -> bool:
        """Whether it runs; a zombie does not."""
        return self._handle() is not None

    def terminate(self) -> None:
        """SIGTERM, without waiting."""
        if handle := self._handle():
            with suppress(_psutil().NoSuchProcess):
                handle.terminate()

    def stop(self, grace: float = 30.0) -> None:
        """SIGTERM, wait `grace` seconds, then SIGKILL; returns when it is gone. Nothing happens on a repeat."""
        self._end(signal.SIGTERM, grace)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone. Nothing happens on a repeat."""
        self._end(signal.SIGKILL, 10.0)

    def freeze(self) -> None:
        """SIGSTOP, and wait until it stands still: it keeps its connections and says nothing more."""
        if handle := self._handle():
            handle.suspend()
            self.wait_until(lambda: handle.status() == _psutil().STATUS_STOPPED, 10.0)

    def thaw(self) -> None:
        """SIGCONT: a frozen one goes on."""
        if handle := self._handle():
            handle.resume()

    def tail(self, lines: int = 20) -> str:
        """The end of its log."""
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def wait_until(self, ready: Callable[[], bool], within: float) -> None:
        """Call `ready` ten times a second until it says yes.

        Raises:
            ProcessDied: it ended, or `within` seconds passed.
        """
        deadline = time.monotonic() + within
        while not ready():
            if not self.alive():
                how = self._how()
                raise ProcessDied(f"{self.name} {how} before it was ready; the end of {self.log}:\n{self.tail()}")
            if time.monotonic() > deadline:
                raise ProcessDied(
                    f"{self.name} was not ready within {within:g} s; the end of {self.log}:\n{self.tail()}"
                )
            time.sleep(0.1)

    def _how(self) -> str:
        """That it ended, and by what, as far as this process was told.

        >>> _ENDS[-2] = -9
        >>> Process("kafka-1", Path(), -2, "")._how(), Process("kafka-1", Path(), -3, "")._how()
        ('was ended by SIGKILL', 'ended')
        """
        code = _ENDS.get(self.pid)
        if code is None:
            return "ended"
        return f"ended with exit code {code}" if code >= 0 else f"was ended by {signal.Signals(-code).name}"

    def _handle(self) -> psutil.Process | None:
        try:
            handle: psutil.Process = _psutil().Process(self.pid)
            if _birth(self.pid) != self.birth:
                return None
            if handle.status() == _psutil().STATUS_ZOMBIE:
                if (code := handle.wait(0)) is not None:  # Reaped, when it is our child.
                    _ENDS[self.pid] = code
                return None
            return handle
        except (_psutil().NoSuchProcess, _psutil().TimeoutExpired):
            return None

    def _end(self, sign: signal.Signals, grace: float) -> None:
        if handle := self._handle():
            with suppress(_psutil().NoSuchProcess):
                handle.send_signal(sign)
                if sign is signal.SIGTERM:
                    handle.resume()  # a frozen process could not take the signal
                if not self._gone(grace):
                    handle.kill()
                    if not self._gone(10.0):
                        raise ProcessDied(f"{self.name} (process {self.pid}) does not end, killed as it was")
        self.state.unlink(missing_ok=True)

    def _gone(self, within: float) -> bool:
        """Wait for its end; a zombie has ended, also where its parent reaps none, as in some containers."""
        deadline = time.monotonic() + within
        while self.alive():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        return True


def start(
    name: str,
    argv: Sequence[str],
    directory: Path,
    *,
    env: Mapping[str, str] | None = None,
    with_parent: bool = False,
) -> Process:
    """Start a program in a session of its own, so that Ctrl-C in the terminal does not reach it.

    Args:
        name: unique in `directory`; a running process of that name is an error of the caller.
        argv: the program, found on PATH, and its arguments.
        directory: takes the state file and the log, which grows over restarts.
        env: variables on top of this process's own.
        with_parent: have the kernel kill it when the thread that started it ends, however it ends (Linux only,
            ignored elsewhere).

    Raises:
        ConfigurationError: the program is not on PATH.
    """
    if with_parent and (setpriv := shutil.which("setpriv")):
        argv = [setpriv, "--pdeathsig", "KILL", "--", "sh", "-c", _ORPHAN, str(os.getpid()), *argv]
    program = shutil.which(argv[0])
    if program is None:
        raise ConfigurationError(f"{argv[0]} is not on PATH")
    directory.mkdir(parents=True, exist_ok=True)
    log = os.open(directory / f"{name}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    state = directory / f"{name}.json"
    write(state, json.dumps({"starting": list(argv)}))
    try:
        pid = os.posix_spawn(
            program,
            list(argv),
            {**os.environ, **(env or {})},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, log, 1),
                (os.POSIX_SPAWN_DUP2, log, 2),
            ],
            setsid=True,
            setsigmask=[],
            setsigdef=[signal.SIGINT, signal.SIGTERM, signal.SIGPIPE],  # Python ignores SIGPIPE; a child should not
        )
    except BaseException:
        state.unlink(missing_ok=True)
        raise
    finally:
        os.close(log)
    process = Process(name, directory, pid, _birth(pid))
    _note(process, argv)
    return process


def _note(process: Process, argv: Sequence[str]) -> None:
    write(process.state, json.dumps({"pid": process.pid, "birth": process.birth, "argv": list(argv)}))


def _begun(name: str, directory: Path, argv: Sequence[str]) -> Process | None:
    """A process whose start was begun and not noted: whoever started it is at it, or was killed in between.

    It is known by its log, which nothing else writes but what it started itself: that leads no session.
    """
    log = str((directory / f"{name}.log").resolve())
    for found in _psutil().process_iter():
        with suppress(_psutil().Error, OSError):
            if os.getsid(found.pid) == found.pid and any(file.path == log for file in found.open_files()):
                process = Process(name, directory, found.pid, _birth(found.pid))
                _note(process, argv)
                return process
    return None


def find(name: str, directory: Path) -> Process | None:
    """The running process that `start` noted in `directory`, or None; the note of one that is gone is removed."""
    state = directory / f"{name}.json"
    try:
        noted = json.loads(state.read_bytes())
        if "starting" in noted:
            return _begun(name, directory, list(map(str, noted["starting"])))
        process = Process(name, directory, int(noted["pid"]), str(noted["birth"]))
        if not 0 < process.pid < 1 << 31:
            raise ValueError(f"{process.pid} is no process")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError) as error:
        raise ConfigurationError(
            f"{state} is damaged ({error}): whether {name} runs is not known; stop it if it does, and delete the file"
        ) from None
    if process.alive():
        return process
    state.unlink(missing_ok=True)
    return None


def free_ports(count: int) -> list[int]:
    """Ports on 127.0.0.1 that nobody listens on now, all different."""
    ports: list[int] = []
    with ExitStack() as held:
        for port in random.sample(_PORTS, len(_PORTS)):
            if len(ports) == count:
                break
            server = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with suppress(OSError):
                server.bind(("127.0.0.1", port))
                ports.append(port)
    if len(ports) < count:
        raise ConfigurationError(f"fewer than {count} ports between {_PORTS.start} and {_PORTS.stop} are free")
    return ports


def bindable(port: int) -> bool:
    """Whether a process that is started now could listen on this port of 127.0.0.1."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            server.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def listening(port: int) -> bool:
    """Whether somebody accepts connections on this port of 127.0.0.1."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as client:
        client.settimeout(1.0)
        return client.connect_ex(("127.0.0.1", port)) == 0


def write(path: Path, text: str) -> None:
    """Replace a file whole, making its directory: a reader sees the old or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(f".{os.getpid()}.draft")
    draft.write_text(text)
    draft.replace(path)
