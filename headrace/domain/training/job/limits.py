"""Limits of a training's process, said to the kernel by the process itself."""

from __future__ import annotations

import os
import resource
import sys
import threading
from collections.abc import MutableMapping
from signal import SIGKILL

from headrace.domain.training.job.order import JobLimits

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "LOKY_MAX_CPU_COUNT")
"""What libraries that train read at their start to know how many threads they may take."""
POLITENESS = 10
"""How far a training stands behind services that score, by `nice`."""


def set_threads(limits: JobLimits, environment: MutableMapping[str, str] = os.environ) -> None:
    """Say how many threads libraries may take; they heed it when it is said before they are imported."""
    environment.update(dict.fromkeys(THREADS, str(limits.threads)))


def set_limits(limits: JobLimits) -> None:
    """Limit what this process takes from now on; what it has taken counts.

    Limits are soft ones: children with limits of their own, such as the trial of a package, can set theirs. Memory is
    what a process asked for (RLIMIT_DATA), not the space that it could address: libraries reserve that by the gigabyte.
    On systems other than Linux nobody counts it.
    """
    os.nice(POLITENESS)
    if limits.memory is not None and sys.platform == "linux":
        _set(resource.RLIMIT_DATA, limits.memory)
    if limits.cpu_s is not None:
        _set(resource.RLIMIT_CPU, max(1, round(limits.cpu_s)))
    _set(resource.RLIMIT_CORE, 0)


def _set(which: int, most: int) -> None:
    _, hard = resource.getrlimit(which)
    resource.setrlimit(which, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def end_with_parent() -> None:
    """End this process and its whole group once the other end of its standard input is gone, however that ended."""

    def wait() -> None:
        while os.read(0, 4096):
            pass
        # The group is this process's own, as whoever gave it the pipe started it.
        os.killpg(os.getpgrp(), SIGKILL)

    threading.Thread(target=wait, name="parent", daemon=True).start()


def peak_memory() -> int:
    """The most bytes that this process had in memory at once."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def cpu_seconds() -> float:
    """Seconds of processors that this process and its ended children took."""
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
