"""Keys keep their slots; partitions are Kafka's."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.columnar.key_index import EntityIndex, integers_of, strings_of
from headrace.columnar.partitioner import keys_of, murmur2, partitions_of


@pytest.mark.parametrize(
    ("key", "hashed"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_murmur2(key: bytes, hashed: int) -> None:
    """Hashes are those of Kafka's own UtilsTest."""
    assert murmur2(key) == hashed & 0xFFFFFFFF
    assert partitions_of(pa.array(["x", key.decode()])[1:], 7).tolist() == [(hashed & 0x7FFFFFFF) % 7]


@given(st.lists(st.tuples(st.lists(st.text(max_size=4), max_size=30), st.sets(st.integers(0, 40))), max_size=8))
@settings(max_examples=80, deadline=None)
def test_slots(steps: list[tuple[list[str], set[int]]]) -> None:
    """Equal keys share a slot, others never do, released slots are used again, slots stay dense."""
    index = EntityIndex()
    held: dict[str, int] = {}
    most = 0
    for keys, released in steps:
        slots = index.slots(keys_of(pa.array(keys, pa.string())))
        for key, slot in zip(keys, slots.tolist(), strict=True):
            assert held.setdefault(key, slot) == slot
        assert len(set(held.values())) == len(held) == len(index)
        most = max(most, len(held))
        assert all(slot < most for slot in held.values())
        live = index.live()
        names = strings_of(index.keys(live)).to_pylist()
        assert dict(zip(names, live.tolist(), strict=True)) == held
        index.release(np.array(sorted(released), np.int64))
        held = {key: slot for key, slot in held.items() if slot not in released}


def test_integers() -> None:
    """Integer keys are told apart whatever their sign and size, and come back."""
    column = pa.array([0, -1, 2**62, 0, 17, -1], pa.int64())
    index = EntityIndex()
    assert index.slots(keys_of(column)).tolist() == [0, 1, 2, 0, 3, 1]
    assert integers_of(index.keys(np.arange(4))).to_pylist() == [0, -1, 2**62, 17]


def test_many() -> None:
    """A hundred thousand keys that come and go leave a small table."""
    index = EntityIndex()
    for start in range(0, 100_000, 1_000):
        slots = index.slots(keys_of(pa.array(np.arange(start, start + 1_000))))
        assert sorted(slots.tolist()) == list(range(1_000))
        index.release(slots)
    assert len(index) == 0
    assert index.nbytes < 200_000
