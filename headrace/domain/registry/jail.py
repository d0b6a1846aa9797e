"""What a process gives up before it runs code of strangers: writing, the network, memory and time without end.

A pickle is a program. Where the kernel lets it, the process that reads one can write to a directory of its own and
nowhere else (Landlock), and reach no network (a namespace of its own); limits of memory, time and files hold
everywhere. None of it needs root.

References:
    Landlock, unprivileged access control: https://docs.kernel.org/userspace-api/landlock.html
    unshare(2), setrlimit(2).
"""

from __future__ import annotations

import ctypes
import os
import resource
import sys
from pathlib import Path

NEW_USER, NEW_NET = 0x10000000, 0x40000000
CREATE, ADD, RESTRICT = 444, 445, 446
"""Landlock's system calls; the numbers are those of every architecture."""
NO_NEW_PRIVILEGES = 38
# Execute, write, remove, make, refer and truncate; what a kernel does not know is left out by its version.
READ_FILE, READ_DIR, EXECUTE = 1 << 2, 1 << 3, 1 << 0
BY_VERSION = ((1, (1 << 13) - 1), (2, 1 << 13), (3, 1 << 14))
"""(version of Landlock, rights to files that it brought)."""


class _Ruleset(ctypes.Structure):
    _fields_ = (("handled", ctypes.c_uint64),)


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


def cut_off(own: Path) -> list[str]:
    """Give up the network and writing anywhere but below `own`; what this system does not let go, a sentence each.

    To be called before any thread is started: the kernel cuts off the one that asks, and those that it starts.
    """
    if sys.platform != "linux":
        return ["this system does not keep it from the network and from other files"]
    problems = []
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(NEW_USER | NEW_NET):
        problems.append("this kernel does not keep it from the network")
    if not _write_nowhere_else(libc, own):
        problems.append("this kernel does not keep it from writing elsewhere")
    return problems


def limit(memory: int, cpu_s: int, largest: int) -> list[str]:
    """Take no more than this from now on; what could not be limited here, a sentence each.

    Args:
        memory: bytes of address space on top of what is taken now.
        cpu_s: seconds of processors from the start of the process.
        largest: bytes of one file.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s))
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
    try:
        taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + memory, taken + memory))
    except (OSError, ValueError):
        return ["this system does not limit its memory"]
    return []


def _write_nowhere_else(libc: ctypes.CDLL, own: Path) -> bool:
    version = libc.syscall(CREATE, None, 0, 1)
    rights = sum(bits for since, bits in BY_VERSION if version >= since)
    handled = rights & ~(READ_FILE | READ_DIR | EXECUTE)
    if version < 1 or libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0):
        return False
    rules = _Ruleset(handled)
    held = libc.syscall(CREATE, ctypes.byref(rules), ctypes.sizeof(rules), 0)
    if held < 0:
        return False
    place = os.open(own, os.O_PATH | os.O_DIRECTORY)
    try:
        beneath = _Beneath(handled, place)
        return not libc.syscall(ADD, held, 1, ctypes.byref(beneath), 0) and not libc.syscall(RESTRICT, held, 0)
    finally:
        os.close(place)
        os.close(held)
