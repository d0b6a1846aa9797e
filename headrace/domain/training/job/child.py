"""Starts a training as a process of its own and waits for it, within its limits; nothing of it outlives the wait."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from threading import Event

from headrace.domain.training.job.limits import set_threads
from headrace.domain.training.job.messages import MORE_MEMORY, Message, message_of, without_memory
from headrace.domain.training.job.order import TrainingFailure, TrainingOrder, TrainingProgress, TrainingResult

MODULE = "headrace.domain.training.job"
LOOK_S = 0.1
"""Seconds between two looks at whether it is to end."""
LESS = "a shorter window, or fewer trees"
TAIL = 4_000
"""Characters of the log's end that tell why a process died."""
ROOT = Path(__file__).resolve().parents[4]

Told = Callable[[TrainingProgress | TrainingOrder], None]


def run_training(
    order: TrainingOrder,
    folder: Path,
    told: Told = lambda message: None,
    stop: Event | None = None,
    environment: Mapping[str, str] | None = None,
) -> TrainingResult | TrainingFailure:
    """Carry an order out in a process group of its own and wait for what comes of it.

    The process and all that it started are gone when this returns, and soon after this process ends, however that does.
    The same order may be given again after any failure; once it is `fixed`, its package is the same.

    Args:
        order: what is asked for; its limits hold for the process.
        folder: takes `order.json` and `training.log`, which grows over repeats; made when missing.
        told: called in this thread with progress, and with the order once it is fixed: whoever may have to repeat it
            keeps that one.
        stop: once it is set, the process is ended.
        environment: variables on top of this process's own, such as HEADRACE_BOOTSTRAP.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path, log = folder / "order.json", folder / "training.log"
    draft = folder / ".order.json"
    draft.write_text(order.dump())
    draft.replace(path)
    variables = {**os.environ, **(environment or {})}
    # A process finds this code where this one does, whatever directory both run in.
    variables["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), variables.get("PYTHONPATH", "")]))
    set_threads(order.limits, variables)
    with log.open("ab") as errors:
        start = log.stat().st_size
        process = subprocess.Popen(
            [sys.executable, "-m", MODULE, str(path), "--with-parent"],
            stdin=subprocess.PIPE,  # open as long as we are here, see `limits.end_with_parent`
            stdout=subprocess.PIPE,
            stderr=errors,
            env=variables,
            start_new_session=True,
        )
    limit = order.limits.wall_s
    deadline = None if limit is None else time.monotonic() + limit
    try:
        last = _follow(process, told, stop, deadline)
    finally:
        code = _end(process)
    if isinstance(last, TrainingResult | TrainingFailure):
        return last
    return _why(order, code, log, start)


def _follow(process: subprocess.Popen[bytes], told: Told, stop: Event | None, deadline: float | None) -> Message | None:
    """Hand on what the process says until it ends, or has to; its last word."""
    assert process.stdout is not None
    pending = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            if stop is not None and stop.is_set():
                return TrainingFailure(kind="stopped", reason="it was told to end")
            if deadline is not None and time.monotonic() > deadline:
                return TrainingFailure(
                    kind="time",
                    reason=f"it took longer than it may: give it more time (limits.wall_s), {LESS}",
                )
            if not selector.select(LOOK_S):
                continue
            read = os.read(process.stdout.fileno(), 1 << 16)
            *lines, pending = (pending + read).split(b"\n")
            for line in lines:
                message = message_of(line)
                if isinstance(message, TrainingResult | TrainingFailure):
                    return message
                if message is not None:
                    told(message)
            if not read:
                return None


def _end(process: subprocess.Popen[bytes]) -> int:
    """Wait a moment for its own end, then end its whole group; its exit code. It is reaped last, so that no other
    process can have its number meanwhile.
    """
    patience = time.monotonic() + 5.0
    with suppress(ChildProcessError):
        while not os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG):
            if time.monotonic() > patience:
                break
            time.sleep(0.01)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()
    return process.wait()


def _why(order: TrainingOrder, code: int, log: Path, start: int) -> TrainingFailure:
    """Why a process ended without a word."""
    with log.open("rb") as file:
        file.seek(max(start, log.stat().st_size - TAIL))
        tail = file.read().decode(errors="replace").strip()
    if code == -signal.SIGXCPU:
        most = order.limits.cpu_s
        return TrainingFailure(
            kind="cpu",
            reason=f"it took more than {most:g} s of processors: give it more (limits.cpu_s), {LESS}",
        )
    if without_memory(tail):
        return TrainingFailure(kind="memory", reason=f"it needs more memory than it may take: {MORE_MEMORY}")
    if code == -signal.SIGKILL:
        return TrainingFailure(
            kind="killed", reason="somebody ended it by SIGKILL: a person, or the system for want of memory"
        )
    how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    return TrainingFailure(kind="crashed", reason=f"it {how}; the end of {log}: {tail[-500:] or 'nothing'}")
