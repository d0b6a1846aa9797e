"""The one way in which kernels are compiled, when, and how long their machine code is kept.

A kernel that Python calls says with which types it is called, so that a service compiles it before its loop begins
(`prepare`) and not in the middle of a batch, where minutes on a machine under load would look like a loop that hangs.

numba (`cache=True`) keeps machine code on disk below `NUMBA_CACHE_DIR`, and takes it as long as the kernel's own file
has the same content. Callees of other files and constants are frozen into it all the same (numba issue 1833), and code
of an older version over the state of a newer one would be wrong in silence. So every kernel has a folder that is named
after all that its machine code is made of, its `stamp`: what has changed is not found, and is compiled anew.

The folders are below `NUMBA_CACHE_DIR`, in `__pycache__` beside the module or in the user's cache: in the first of
these that can be written. What is in them may be deleted at any time; nobody deletes what is out of date.

Only kernels that Python calls are kept: their machine code holds that of all that they call. numba's index of what is
kept of a function is read, changed and written without a lock, so two processes that keep code of it for different
types at once would leave an index that names one's file for the other's types: whoever asks for these would fail until
somebody deletes the folder. So `prepare` has one process at a time at a kernel, and at those of its kind that it calls.

With `NUMBA_BOUNDSCHECK=1` every access to an array or a span is held against its bounds; such code has folders of its
own.

Only what numba documents is used here: `njit`, `types`, `typeof`, `from_dtype`, `config`, `extending`, and the events
that `numba.core.event` offers applications.

References:
    https://numba.readthedocs.io/en/stable/developer/caching.html (folders, and what a function may not use),
    https://numba.readthedocs.io/en/stable/developer/event_api.html (events).
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast, overload

import numba
import numba.extending
import numpy as np
from numba import types
from numba.core import event

_listen: Any = event.register
settings: Any = numba.config  # its attributes are made at run time
CHECKED = bool(settings.BOUNDSCHECK)
"""Whether kernels hold what they reach against its bounds. Each that asks for it says so by importing it."""
Function = TypeVar("Function", bound=Callable[..., object])
Array = TypeVar("Array", bound=np.ndarray[Any, Any])
_FROZEN = (int, float, str, tuple, np.generic, np.ndarray, np.dtype)
"""Kinds of globals that a kernel takes in as they are when it is compiled."""


_BUSY_S = 0.05
"""How long to wait for a kernel that another process is compiling before looking again."""
_CALLED: dict[Any, tuple[tuple[types.Type, ...], ...]] = {}
"""The kernels of this process that Python calls, with the types of their arguments."""
_INTRINSICS: dict[int, Any] = {}
"""By identity: the intrinsics of this process, and the functions that they are made of."""
_TOLD: set[str] = set()
"""What `late` has told."""
_SEEN = [0]
"""How many calls were compiled when `late` looked last."""


@overload
def kernel(function: Function, /) -> Function: ...
@overload
def kernel(*signatures: str, **records: Any) -> Callable[[Function], Function]: ...
def kernel(*signatures: Any, **records: Any) -> Any:
    """Compile a function of arrays, scalars and records, without the interpreter lock.

    Bare, for kernels that only other kernels call: they are compiled with those. One that Python calls names the types
    of its arguments, for each way of calling it, as numba writes them: `@kernel("i8[::1] ~u1[::1] f8[:,::1] i8")`. A
    `~` stands before an array that cannot be written to, such as one that belongs to Arrow. `records` are dtypes for
    words of its own: `@kernel("point points[::1]", point=POINT, points=POINT)`.

    The machine code of these is kept on disk, see above. No fast-math: sums must have the same bits on every machine
    and after every restart.
    """
    if len(signatures) == 1 and callable(signatures[0]):
        return numba.njit(nogil=True, error_model="numpy")(signatures[0])

    def named(function: Function) -> Function:
        made: Any = _kept(function)
        _CALLED[made] = tuple(tuple(_type(word, records) for word in signature.split()) for signature in signatures)
        return cast(Function, made)

    return named


def chosen(functions: Sequence[Callable[..., Any]], otherwise: Callable[..., Any]) -> Any:
    """A kernel that calls one of several kernels, by its number among them, which is the first argument.

    The machine code that calls it holds theirs, as if each was named there, without a pointer to any. Nothing is kept
    on disk of it alone: whoever calls it from another file holds `stamp_of` each of them in a global of its own.

    Args:
        functions: kernels of the same arguments and result.
        otherwise: what any other number calls; a function, compiled here.
    """
    made: Any = numba.njit(nogil=True, error_model="numpy")(_last(numba.njit(error_model="numpy")(otherwise)))
    for number, function in reversed(list(enumerate(functions))):
        made = numba.njit(nogil=True, error_model="numpy")(_first(number, function, made))
    return made


def _last(otherwise: Any) -> Callable[..., Any]:
    def none(which: int, *given: Any) -> Any:
        return otherwise(*given)

    return none


def _first(number: int, function: Any, rest: Any) -> Callable[..., Any]:
    def either(which: int, *given: Any) -> Any:
        if which == number:
            return function(*given)
        return rest(which, *given)

    return either


def stamp_of(made: Any) -> str:
    """The `stamp` of a kernel."""
    return stamp(made.py_func)


def intrinsic(function: Callable[..., Any]) -> Any:
    """A function of numba's that writes machine code itself, known to the stamps of kernels that call it."""
    made = numba.extending.intrinsic(function)
    _INTRINSICS[id(made)] = function
    return made


def _kept(function: Any) -> Any:
    """A kernel whose machine code, and that of all that it calls, is kept on disk."""
    before = settings.CACHE_DIR
    settings.CACHE_DIR = str(_folder(function))  # Read once, when the function is wrapped.
    try:
        return numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    finally:
        settings.CACHE_DIR = before


def _folder(function: Callable[..., object]) -> Path:
    """Where the machine code of a function lies. Raises RuntimeError where nothing can be written.

    Else numba would look for a place of its own, where code counts by the function's file alone.
    """
    tried = _bases(function.__code__.co_filename, settings.CACHE_DIR)
    for base in tried:
        folder = base / f"{function.__module__}-{stamp(function)[:20]}"
        if _writable(folder):
            return folder
    raise RuntimeError(f"none of {', '.join(map(str, tried))} can be written: NUMBA_CACHE_DIR names a folder that can")


@cache
def _writable(folder: Path) -> bool:
    """Whether a folder is there now, or could be made, and can be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)


@cache
def _bases(path: str, given: str) -> tuple[Path, ...]:
    """Where the machine code of a module may lie, the best place first."""
    beside = Path(path).resolve().parent / "__pycache__" / "kernels"
    of_user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "headrace"
    return (Path(given), beside, of_user) if given else (beside, of_user)


def _type(word: str, records: dict[str, Any]) -> types.Type:
    """A type by its name in a signature.

    >>> _type("i8", {}), _type("~u1[::1]", {})
    (int64, Array(uint8, 1, 'C', True, aligned=True))
    """
    name, bracket, _ = word.lstrip("~").partition("[")
    found: Any = numba.from_dtype(records[name]) if name in records else getattr(types, name)
    if bracket:
        array: Any = eval(word.lstrip("~"), {name: found})
        found = types.Array(array.dtype, array.ndim, array.layout, readonly=word.startswith("~"))
    return cast(types.Type, found)


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
    compiled = sum(len(made.overloads) for made in _CALLED)
    if compiled == _SEEN[0]:
        return []
    _SEEN[0] = compiled
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
    """Whether no other process is at this kernel, nor at one that it calls and that is kept as well.

    Their locks are ours inside, and let go when a holder dies.
    """
    with ExitStack() as held:
        for path in sorted({_lock(each.py_func) for each in _kept_beneath(made)}):
            lock = os.open(path, os.O_CREAT | os.O_RDWR, 0o644)
            held.callback(os.close, lock)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
        yield True


def _lock(function: Callable[..., object]) -> Path:
    folder = _folder(function)
    folder.mkdir(parents=True, exist_ok=True)  # It may have been deleted since.
    return folder / f"{function.__name__}.lock"


def _kept_beneath(made: Any) -> list[Any]:
    """A kernel that Python calls, and those of its kind among all that it calls."""
    seen, left = {id(made): made}, [made]
    while left:
        function = left.pop().py_func
        for name in function.__code__.co_names:
            other = function.__globals__.get(name)
            if numba.extending.is_jitted(other) and id(other) not in seen:
                seen[id(other)] = other
                left.append(other)
    return [each for each in seen.values() if each in _CALLED]


@cache
def stamp(function: Callable[..., object]) -> str:
    """Names what machine code of a function is made of: its file, the constants, kernels of other files with theirs.

    Globals are taken as they are now, so it is asked when all that the function uses is imported.
    """
    made_of = hashlib.sha256(_source(function.__code__.co_filename))
    made_of.update(b"checked" if CHECKED else b"")
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
    if numba.extending.is_jitted(value):
        return value.py_func
    return _INTRINSICS.get(id(value))
