"""The one way in which kernels are compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., object])


def kernel(function: Function) -> Function:
    """Compile a function of arrays and scalars, cached on disk, without the interpreter lock.

    No fast-math: sums must have the same bits on every machine and after every restart.
    """
    return cast(Function, numba.njit(cache=True, nogil=True, error_model="numpy")(function))
