"""A job as a process of its own: started, listened to, bounded, and never beside another of the same folder."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from headrace.domain.training.job.limits import set_threads
from headrace.domain.training.job.messages import MORE_MEMORY, failure_in, said_in, without_memory
from headrace.domain.training.job.order import TrainingFailure
from headrace.domain.training.job.process import JobOrder
from headrace.errors import Transient
from headrace.streaming.process.logs import logger

log = logger("job")
LINE_BYTES = 1 << 22
"""The longest line that a job may write; a result holds its order and all that was tried."""
ORPHAN_S = 30.0
"""A job whose service was killed is killed as well; it may take so long to be gone."""
LINGERS_S = 5.0
"""What a job may take from its last word to its end: libraries that hang then keep nobody waiting."""
TAIL = 4_000
"""Bytes of the log's end that tell why a process died."""
LESS = "a shorter window, or fewer trees"
ROOT = Path(__file__).resolve().parents[4]

Told = Callable[[str, dict[str, Any]], Awaitable[None]]
"""Awaited with what a job says before its end: `progress` or `order`, and what."""


@dataclass(frozen=True, slots=True)
class JobEnd:
    """How a job ended: with a result or with a failure.

    Attributes:
        log: its log.
        result: what it said at its end.
        failure: why there is no result.
    """

    log: Path
    result: dict[str, Any] | None = None
    failure: TrainingFailure | None = None

    @property
    def problem(self) -> str:
        """Why it failed, for people; empty where it did not."""
        return "" if self.failure is None else f"{self.failure.kind}: {self.failure.reason}"

    @property
    def passing(self) -> bool:
        """Whether the same order may go well another time."""
        return self.failure is not None and self.failure.passing


class ChildJob:
    """One job.

    Args:
        command: the program and its arguments, behind which comes the file of the order. It prints what
            `headrace.domain.training.job` does: progress, and at last a result or a failure, as JSON, a line each.
            It ends when its standard input does, where it is one of ours that is told `--with-parent`.
        order: what is asked for; its limits hold for the process. The same order may be given again after any failure.
        name: of the order's file and of the log, which grows over repeats.
        folder: takes both; at most one job of a folder is alive, whatever became of who started it.
        environment: variables on top of this process's own, such as HEADRACE_BOOTSTRAP.
    """

    def __init__(
        self, command: Sequence[str], order: JobOrder, name: str, folder: Path, environment: Mapping[str, str]
    ) -> None:
        self._command = command
        self._order = order
        self._name = name
        self._folder = folder
        self._environment = environment
        self.log = (folder / f"{name}.log").absolute()
        self._path = (folder / f"{name}.json").absolute()

    async def run(self, told: Told) -> JobEnd:
        """Run it to its end; `told` is awaited with each line that is none. The process and all that it started are
        gone when this returns, also where it is cancelled, and soon after this process ends, however that does.

        Raises:
            Transient: another job of the folder does not go away.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        draft = self._folder / f".{self._name}.json"
        draft.write_text(self._order.dump())
        draft.replace(self._path)
        with self.log.open("ab") as out:
            async with _alone(self._folder / "job.lock") as lock:
                return await self._run(told, out, lock)

    async def _run(self, told: Told, out: IO[bytes], lock: IO[str]) -> JobEnd:
        start = self.log.stat().st_size
        process = await asyncio.create_subprocess_exec(
            *self._command,
            str(self._path),
            stdin=asyncio.subprocess.PIPE,  # open as long as we are here, see `limits.end_with_parent`
            stdout=asyncio.subprocess.PIPE,
            stderr=out,
            env=self._variables(),
            pass_fds=(lock.fileno(),),
            start_new_session=True,
            limit=LINE_BYTES,
        )
        _note(lock, process.pid)
        log.info("started", job=self._name, pid=process.pid, log=str(self.log))
        limit = self._order.limits.wall_s
        end: dict[str, Any] | TrainingFailure | None = None
        try:
            async with asyncio.timeout(limit) as bound:
                end = await _last_word(process, told, out)
                code = await process.wait() if end is None else None
        except TimeoutError:
            if not bound.expired():
                raise
            more = f"it took longer than the {limit:g} s that it may"
            return self._failed("time", f"{more}: give it more time (limits.wall_s; retrain.limit), {LESS}")
        finally:
            await _end(process, LINGERS_S if end is not None else 0.0)
        if isinstance(end, TrainingFailure):
            return JobEnd(self.log, failure=end)
        if end is not None:
            return JobEnd(self.log, result=end)
        return JobEnd(self.log, failure=self._why(code or 0, start))

    def _failed(self, kind: Any, reason: str) -> JobEnd:
        return JobEnd(self.log, failure=TrainingFailure(kind=kind, reason=reason))

    def _why(self, code: int, start: int) -> TrainingFailure:
        """Why a process ended without a word."""
        with self.log.open("rb") as file:
            file.seek(max(start, self.log.stat().st_size - TAIL))
            tail = file.read().decode(errors="replace").strip()
        if code == -signal.SIGXCPU:
            most = f"it took more than {self._order.limits.cpu_s:g} s of processors"
            return TrainingFailure(
                kind="cpu", reason=f"{most}: give it more (limits.cpu_s; retrain.limit in the pipeline file), {LESS}"
            )
        if code != 0 and without_memory(tail):
            return TrainingFailure(kind="memory", reason=f"it needs more memory than it may take: {MORE_MEMORY}")
        if code == -signal.SIGKILL:
            return TrainingFailure(
                kind="killed", reason="somebody ended it by SIGKILL: a person, or the system for want of memory"
            )
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        said = f"without a result; the end of {self.log}: {tail[-500:] or 'nothing'}"
        return TrainingFailure(kind="crashed", reason=f"it {how}, {said}")

    def _variables(self) -> dict[str, str]:
        variables = {**os.environ, "PYTHONUNBUFFERED": "1", **self._environment}
        # A process finds this code where this one does, whatever directory both run in.
        variables["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), variables.get("PYTHONPATH", "")]))
        set_threads(self._order.limits, variables)
        return variables


async def _last_word(
    process: asyncio.subprocess.Process, told: Told, out: IO[bytes]
) -> dict[str, Any] | TrainingFailure | None:
    """Its result or its failure, once it says so; None: it ended without. What is no line of ours goes to the log."""
    assert process.stdout is not None
    while line := await process.stdout.readline():
        found = said_in(line)
        if found is None:
            out.write(line)
            out.flush()
            continue
        name, said = found
        if name == "result":
            return said
        if name == "failure":
            return failure_in(said)
        await told(name, said)
    return None


class _alone:  # noqa: N801 - used as a function
    """Holds the lock of a folder, which a job keeps for as long as it lives, whatever becomes of its service."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def __aenter__(self) -> IO[str]:
        self._file = self._path.open("a+")
        try:
            async with asyncio.timeout(ORPHAN_S):
                while not _locked(self._file):
                    _kill_noted(self._file)
                    await asyncio.sleep(0.2)
            self._file.truncate(0)  # Whoever stands there is gone, and its number may be another's by now.
        except TimeoutError:
            self._file.close()
            raise Transient(f"{self._path} is held by a job that does not end") from None
        except BaseException:
            self._file.close()
            raise
        return self._file

    async def __aexit__(self, *_: object) -> None:
        self._file.close()


def _locked(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _note(file: IO[str], pid: int) -> None:
    file.seek(0)
    file.truncate()
    file.write(str(pid))
    file.flush()


def _kill_noted(file: IO[str]) -> None:
    """Kill the job that holds the lock: it is the leader of a group of its own, and the lock says that it lives."""
    file.seek(0)
    text = file.read()
    if text.isdecimal():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(int(text), signal.SIGKILL)


async def _end(process: asyncio.subprocess.Process, within: float) -> None:
    """Let it end by itself for a while, then end all of its group; it is gone when this returns."""
    try:
        if within:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), within)
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
