"""Limits of a training's process, said to the kernel by the process itself."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
from collections.abc import MutableMapping
from pathlib import Path

from headrace.domain.training.job.order import JobLimits

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "LOKY_MAX_CPU_COUNT")
"""What libraries that train read at their start to know how many threads they may take."""
HEADROOM = 256 << 20
"""Bytes that are left to a training once libraries are loaded, at least; Kafka's client takes a fifth of that."""
STATUS = Path("/proc/self/status")
"""Where Linux tells what a process has asked for (VmData); other systems have no such place."""
_DATA = re.compile(r"^VmData:\s+([0-9]+) kB", re.MULTILINE)
_WAIT = 'while read -r _; do :; done; kill -s KILL -- "-$0"'
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
    """Have this process and its whole group ended once the other end of its standard input is gone, however that ended.

    A shell of the group waits for that: a thread could not act while a library holds the interpreter.
    """
    # The group is this process's own, as whoever gave it the pipe started it.
    subprocess.Popen(["sh", "-c", _WAIT, str(os.getpgrp())], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def check_memory(limits: JobLimits, status: Path = STATUS) -> None:
    """Raise MemoryError where libraries alone leave too little: threads that cannot be started may be waited for."""
    found = _DATA.search(status.read_text()) if limits.memory is not None and status.exists() else None
    if found is not None and limits.memory is not None:
        taken = int(found[1]) << 10
        if taken + HEADROOM > limits.memory:
            raise MemoryError(f"libraries alone take {taken >> 20:,} MiB, and a training {HEADROOM >> 20:,} at least")


def peak_memory() -> int:
    """The most bytes that this process had in memory at once."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def cpu_seconds() -> float:
    """Seconds of processors that this process and its ended children took."""
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def memory_now() -> int:
    """Bytes of memory that this process has now; on systems without /proc the most it had."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return peak_memory()
    return pages * resource.getpagesize()
