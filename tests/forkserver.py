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
_EARLY = ("PYTHON", "NUMBA_", "OMP_", "LC_", "LANG", "LD_", "MALLOC_", "TZ", "XDG_", "HOME", "NO_COLOR", "FORCE_COLOR")
"""Variables that are read before or while modules are imported."""
_ORDER = 1 << 20  # bytes
plain = subprocess.Popen
"""Starts a process that imports all for itself."""
_ASKED = threading.Lock()
"""Held from an order to its answer."""


def forkable(args: object, environment: dict[str, str] | None) -> bool:
    """Whether a fork does as well: one of our modules, in an environment that would import them alike."""
    if sys.platform != "linux" or not isinstance(args, Sequence) or list(args[:2]) != [sys.executable, "-m"]:
        return False
    if str(args[2]).partition(".")[0] not in _MODULES:
        return False
    given = dict(os.environ) if environment is None else dict(environment)
    servers = _server()[1]
    paths = given.get("PYTHONPATH", "")
    return paths in ("", str(ROOT), servers.get("PYTHONPATH")) and _early(given) == _early(servers)


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
        theirs = [own if pipe == -1 else pipe for own, pipe in enumerate((pipes[0], pipes[3], pipes[5]))]
        order = {
            "words": [str(word) for word in args[2:]],
            "folder": os.fspath(folder or Path.cwd()),
            "environment": dict(os.environ) if environment is None else dict(environment),
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
    module, *words = order["words"]
    sys.path[0] = order["folder"]
    if str(ROOT) not in sys.path:
        sys.path.insert(1, str(ROOT))
    sys.argv = [module, *words]
    sys.orig_argv = [sys.executable, "-m", module, *words]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
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
