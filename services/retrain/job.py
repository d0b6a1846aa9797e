"""A training as a process of its own: started, listened to, bounded, and never beside another of the same folder."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import signal
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from headrace.domain.models.settings import PackageSettings
from headrace.domain.training.job.order import PASSING
from headrace.errors import Transient
from headrace.streaming.process.logs import logger

log = logger("job")
LINE_BYTES = 1 << 20
ORPHAN_S = 30.0
"""A job whose service was killed is killed as well; it may take so long to be gone."""
TAIL = 2_000
Progress = Callable[[str, dict[str, Any]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class JobEnd:
    """How a job ended.

    Attributes:
        result: what it said at its end; None: it failed.
        problem: why it failed.
        log: its log.
        passing: whether the same order may go well another time.
    """

    result: dict[str, Any] | None
    problem: str
    log: Path
    passing: bool = False


class TrainingJob:
    """One job.

    Args:
        command: the program and its arguments, behind which comes the file of the order. It prints what
            `headrace.domain.training.job` does: progress, and at last a result or a failure, as JSON, a line each.
        settings: where things are; told to the job as variables.
        run, order: identity of the training, and its order as JSON.
        limit_s: longest time that it may take.
        folder: of all trainings of the pipeline.
    """

    def __init__(
        self, command: Sequence[str], settings: PackageSettings, run: str, order: str, limit_s: float, folder: Path
    ) -> None:
        self.run_id = run
        self._command = command
        self._settings = settings
        self._order = order
        self._limit_s = limit_s
        self._folder = folder
        self.log = (folder / f"{run}.log").absolute()
        self._path = (folder / f"{run}.json").absolute()

    async def run(self, progress: Progress) -> JobEnd:
        """Run it to its end; `progress(stage, line)` is awaited for each stage. Cancelled: the job is killed.

        Raises:
            Transient: another job of the folder does not go away.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        self._path.write_text(self._order)
        with self.log.open("ab") as out:
            async with _alone(self._folder / "job.lock") as lock:
                return await self._run(progress, out, lock)

    async def _run(self, progress: Progress, out: IO[bytes], lock: IO[str]) -> JobEnd:
        process = await asyncio.create_subprocess_exec(
            *self._command,
            str(self._path),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=out,
            env=self._environment(),
            pass_fds=(lock.fileno(),),
            start_new_session=True,
            limit=LINE_BYTES,
        )
        _note(lock, process.pid)
        log.info("started", run=self.run_id, pid=process.pid, log=str(self.log))
        try:
            async with asyncio.timeout(self._limit_s):
                last = await self._listen(process, progress, out)
                code = await process.wait()
        except TimeoutError:
            return JobEnd(None, f"took longer than {self._limit_s:g} s (retrain.limit)", self.log)
        finally:
            await _kill(process)
        return self._end(code, last)

    async def _listen(
        self,
        process: asyncio.subprocess.Process,
        progress: Progress,
        out: IO[bytes],
    ) -> dict[str, Any]:
        """The last of what it says that is an end; what is no JSON of ours goes to the log."""
        assert process.stdout is not None
        last: dict[str, Any] = {}
        while line := await process.stdout.readline():
            try:
                said = json.loads(line)
            except ValueError:
                said = None
            if not isinstance(said, dict):
                out.write(line)
                out.flush()
            elif "result" in said or "failure" in said:
                last = said
            elif isinstance(at := said.get("progress"), dict):
                await progress(str(at.get("stage")), at)
        return last

    def _end(self, code: int, last: dict[str, Any]) -> JobEnd:
        if code == 0 and isinstance(last.get("result"), dict):
            return JobEnd(last["result"], "", self.log)
        if isinstance(failure := last.get("failure"), dict):
            kind = failure.get("kind")
            return JobEnd(None, f"{kind}: {failure.get('reason')}", self.log, kind in PASSING)
        if code == 0:
            return JobEnd(None, "ended without a result", self.log)
        how = f"exit code {code}" if code > 0 else signal.Signals(-code).name
        said = self.log.read_bytes()[-TAIL:].decode(errors="replace").strip().splitlines()
        return JobEnd(None, f"{how}{': ' + said[-1] if said else ''}", self.log)

    def _environment(self) -> dict[str, str]:
        settings = self._settings
        own = {
            "HEADRACE_PIPELINE": settings.pipeline,
            "HEADRACE_BOOTSTRAP": settings.bootstrap,
            "HEADRACE_MODELS": settings.models,
            "HEADRACE_MODEL_CACHE": str(settings.model_cache),
            "PYTHONUNBUFFERED": "1",
        }
        return {**os.environ, **own}


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


async def _kill(process: asyncio.subprocess.Process) -> None:
    """All of its group, and wait."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
