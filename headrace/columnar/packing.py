"""Named columns as compact bytes: the form in which state is checkpointed."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from functools import cache
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace.columnar.byte_planes import decimals_of, planes_of, whole_of
from headrace.columnar.jit import frozen
from headrace.errors import ContractError

MAGIC = b"hrc"
VERSION, READ = 2, (1, 2)
_HEAD = 8  # magic, version, checksum of what follows
_LEVEL = 3
_FEW = 64
"""First entries of a column, which tell mostly that it does not fit a shorter form."""
_FRAME = 1 << 18
"""Bytes from which on columns are compressed: small ones together, as a frame costs as much as a small column."""

Column = npt.NDArray[np.int64] | npt.NDArray[np.float64] | npt.NDArray[np.uint8]


def pack(columns: Mapping[str, Column], level: int = _LEVEL) -> bytes:
    """One-dimensional int64, float64 and uint8 arrays as bytes that `unpack` gives back bit for bit.

    Integers are stored as differences in their common unit, in as few bytes as the widest needs; floats that are
    decimals of up to four places as integers; all of it compressed (zstd). A sorted column of times in seconds takes
    about three bytes an entry, money in cents about two. `level`: zstd's; a lower one is quicker.
    """
    forms: list[dict[str, object]] = []
    frames: list[tuple[int, bytes]] = []
    raws: list[bytes] = []
    for number, (name, column) in enumerate(columns.items(), 1):
        form, raw = _encode(column)
        forms.append({"name": name, "rows": len(column), "size": len(raw), **form})
        raws.append(raw)
        if number == len(columns) or sum(map(len, raws)) >= _FRAME:
            frames.append((len(raws), _codec(level).compress(b"".join(raws), asbytes=True)))
            raws = []
    head = {"columns": forms, "frames": [(count, len(body)) for count, body in frames]}
    text = json.dumps(head, separators=(",", ":")).encode()
    rest = b"".join([len(text).to_bytes(4, "little"), text, *(body for _, body in frames)])
    return MAGIC + bytes([VERSION]) + _checksum(VERSION, rest).to_bytes(4, "little") + rest


def unpack(data: bytes) -> dict[str, Column]:
    """The columns that `pack` took. Raises ContractError when the bytes are of another format, cut short or damaged."""
    if len(data) < _HEAD + 4 or data[:3] != MAGIC:
        raise ContractError("state snapshot: not one of ours (wrong magic)")
    if data[3] not in READ:
        raise ContractError(f"state snapshot: version {data[3]}, this code reads {', '.join(map(str, READ))}")
    rest = memoryview(data)[_HEAD:]
    if _checksum(data[3], rest) != int.from_bytes(data[4:_HEAD], "little"):
        raise ContractError("state snapshot: checksum differs, the bytes are damaged")
    start = 4 + int.from_bytes(rest[:4], "little")
    head = json.loads(bytes(rest[4:start]))
    if data[3] == 1:  # each column had a frame of its own
        head = {"columns": head, "frames": [(1, form["bytes"]) for form in head]}
    forms = iter(head["columns"])
    columns: dict[str, Column] = {}
    for count, size in head["frames"]:
        within = list(islice(forms, count))
        raw = _codec().decompress(rest[start : start + size], sum(form["size"] for form in within))
        start, at = start + size, 0
        for form in within:
            columns[form["name"]] = _decode(form, raw.slice(at, form["size"]))
            at += form["size"]
    return columns


def _checksum(version: int, rest: bytes | memoryview) -> int:
    """Of the version too, so that a damaged one is not taken for another."""
    return zlib.crc32(rest, 0 if version == 1 else version)


def beneath(columns: Mapping[str, Column], start: str) -> dict[str, Column]:
    """The columns whose names begin so, without it.

    >>> beneath({"a.x": np.array([1]), "b.x": np.array([2])}, "b.")
    {'x': array([2])}
    """
    return {name.removeprefix(start): column for name, column in columns.items() if name.startswith(start)}


def json_column(said: Any) -> Column:
    """Something of JSON as a column.

    >>> json_of(json_column({"a": [1, None]}))
    {'a': [1, None]}
    """
    found: Column = np.frombuffer(json.dumps(said).encode(), np.uint8)
    return found


def json_of(column: Column) -> Any:
    """What `json_column` took."""
    return json.loads(column.tobytes())


@cache
def _codec(level: int = _LEVEL) -> pa.Codec:
    return pa.Codec("zstd", compression_level=level)


def _encode(column: Column) -> tuple[dict[str, object], bytes]:
    if column.dtype == np.uint8:
        return {"as": "bytes"}, column.tobytes()
    if column.dtype == np.float64:
        numbers = np.empty(len(column), np.int64)
        floats: npt.NDArray[np.float64] = np.ascontiguousarray(column, np.float64)
        places = decimals_of(frozen(floats), numbers)
        if places < 0:
            return {"as": "float"}, _shuffled(floats.view(np.int64), 8)
        form, raw = _integers(numbers)
        return {"as": "decimal", "places": places, **form}, raw
    steps = column.astype(np.int64)
    steps[1:] -= steps[:-1].copy()  # wraps around on overflow, and back again in the sum
    form, raw = _integers(steps)
    return {"as": "steps", **form}, raw


def _integers(numbers: npt.NDArray[np.int64]) -> tuple[dict[str, object], bytes]:
    if not len(numbers):
        return {"least": 0, "unit": 1, "width": 1}, b""
    least, most = int(numbers.min()), int(numbers.max())
    if most - least >= 2**63:
        return {"least": 0, "unit": 1, "width": 8}, _shuffled(numbers, 8)
    unit = 1
    if most > least and np.gcd.reduce(numbers[:_FEW] - least) != 1:  # a gcd is slow, and few tell mostly that it is 1
        unit = max(1, int(np.gcd.reduce(numbers - least)))
    width = next(w for w in (1, 2, 4, 8) if (most - least) // unit < 256**w)
    return {"least": least, "unit": unit, "width": width}, _shuffled(numbers, width, unit, least)


def _shuffled(numbers: npt.NDArray[np.int64], width: int, unit: int = 1, least: int = 0) -> bytes:
    """Bytes of equal significance together, which compress better."""
    found = np.empty((width, len(numbers)), np.uint8)
    planes_of(frozen(numbers), unit, least, found)
    return found.tobytes()


def _whole(raw: pa.Buffer, form: Mapping[str, int | str], width: int, steps: bool = False) -> npt.NDArray[np.int64]:
    """What `_shuffled` took, of so many bytes each."""
    rows = int(form["rows"])
    found = np.empty(rows, np.int64)
    planes = frozen(np.frombuffer(raw, np.uint8).reshape(width, rows))
    whole_of(planes, int(form.get("unit", 1)), int(form.get("least", 0)), steps, found)
    return found


def _decode(form: Mapping[str, int | str], raw: pa.Buffer) -> Column:
    kind = form["as"]
    if kind == "bytes":
        return np.frombuffer(raw, np.uint8)
    if kind == "float":
        return _whole(raw, form, 8).view(np.float64)
    numbers = _whole(raw, form, int(form["width"]), kind == "steps")
    if kind == "steps":
        return numbers
    return numbers / 10.0 ** int(form["places"]) if form["places"] else numbers.astype(np.float64)
