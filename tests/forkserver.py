"""Processes of services and commands that need not import what another process has imported.

Hundreds of tests start `python -m services...` or `python -m headrace.cli`, and most of what such a process does is to
import, and to load kernels: two seconds of the processor's time, each. Here one process per test process does it once,
and each that is started is a fork of it: a process of its own, with its own environment, folder, streams and end, whose
parent is the process that asked for it. What a fork would not take over is started plainly, see `forkable`.

The server is this module as a program. It stays without threads, of which a fork would lose all but one.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import importlib
import json
import os
import pkgutil
import runpy
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from headrace.columnar.jit import prepare
from tests.sources import ROOT

_PDEATHSIG, _CHILD_SUBREAPER = 1, 36  # prctl(2)
_IMPORTED = ("headrace", "services")
_MODULES = (*_IMPORTED, "tests")
_BESIDE = ("redis", "rich.table", "rich.progress")
"""What they import when they first need it."""
_THREADED = "onnxruntime"
"""Starts a thread when it is imported, which a fork would not have: each fork imports it, and what imports it."""
_UNTHREADED = {"OMP_NUM_THREADS": "1", "JE_ARROW_MALLOC_CONF": "background_thread:false"}
"""Variables of the server by which OpenBLAS and the allocator of pyarrow start none."""
_SCRIPT = Path(sys.executable).with_name("headrace")
"""The command as it is installed."""
_EARLY = ("PYTHON", "NUMBA_", "OMP_", "LC_", "LANG", "LD_", "MALLOC_", "TZ", "XDG_", "HOME", "NO_COLOR", "FORCE_COLOR")
"""Variables that are read before or while modules are imported."""
_ORDER = 1 << 20  # bytes
plain = subprocess.Popen
"""Starts a process that imports all for itself."""
_ASKED = threading.Lock()
"""Held from an order to its answer."""


def forkable(args: object, environment: dict[str, str] | None) -> bool:
    """Whether a fork does as well: one of our modules, in an environment that would import them alike."""
    given = dict(os.environ) if environment is None else dict(environment)
    if sys.platform != "linux" or not _words(args, given):
        return False
    servers = _server()[1]
    paths = given.get("PYTHONPATH", "")
    return paths in ("", str(ROOT), servers.get("PYTHONPATH")) and _early(given) == _early(servers)


def _words(args: object, environment: dict[str, str]) -> list[str]:
    """The module or script that is to run, and its arguments; empty where it is none of ours."""
    if not isinstance(args, Sequence) or isinstance(args, str) or not args:
        return []
    words = [str(word) for word in args]
    program = shutil.which(words[0], path=environment.get("PATH"))
    if program == str(_SCRIPT):
        return [program, *words[1:]]
    if program != sys.executable or len(words) < 3 or words[1] != "-m":
        return []
    return words[2:] if words[2].partition(".")[0] in _MODULES else []


def _early(environment: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(_EARLY) and name != "PYTHONPATH"}


class Popen(plain[Any]):
    """`subprocess.Popen`, forked from a server where `forkable`; in tests it is in the place of that."""

    def _execute_child(self, *given: Any) -> None:
        args, environment = given[0], given[6]
        special = (given[2], *given[4], *given[17:20], given[21])  # preexec_fn, pass_fds, gid, gids, uid, new session
        if any(special) or not forkable(args, environment):
            super()._execute_child(*given)  # type: ignore[misc]  # not in the stubs
            return
        folder, pipes = given[5], given[10:16]
        given_variables = dict(os.environ) if environment is None else dict(environment)
        theirs = [own if pipe == -1 else pipe for own, pipe in enumerate((pipes[0], pipes[3], pipes[5]))]
        order = {
            "words": _words(args, given_variables),
            "folder": os.fspath(folder or Path.cwd()),
            "environment": given_variables,
        }
        channel, _ = _server()
        with _ASKED:
            _prctl(_CHILD_SUBREAPER, 1)  # A child of this process, as the one between it and the server ends.
            socket.send_fds(channel, [json.dumps(order).encode()], theirs)
            answer = channel.recv(64)
            _prctl(_CHILD_SUBREAPER, 0)
        if not answer:
            raise RuntimeError("the server of forks has ended")
        self.pid = int(answer)
        self._child_created = True
        self._close_pipe_fds(*pipes)  # type: ignore[attr-defined]  # not in the stubs


@cache
def _server() -> tuple[socket.socket, dict[str, str]]:
    """The channel to this process's server, started by the first caller, and the environment that it has."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    environment = dict(os.environ)
    with its:
        server = plain(
            [sys.executable, "-m", "tests.forkserver", str(its.fileno())],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            pass_fds=[its.fileno()],
            env=environment | _UNTHREADED,
        )
    atexit.register(_end, ours, server)
    return ours, environment


def _end(channel: socket.socket, server: subprocess.Popen[bytes]) -> None:
    channel.close()
    server.wait()


def _prctl(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def _import_all() -> None:
    sys.modules[_THREADED] = None  # type: ignore[assignment]  # As if it could not be found.
    for name in _IMPORTED:
        package = importlib.import_module(name)
        for found in pkgutil.walk_packages(package.__path__, f"{name}."):
            if not found.name.endswith(".__main__"):
                _import(found.name)
    del sys.modules[_THREADED]
    for name in _BESIDE:
        importlib.import_module(name)
    prepare(lambda ready, total: None)


def _import(name: str) -> None:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as missing:
        if missing.name != _THREADED:
            raise


def _serve(channel: socket.socket) -> dict[str, Any] | None:
    """Fork for each order; answers the order in the fork, and None in the server when nobody can ask any more."""
    while True:
        told, streams, _, _ = socket.recv_fds(channel, _ORDER, 3)
        if not told:
            return None
        between = os.fork()
        if between == 0:
            between = os.getpid()
            if os.fork():
                os._exit(0)
            return {**json.loads(told), "between": between, "streams": streams}
        for stream in streams:
            os.close(stream)
        os.waitpid(between, 0)


def main() -> None:
    """Serve, and in each fork become what was asked for."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    _import_all()
    threads = len(list(Path("/proc/self/task").iterdir()))
    if threads > 1:
        raise RuntimeError(f"{threads} threads after all modules were imported, which forks would not have")
    gc.freeze()
    order = _serve(channel)
    if order is None:
        return
    while os.getppid() == order["between"]:
        os.sched_yield()
    _prctl(_PDEATHSIG, signal.SIGKILL)  # With the parent, however that ends.
    channel.send(str(os.getpid()).encode())
    channel.close()
    for number, stream in enumerate(order["streams"]):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["environment"])
    program, *words = order["words"]
    script = program == str(_SCRIPT)
    sys.path[0] = str(_SCRIPT.parent) if script else order["folder"]
    if str(ROOT) not in sys.path:
        sys.path.insert(1, str(ROOT))
    sys.argv = [program, *words]
    sys.orig_argv = [sys.executable, *([] if script else ["-m"]), program, *words]
    try:
        if script:
            runpy.run_path(program, run_name="__main__")
        else:
            runpy.run_module(program, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if not isinstance(end.code, int | None):
            raise
        _leave(end.code or 0)
    _leave(0)


def _leave(code: int) -> None:
    """End as an interpreter does, but for the taking apart of all modules, which would copy what forks share."""
    threading._shutdown()  # type: ignore[attr-defined]  # Waits for threads.
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
