"""What a process gives up before it runs code of strangers: files, the network, other processes, memory and time.

A pickle is a program. Where the kernel lets it, the process that reads one can write to a directory of its own and
nowhere else, and read no more than Python, its libraries and the model (Landlock); it reaches no network and no process
(namespaces of its own); limits of memory, time and files hold everywhere. None of it needs root.

References:
    Landlock, unprivileged access control: https://docs.kernel.org/userspace-api/landlock.html
    unshare(2), pid_namespaces(7), setrlimit(2).
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

NEW_USER, NEW_NET, NEW_PID = 0x10000000, 0x40000000, 0x20000000
CREATE, ADD, RESTRICT = 444, 445, 446
"""Landlock's system calls; the numbers are those of every architecture."""
NO_NEW_PRIVILEGES = 38
# Execute, write, remove, make, refer and truncate; what a kernel does not know is left out by its version.
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
BY_VERSION = ((1, (1 << 13) - 1), (2, 1 << 13), (3, 1 << 14))
"""(version of Landlock, rights to files that it brought)."""
SYSTEM = (
    "/usr",
    "/lib",
    "/lib64",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/dev/null",
    "/dev/urandom",
    "/proc/self",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/sys/devices/system/cpu",
)
"""What Python and its libraries read of a system."""


class _Ruleset(ctypes.Structure):
    _fields_ = (("handled", ctypes.c_uint64),)


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


def cut_off(own: Path, readable: Sequence[Path] = ()) -> list[str]:
    """Give up all but this; what this system does not let go, a sentence each.

    To be called before any thread is started: the kernel cuts off the one that asks, and those that it starts. Where
    processes have a namespace of their own, this returns in a new process, whose end the caller's takes for its own.

    Args:
        own: a directory; nothing else can be written to.
        readable: what can be read beside it, Python and its libraries.
    """
    if sys.platform != "linux":
        return ["this system does not keep it from the network, from other files and from other processes"]
    problems = []
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(NEW_USER | NEW_NET):
        problems.append("this kernel does not keep it from the network")
    if libc.unshare(NEW_PID):
        problems.append("this kernel does not keep it from other processes")
    elif child := os.fork():
        _end_as(child)
    if not _touch_nothing_else(libc, own, [*readable, *_python()]):
        problems.append("this kernel does not keep it from other files")
    return problems


def _end_as(child: int) -> None:
    """End as a process does: with its exit code, or by its signal."""
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


def _python() -> Iterator[Path]:
    """What Python and its libraries read."""
    yield from map(Path, (sys.prefix, sys.base_prefix, sys.exec_prefix, *SYSTEM))
    yield from (Path(place) for place in sys.path if "site-packages" in place or "dist-packages" in place)
    yield from (Path(place) for place in os.environ.get("LD_LIBRARY_PATH", "").split(":") if place)
    yield Path(__file__).resolve().parents[2]


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


def _touch_nothing_else(libc: ctypes.CDLL, own: Path, readable: Sequence[Path]) -> bool:
    version = libc.syscall(CREATE, None, 0, 1)
    rights = sum(bits for since, bits in BY_VERSION if version >= since)
    handled = rights & ~EXECUTE
    if version < 1 or libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0):
        return False
    rules = _Ruleset(handled)
    held = libc.syscall(CREATE, ctypes.byref(rules), ctypes.sizeof(rules), 0)
    if held < 0:
        return False
    try:
        allowed = [(own, handled), (Path("/dev/null"), READ_FILE | WRITE_FILE)]
        allowed += [(place, READ_FILE | READ_DIR) for place in readable if place.exists()]
        # Modules are looked for by listing directories, whatever else lies in them.
        allowed += [(Path(place), READ_DIR) for place in sys.path if Path(place).is_dir()]
        fine = all(_allow(libc, held, place, rights) for place, rights in allowed)
        return fine and not libc.syscall(RESTRICT, held, 0)
    finally:
        os.close(held)


def _allow(libc: ctypes.CDLL, held: int, place: Path, rights: int) -> bool:
    rights = rights if place.is_dir() else rights & (READ_FILE | WRITE_FILE)
    if not rights:
        return True
    opened = os.open(place, os.O_PATH)
    try:
        beneath = _Beneath(rights, opened)
        return not libc.syscall(ADD, held, 1, ctypes.byref(beneath), 0)
    finally:
        os.close(opened)
