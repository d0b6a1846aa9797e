"""Values at the edges of every Avro type, and records of them in any schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

from headrace.columnar.avro.types import Array, Enum, Leaf, Map, Node, Nullable, Record

Strategy = st.SearchStrategy[Any]

INTS = (0, 1, -1, 7, 2**31 - 1, -(2**31))
LONGS = (*INTS, 2**53 - 1, 2**53, 2**53 + 1, -(2**53) - 1, 2**62, 2**63 - 1, -(2**63))
DOUBLES = (
    0.0, -0.0, 0.5, 1.0, -1.0, 1e-320, 5e-324, 2.0**53 + 2, 1e15, 1e150, -1e200, 1e308, -1.7e308,
    float("inf"), float("-inf"), float("nan"),
)  # fmt: skip  # by kind
FLOATS = (0.0, -0.0, 0.5, 1e-45, 3e38, -3e38, float("inf"), float("-inf"), float("nan"))
TEXTS = ("", "a", "b", "a/b", "\x00", "\x1f", "\x1fa\x1f", "ü", "\U0010ffff", "\u2028", "nan", "1e999", "x" * 3_000)
BYTES = (b"", b"\x00", b"\xed\xa0\x80", b"\xff" * 40)
YEAR = 31_556_952_000
TIMES = (
    0, 1, -1, 1_700_000_000_000, 1_700_000_000_001, -62_135_596_800_000, -62_135_596_800_001, -62_167_219_200_000,
    253_402_300_799_999, 253_402_300_800_000, 1 << 46, (1 << 46) + 1, 2**53, 2**62, -(2**62), 2**63 - 1, -(2**63),
)  # fmt: skip  # the epoch, today, the years 1, 0, 9999, 10000, 4199, and the ends
DATES = (0, -719_162, -719_528, 2_932_896, 2_932_897, 2**31 - 1, -(2**31))
LEAVES: Mapping[str, tuple[Any, ...]] = {
    "boolean": (False, True),
    "int": INTS,
    "long": LONGS,
    "float": FLOATS,
    "double": DOUBLES,
    "string": TEXTS,
    "bytes": BYTES,
    "timestamp-millis": TIMES,
    "timestamp-micros": TIMES,
    "date": DATES,
    "uuid": ("", "no uuid", "00000000-0000-0000-0000-000000000000"),
}


def values(node: Node, own: Mapping[str, Strategy] | None = None, path: str = "") -> Strategy:
    """Values of a type, as Arrow takes them from Python.

    Args:
        node: the type.
        own: by path (`model.name`, `labels.value`; items have their array's), what to draw there instead.
    """
    own = own or {}
    if path in own:
        return own[path]
    match node:
        case Leaf():
            return st.sampled_from(LEAVES[node.logical or node.kind])
        case Enum():
            return st.sampled_from(node.symbols)
        case Record():
            inner = f"{path}." if path else ""
            return st.fixed_dictionaries({m.name: values(m.type, own, inner + m.name) for m in node.members})
        case Array():
            return st.lists(values(node.item, own, path), max_size=3)
        case Map():
            return st.lists(st.tuples(st.sampled_from(TEXTS), values(node.value, own, path)), max_size=2)
        case Nullable():
            return st.none() | values(node.inner, own, path)


def mostly(*usual: Any) -> Strategy:
    """One of the usual values of a leaf."""
    return st.sampled_from(usual)
