"""Structured records for kernels: fields by name, and spans of records that are held against their bounds.

A kernel of small steps over many arrays pays for numba's arrays: each is seven words with a counted reference, handed
on to every function that is not inlined. A record is handed on as where it lies, and costs nothing. So what such a
kernel works on is one record; the arrays in it are spans, which say where an array lies and how long it is.

With `NUMBA_BOUNDSCHECK=1` every access to a span is held against its length and the width of its items, and raises
IndexError beyond; without, nothing is checked, and nothing is paid. Whoever makes a span keeps its array alive.
"""

from __future__ import annotations

from typing import Annotated, Any, Generic, NamedTuple, Protocol, TypeVar, cast, get_type_hints

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types

from headrace.columnar.jit import CHECKED, intrinsic, kernel

T = TypeVar("T")
u1 = Annotated[int, "<u1"]
u2 = Annotated[int, "<u2"]
u4 = Annotated[int, "<u4"]
i2 = Annotated[int, "<i2"]
i4 = Annotated[int, "<i4"]
i8 = Annotated[int, "<i8"]
f8 = Annotated[float, "<f8"]


class Kind(Generic[T]):
    """What is one dtype to NumPy and numba; `T` is the class that names its fields.

    Attributes:
        itemsize: bytes.
    """

    itemsize: int


def kind_of(fields: type[T]) -> Kind[T]:
    """The dtype of a class that says of each field how it is kept, one behind the other without gaps.

    >>> class Point:
    ...     x: i4
    ...     weight: f8
    >>> kind_of(Point)
    dtype([('x', '<i4'), ('weight', '<f8')])
    """
    return cast(Kind[T], _packed(fields))


def _packed(fields: Any) -> np.dtype[Any]:
    told = get_type_hints(fields, include_extras=True).items()
    each = [(name, kind.__metadata__[0] if hasattr(kind, "__metadata__") else _packed(kind)) for name, kind in told]
    return np.dtype(each)


def dtype_of(kind: Kind[Any]) -> np.dtype[Any]:
    """A kind as NumPy knows it."""
    return cast("np.dtype[Any]", kind)


def names_of(kind: Kind[Any]) -> tuple[str, ...]:
    """The fields of a kind, in order."""
    return dtype_of(kind).names or ()


def array_of(kind: Kind[Any], rows: int) -> npt.NDArray[Any]:
    """So many records, all zero."""
    return np.zeros(rows, dtype_of(kind))


U1 = cast(Kind[int], np.dtype("<u1"))
I4 = cast(Kind[int], np.dtype("<i4"))
I8 = cast(Kind[int], np.dtype("<i8"))
F8 = cast(Kind[float], np.dtype("<f8"))


class Span:
    """A contiguous array as a field: where it lies, how many items it has, and the bytes of one."""

    place: i8
    length: i8
    width: i8


class Bytes(NamedTuple):
    """Some bytes: where they lie, and how many they are."""

    place: int
    size: int


class StructView(NamedTuple):
    """A span as it is now, for a loop that reads it again and again: it stays in registers."""

    place: int
    length: int
    width: int


def span_of(array: npt.NDArray[Any]) -> tuple[int, int, int]:
    """What a field that is a `Span` is set to; the array must stay, and be contiguous."""
    assert array.flags.c_contiguous, "a span has no gaps"
    return array.ctypes.data, len(array), array.itemsize


# ---- in kernels -----------------------------------------------------------------------------------------------------


class _SizeOf(Protocol):
    def __call__(self, kind: Kind[Any]) -> int: ...


class _RecordAt(Protocol):
    def __call__(self, place: int, kind: Kind[T]) -> T: ...


class _CopyRaw(Protocol):
    def __call__(self, source: int, target: int, size: int) -> None: ...


@intrinsic
def _size(typing: Any, kind: Any) -> Any:
    wanted = kind.dtype
    size = wanted.size if isinstance(wanted, types.Record) else wanted.bitwidth // 8

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return ir.Constant(ir.IntType(64), size)

    return types.int64(kind), generate


@intrinsic
def _read(typing: Any, place: Any, kind: Any) -> Any:
    wanted = kind.dtype
    is_record = isinstance(wanted, types.Record)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        if is_record:
            return builder.inttoptr(args[0], context.get_value_type(wanted))
        pointer = builder.inttoptr(args[0], context.get_data_type(wanted).as_pointer())
        # Items begin anywhere: no alignment may be assumed.
        return context.cast(builder, builder.load(pointer, align=1), wanted, signature.return_type)

    return (types.int64 if isinstance(wanted, types.Integer) else wanted)(types.int64, kind), generate


@intrinsic
def _copy(typing: Any, source: Any, target: Any, size: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        byte, word = ir.IntType(8).as_pointer(), ir.IntType(64)
        copy = builder.module.declare_intrinsic("llvm.memcpy", [byte, byte, word])
        pointers = builder.inttoptr(args[1], byte), builder.inttoptr(args[0], byte)
        builder.call(copy, [*pointers, args[2], ir.Constant(ir.IntType(1), 0)])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), generate


size_of: _SizeOf = _size
"""Bytes of a record or a number of this kind."""
record_at: _RecordAt = _read
"""The record, or the number, that lies at a place in memory; nothing is checked."""
_copy_raw: _CopyRaw = _copy


@kernel
def view(span: Span) -> StructView:
    """A span as a value of its own."""
    return StructView(span.place, span.length, span.width)


@kernel
def at(span: Span | StructView, index: int, kind: Kind[T]) -> T:
    """An item of a span: a record, whose fields can be set, or a number (integers as int64)."""
    if CHECKED and (index < 0 or index >= span.length or span.width != size_of(kind)):
        raise IndexError("an item that its span does not have")
    return record_at(span.place + index * size_of(kind), kind)


@kernel
def part(span: Span, start: int, stop: int) -> Bytes:
    """The bytes [start, stop) of a span of bytes."""
    if CHECKED and (start < 0 or start > stop or stop > span.length or span.width != 1):
        raise IndexError("bytes that their span does not have")
    return Bytes(span.place + start, stop - start)


@kernel
def bytes_in(array: npt.NDArray[np.uint8], start: int, stop: int) -> Bytes:
    """The bytes [start, stop) of an array, which must stay."""
    if CHECKED and (start < 0 or start > stop or stop > len(array)):
        raise IndexError("bytes that their array does not have")
    return Bytes(np.int64(array.ctypes.data) + start, stop - start)  # type: ignore[arg-type]  # an int to numba


@kernel
def copy(source: Bytes, target: Bytes) -> None:
    """Copy as many bytes as there is room for, which is as many as there are."""
    if CHECKED and source.size != target.size:
        raise IndexError("bytes copied to where there is another number of them")
    _copy_raw(source.place, target.place, source.size)


@kernel
def same(one: Bytes, other: Bytes) -> bool:
    """Whether they are the same bytes."""
    if one.size != other.size:
        return False
    for step in range(one.size):  # noqa: SIM110  # kernels have no generators
        if record_at(one.place + step, U1) != record_at(other.place + step, U1):
            return False
    return True
