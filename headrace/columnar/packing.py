"""Named columns as compact bytes: the form in which state is checkpointed."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace.errors import ContractError

MAGIC = b"hrc"
VERSION = 1
_HEAD = 8  # magic, version, crc32 of the rest
_LEVEL = 3

Column = npt.NDArray[np.int64] | npt.NDArray[np.float64] | npt.NDArray[np.uint8]


def pack(columns: Mapping[str, Column], level: int = _LEVEL) -> bytes:
    """One-dimensional int64, float64 and uint8 arrays as bytes that `unpack` gives back bit for bit.

    Integers are stored as differences in their common unit, in as few bytes as the widest needs; floats that are
    decimals of up to four places as integers; all of it compressed (zstd). A sorted column of times in seconds takes
    about three bytes an entry, money in cents about two. `level`: zstd's; a lower one is quicker.
    """
    head: list[dict[str, object]] = []
    bodies: list[bytes] = []
    for name, column in columns.items():
        form, raw = _encode(column)
        body = _codec(level).compress(raw, asbytes=True)
        head.append({"name": name, "rows": len(column), "size": len(raw), "bytes": len(body), **form})
        bodies.append(body)
    text = json.dumps(head, separators=(",", ":")).encode()
    rest = len(text).to_bytes(4, "little") + text + b"".join(bodies)
    return MAGIC + bytes([VERSION]) + zlib.crc32(rest).to_bytes(4, "little") + rest


def unpack(data: bytes) -> dict[str, Column]:
    """The columns that `pack` took. Raises ContractError when the bytes are of another format, cut short or damaged."""
    if len(data) < _HEAD + 4 or data[:3] != MAGIC:
        raise ContractError("state snapshot: not one of ours (wrong magic)")
    if data[3] != VERSION:
        raise ContractError(f"state snapshot: version {data[3]}, this code reads {VERSION}")
    rest = data[_HEAD:]
    if zlib.crc32(rest) != int.from_bytes(data[4:_HEAD], "little"):
        raise ContractError("state snapshot: checksum differs, the bytes are damaged")
    start = 4 + int.from_bytes(rest[:4], "little")
    columns: dict[str, Column] = {}
    for form in json.loads(rest[4:start]):
        raw = _codec().decompress(rest[start : start + form["bytes"]], form["size"], asbytes=True)
        columns[form["name"]] = _decode(form, raw)
        start += form["bytes"]
    return columns


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
        for places in range(5):
            with np.errstate(invalid="ignore", over="ignore"):
                whole = np.rint(column * 10.0**places)
                fits = bool(np.all(np.abs(whole) < 2**53))
                numbers = whole.astype(np.int64)
                same = fits and bool(np.all((numbers / 10.0**places).view(np.int64) == column.view(np.int64)))
            if same:
                form, raw = _integers(numbers)
                return {"as": "decimal", "places": places, **form}, raw
        return {"as": "float"}, _shuffled(column)
    steps = column.astype(np.int64)
    steps[1:] -= steps[:-1].copy()  # wraps around on overflow, and back again in the sum
    form, raw = _integers(steps)
    return {"as": "steps", **form}, raw


def _integers(numbers: npt.NDArray[np.int64]) -> tuple[dict[str, object], bytes]:
    if not len(numbers):
        return {"least": 0, "unit": 1, "width": 1}, b""
    least, most = int(numbers.min()), int(numbers.max())
    if most - least >= 2**63:
        return {"least": 0, "unit": 1, "width": 8}, _shuffled(numbers)
    offset = numbers - least
    unit = max(1, int(np.gcd.reduce(offset)))
    width = next(w for w in (1, 2, 4, 8) if (most - least) // unit < 256**w)
    return {"least": least, "unit": unit, "width": width}, _shuffled((offset // unit).astype(f"<u{width}"))


def _shuffled(numbers: npt.NDArray[np.generic]) -> bytes:
    """Bytes of equal significance together, which compress better."""
    return numbers.view(np.uint8).reshape(len(numbers), -1).T.tobytes()


def _whole(raw: bytes, rows: int, kind: str) -> npt.NDArray[np.generic]:
    planes = np.frombuffer(raw, np.uint8).reshape(np.dtype(kind).itemsize, rows)
    return np.ascontiguousarray(planes.T).view(kind).reshape(rows)


def _decode(form: dict[str, int | str], raw: bytes) -> Column:
    rows, kind = int(form["rows"]), form["as"]
    if kind == "bytes":
        return np.frombuffer(raw, np.uint8)
    if kind == "float":
        return _whole(raw, rows, "<f8").astype(np.float64)
    width = int(form["width"])
    stored = _whole(raw, rows, f"<u{width}").astype(np.uint64).view(np.int64)
    numbers: npt.NDArray[np.int64] = stored * np.int64(form["unit"]) + np.int64(form["least"])
    if kind == "decimal":
        return numbers / 10.0 ** int(form["places"])
    return np.cumsum(numbers)
