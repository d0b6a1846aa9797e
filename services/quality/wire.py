"""Columns of whole numbers as compact bytes: the form in which summaries travel and are checkpointed."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from services.kit.errors import ContractError

Words = npt.NDArray[np.uint64]

_HEAD = struct.Struct("<4sIBBQ")  # magic, crc32 of the rest, word, columns, rows


def packed(magic: bytes, word: int, columns: Sequence[Words]) -> bytes:
    """At most 255 uint64 columns of one length and a small number (0 to 255) as bytes that `unpacked` gives back.

    Each column is stored in as few bytes an entry as its largest needs, bytes of the same significance together, all
    of it compressed (zstd). `magic` is four bytes that name the kind of summary and its version.
    """
    widths = [next(w for w in (1, 2, 4, 8) if w == 8 or not len(c) or int(c.max()) < 256**w) for c in columns]
    planes = [
        c.astype(f"<u{w}").view(np.uint8).reshape(-1, w).T.tobytes() for c, w in zip(columns, widths, strict=True)
    ]
    rest = bytes(widths) + bytes(_codec().compress(b"".join(planes), asbytes=True))
    return _HEAD.pack(magic, zlib.crc32(rest), word, len(columns), len(columns[0])) + rest


def unpacked(magic: bytes, data: bytes) -> tuple[int, list[Words]]:
    """(word, columns) as `packed` took them. Raises ContractError for bytes of another kind, cut short or damaged."""
    if len(data) < _HEAD.size or data[:4] != magic:
        raise ContractError(f"packed summary: wants {magic!r}, is {data[:4]!r} of {len(data)} bytes")
    _, checksum, word, count, rows = _HEAD.unpack_from(data)
    rest = data[_HEAD.size :]
    if zlib.crc32(rest) != checksum:
        raise ContractError(f"packed summary {magic!r}: checksum differs, the bytes are damaged")
    widths = rest[:count]
    raw = _codec().decompress(rest[count:], rows * sum(widths), asbytes=True)
    columns, start = [], 0
    for width in widths:
        planes = np.frombuffer(raw, np.uint8, rows * width, start).reshape(width, rows)
        columns.append(np.ascontiguousarray(planes.T).view(f"<u{width}").reshape(rows).astype(np.uint64))
        start += rows * width
    return word, columns


def _codec() -> pa.Codec:
    return pa.Codec("zstd", compression_level=3)
