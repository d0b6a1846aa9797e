"""To be somebody whom the rights of a file hold for: root, whom they do not, gives that up for a while."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

_VERSION = 0x2008_0522
DAC_OVERRIDE, DAC_READ_SEARCH = 1, 2
"""What lets root read, write and list whatever the rights say (capabilities(7))."""


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Set(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


@contextmanager
def ordinary() -> Iterator[None]:
    """In this thread, the owner's rights count and no others; nothing changes for who is not root."""
    libc = ctypes.CDLL(None, use_errno=True)
    header, sets = _Header(_VERSION, 0), (_Set * 2)()
    _do(libc.capget(ctypes.byref(header), sets))
    before = sets[0].effective
    sets[0].effective = before & ~(1 << DAC_OVERRIDE | 1 << DAC_READ_SEARCH)
    _do(libc.capset(ctypes.byref(header), sets))
    try:
        yield
    finally:
        sets[0].effective = before
        _do(libc.capset(ctypes.byref(header), sets))


def _do(result: int) -> None:
    if result:
        raise OSError(ctypes.get_errno(), "the kernel does not change capabilities")
