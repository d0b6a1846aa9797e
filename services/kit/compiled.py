"""The one way in which kernels are compiled, when, and how long their machine code is kept.

A kernel that Python calls says with which types it is called, so that a service compiles it before its loop begins
(`prepare`) and not in the middle of a batch, where minutes on a machine under load would look like a loop that hangs.

numba keeps machine code on disk until the kernel's own file changes. Callees of other files and constants are frozen
into it all the same (numba issue 1833), and code of an older version over the state of a newer one would be wrong in
silence. So what is kept is stamped with all that it was made of.
"""

from __future__ import annotations

import fcntl
import hashlib
import inspect
import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast, overload

import numba
import numpy as np
from numba.core import caching, config, event, types
from numba.core.dispatcher import Dispatcher
from numba.core.extending import _Intrinsic

_listen: Any = event.register
settings: Any = config  # its attributes are made at run time
Function = TypeVar("Function", bound=Callable[..., object])
Array = TypeVar("Array", bound=np.ndarray[Any, Any])
_FROZEN = (int, float, str, tuple, np.generic, np.ndarray)
"""Kinds of globals that a kernel takes in as they are when it is compiled."""


_BUSY_S = 0.05
"""How long to wait for a kernel that another process is compiling before looking again."""
_CALLED: dict[Any, tuple[tuple[types.Type, ...], ...]] = {}
"""The kernels of this process that Python calls, with the types of their arguments."""
_TOLD: set[str] = set()
"""What `late` has told."""


@overload
def kernel(function: Function, /) -> Function: ...
@overload
def kernel(*signatures: str) -> Callable[[Function], Function]: ...
def kernel(*signatures: Any) -> Any:
    """Compile a function of arrays, scalars and addresses, without the interpreter lock.

    Bare, for kernels that only other kernels call: they are compiled with those. One that Python calls names the types
    of its arguments, for each way of calling it, as numba writes them: `@kernel("i8[::1] ~u1[::1] f8[:,::1] i8")`. A
    `~` stands before an array that cannot be written to, such as one that belongs to Arrow.

    The machine code is kept on disk: beside the module, or where `NUMBA_CACHE_DIR` says. No fast-math: sums must have
    the same bits on every machine and after every restart.
    """
    if len(signatures) == 1 and callable(signatures[0]):
        return _wrapped(signatures[0])

    def named(function: Function) -> Function:
        made: Any = _wrapped(function)
        _CALLED[made] = tuple(tuple(map(_type, signature.split())) for signature in signatures)
        return cast(Function, made)

    return named


def _wrapped(function: Any) -> Any:
    listed = settings.CACHE_LOCATOR_CLASSES
    settings.CACHE_LOCATOR_CLASSES = _PLACES  # Read once, when the function is wrapped.
    try:
        return numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    finally:
        settings.CACHE_LOCATOR_CLASSES = listed


def _type(word: str) -> types.Type:
    """A type by its name in a signature.

    >>> _type("i8"), _type("~u1[::1]")
    (int64, Array(uint8, 1, 'C', True, aligned=True))
    """
    name, bracket, _ = word.lstrip("~").partition("[")
    found: Any = getattr(types, name)
    if bracket:
        found = eval(word.lstrip("~"), {name: found})
    return cast(types.Type, found.copy(readonly=True) if word.startswith("~") else found)


def frozen(array: Array) -> Array:
    """The array as a kernel takes it that only reads it (`~`): Arrow's cannot be written to and NumPy's can, and each
    kind would need machine code of its own.
    """
    seen = array.view()
    seen.flags.writeable = False
    return seen


def prepare(beat: Callable[[int, int], None]) -> None:
    """Have all kernels that Python calls ready: from disk, or compiled now; quick on a repeat.

    Several processes that start together share the work: each compiles what no other one is compiling, and finds the
    rest on disk.

    Args:
        beat: told how many of how many are ready; also of each that is compiled later, which takes its time.
    """
    waiting = deque((made, signature) for made, signatures in _CALLED.items() for signature in signatures)
    total, skipped = len(waiting), 0
    _listen("numba:compile", _Heard(lambda: beat(total - len(waiting), total)))
    while waiting:
        made, signature = waiting.popleft()
        with _alone(made) as alone:
            if alone:
                made.compile(signature)
        skipped = 0 if alone else skipped + 1
        if not alone:
            waiting.append((made, signature))
            if skipped >= len(waiting):
                time.sleep(_BUSY_S)
        beat(total - len(waiting), total)


def late() -> list[str]:
    """Calls with types that no kernel had named, each told once: they were compiled when they were made."""
    met = {
        f"{made.py_func.__module__}.{made.py_func.__name__}{types}"
        for made, named in _CALLED.items()
        for types in set(made.overloads) - set(named)
    }
    new = sorted(met - _TOLD)
    _TOLD.update(new)
    return new


class _Heard(event.Listener):
    """Calls a function whenever a kernel, or one that it calls, begins or ends to be compiled."""

    def __init__(self, told: Callable[[], None]) -> None:
        self.told = told

    def on_start(self, event: event.Event) -> None:
        """As numba asks it."""
        self.told()

    def on_end(self, event: event.Event) -> None:
        """As numba asks it."""
        self.told()


@contextmanager
def _alone(made: Any) -> Iterator[bool]:
    """Whether no other process is at this kernel; the kernel's lock is ours inside, and let go when a holder dies."""
    folder = Path(made._cache.cache_path)
    folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder / f"{made.py_func.__module__}.{made.py_func.__name__}.lock", os.O_CREAT | os.O_RDWR, 0o644)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(lock)


@cache
def stamp(function: Callable[..., object]) -> str:
    """Names what machine code of a function is made of: its file, the constants, kernels of other files with theirs.

    Globals are taken as they are now, so it is asked when all that the function uses is imported.
    """
    made_of = hashlib.sha256(_source(function.__code__.co_filename))
    for name, value in sorted(function.__globals__.items()):
        if isinstance(value, _FROZEN) and not name.startswith("__"):
            told = value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode()
            made_of.update(name.encode() + b"=" + told)
        elif (other := _beneath(value)) is not None and other.__module__ != function.__module__:
            made_of.update(f"{name}:{stamp(other)};".encode())
    return made_of.hexdigest()


@cache
def _source(path: str) -> bytes:
    return Path(path).read_bytes()


def _beneath(value: Any) -> Any:
    """The Python function of a kernel or of an intrinsic; None for all else."""
    if isinstance(value, Dispatcher):
        return value.py_func
    return inspect.unwrap(value) if isinstance(value, _Intrinsic) else None


class _Stamped:
    """A place of numba's where machine code counts by its stamp."""

    def __init__(self, function: Callable[..., object], path: str) -> None:
        super().__init__(function, path)  # type: ignore[call-arg]  # mixed into the places below
        self._stamp = stamp(function)

    def get_source_stamp(self) -> str:
        """See numba's `_CacheLocator`."""
        return self._stamp


class Given(_Stamped, caching.UserProvidedCacheLocator):
    """The folder that `NUMBA_CACHE_DIR` names."""


class Beside(_Stamped, caching.InTreeCacheLocator):
    """`__pycache__` beside the module."""


class OfUser(_Stamped, caching.UserWideCacheLocator):
    """The user's cache folder, where the module's cannot be written."""


_PLACES = ",".join(f"{__name__}.{place.__name__}" for place in (Given, Beside, OfUser))
