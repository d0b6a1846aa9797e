"""The one way in which kernels are compiled, and how long their machine code is kept.

numba keeps machine code on disk until the kernel's own file changes. Callees of other files and constants are frozen
into it all the same (numba issue 1833), and code of an older version over the state of a newer one would be wrong in
silence. So what is kept is stamped with all that it was made of.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numba.core import caching, config
from numba.core.dispatcher import Dispatcher
from numba.core.extending import _Intrinsic

settings: Any = config  # its attributes are made at run time
Function = TypeVar("Function", bound=Callable[..., object])
_FROZEN = (int, float, str, tuple, np.generic, np.ndarray)
"""Kinds of globals that a kernel takes in as they are when it is compiled."""


def kernel(function: Function) -> Function:
    """Compile a function of arrays, scalars and addresses, without the interpreter lock.

    The machine code is kept on disk: beside the module, or where `NUMBA_CACHE_DIR` says. No fast-math: sums must have
    the same bits on every machine and after every restart.
    """
    listed = settings.CACHE_LOCATOR_CLASSES
    settings.CACHE_LOCATOR_CLASSES = _PLACES  # Read once, when the function is wrapped.
    try:
        return cast(Function, numba.njit(cache=True, nogil=True, error_model="numpy")(function))
    finally:
        settings.CACHE_LOCATOR_CLASSES = listed


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
