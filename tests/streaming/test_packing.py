"""Snapshots come back bit for bit, or not at all."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from headrace.columnar.packing import pack, unpack
from headrace.errors import ContractError

columns = st.one_of(
    arrays.arrays(np.int64, st.integers(0, 30)),
    arrays.arrays(np.float64, st.integers(0, 30)),
    arrays.arrays(np.float64, st.integers(0, 30), elements=st.floats(-1e6, 1e6).map(lambda x: round(x, 2))),
    arrays.arrays(np.uint8, st.integers(0, 30)),
)


@given(st.dictionaries(st.text(max_size=5), columns, max_size=4))
@settings(max_examples=100, deadline=None)
def test_round_trip(given: dict[str, np.ndarray]) -> None:
    """Every column comes back with its type and its bits."""
    found = unpack(pack(given))
    assert list(found) == list(given)
    for name, column in given.items():
        assert found[name].dtype == column.dtype
        assert found[name].tobytes() == column.tobytes()


def test_size() -> None:
    """A month of payments, seconds and cents, takes at most seven bytes an entry."""
    random = np.random.default_rng(1)
    times = np.sort(random.integers(0, 30 * 86_400, (1_250, 58)), axis=1).ravel() * 1_000
    amounts = np.round(random.gamma(2, 30, len(times)), 2)
    assert len(pack({"times": times, "amounts": amounts})) / len(times) < 7


@given(st.data())
@settings(max_examples=50, deadline=None)
def test_damage(data: st.DataObject) -> None:
    """A snapshot with a changed byte, or cut short, is refused by name."""
    packed = bytearray(pack({"times": np.arange(100), "values": np.ones(3)}))
    if data.draw(st.booleans()):
        del packed[data.draw(st.integers(0, len(packed) - 1)) :]
    else:
        packed[data.draw(st.integers(0, len(packed) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ContractError, match="state snapshot"):
        unpack(bytes(packed))
