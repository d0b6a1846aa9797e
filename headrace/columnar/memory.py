"""Loads and stores at addresses, for compiled code that works on many buffers of many types.

A numba function takes a fixed number of arrays of fixed types; a schema has any number of columns of any type. So the
kernels take one table of addresses and reach the buffers through these. Nothing here checks bounds: the callers do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types

from headrace.columnar.jit import intrinsic, kernel


def _load(bits: int, result: Any) -> Any:
    @intrinsic
    def load(typing: Any, address: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            pointer = builder.inttoptr(args[0], ir.IntType(bits).as_pointer())
            # Records begin anywhere: no alignment may be assumed.
            value = builder.load(pointer, align=1)
            return value if bits == 64 else (builder.zext if bits == 8 else builder.sext)(value, ir.IntType(64))

        return result(types.int64), generate

    return load


def _store(bits: int) -> Any:
    @intrinsic
    def store(typing: Any, address: Any, value: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            pointer = builder.inttoptr(args[0], ir.IntType(bits).as_pointer())
            small = args[1] if bits == 64 else builder.trunc(args[1], ir.IntType(bits))
            builder.store(small, pointer, align=1)
            return context.get_dummy_value()

        return types.void(types.int64, types.int64), generate

    return store


def _fetch() -> Any:
    @intrinsic
    def fetch(typing: Any, address: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            pointer = builder.inttoptr(args[0], ir.IntType(8).as_pointer())
            word = ir.IntType(32)
            kind = ir.FunctionType(ir.VoidType(), [pointer.type, word, word, word])
            prefetch = builder.module.declare_intrinsic("llvm.prefetch", [pointer.type], kind)
            builder.call(prefetch, [pointer, word(1), word(3), word(1)])  # to be written, to stay, data
            return context.get_dummy_value()

        return types.void(types.int64), generate

    return fetch


def _trailing_zeros() -> Any:
    @intrinsic
    def trailing_zeros(typing: Any, value: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return builder.cttz(args[0], ir.Constant(ir.IntType(1), 0))

        return value(value), generate

    return trailing_zeros


def _ones() -> Any:
    @intrinsic
    def ones(typing: Any, value: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return builder.ctpop(args[0])

        return value(value), generate

    return ones


load8: Callable[[int], int] = _load(8, types.int64)
"""The byte at an address, 0 to 255."""
load32: Callable[[int], int] = _load(32, types.int64)
"""The signed 32-bit integer at an address."""
load64: Callable[[int], int] = _load(64, types.int64)
"""The signed 64-bit integer at an address."""
store8: Callable[[int, int], None] = _store(8)
"""Store the low byte of a value at an address."""
store32: Callable[[int, int], None] = _store(32)
"""Store the low 32 bits of a value at an address."""
store64: Callable[[int, int], None] = _store(64)
"""Store a 64-bit value at an address."""
fetch: Callable[[int], None] = _fetch()
"""Have what lies at an address on its way from memory, without waiting for it; any address will do."""
trailing_zeros: Callable[[Any], Any] = _trailing_zeros()
"""How many of the lowest bits of an integer are 0: all of them where it is 0."""
ones: Callable[[Any], Any] = _ones()
"""How many bits of an integer are 1."""


@kernel
def copy(source: int, size: int, out: int) -> int:
    """Copy bytes, eight at a time; returns the address after them."""
    end = out + size
    while out + 8 <= end:
        store64(out, load64(source))
        source += 8
        out += 8
    while out < end:
        store8(out, load8(source))
        source += 1
        out += 1
    return out
