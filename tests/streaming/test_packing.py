"""Snapshots come back bit for bit, or not at all."""

from __future__ import annotations

import base64

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from headrace.columnar.packing import json_of, pack, unpack
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


def test_a_snapshot_of_the_version_before_is_read() -> None:
    """Each column had a frame of its own then; these bytes were written by that code."""
    before = (
        b"aHJjAdjyaiJJAQAAW3sibmFtZSI6InRpbWUiLCJyb3dzIjoyLCJzaXplIjoyLCJieXRlcyI6MTEsImFzIjoic3RlcHMiLCJsZWFzdCI6NjAw"
        b"MDAsInVuaXQiOjE2OTk5OTk5NDAwMDAsIndpZHRoIjoxfSx7Im5hbWUiOiJhbW91bnQiLCJyb3dzIjoyLCJzaXplIjoyLCJieXRlcyI6MTEs"
        b"ImFzIjoiZGVjaW1hbCIsInBsYWNlcyI6MiwibGVhc3QiOi0zNTAsInVuaXQiOjQ3NSwid2lkdGgiOjF9LHsibmFtZSI6InNjb3JlIiwicm93"
        b"cyI6Miwic2l6ZSI6MTYsImJ5dGVzIjoyNSwiYXMiOiJmbG9hdCJ9LHsibmFtZSI6InNhaWQiLCJyb3dzIjo4LCJzaXplIjo4LCJieXRlcyI6"
        b"MTcsImFzIjoiYnl0ZXMifV0otS/9IAIRAAABACi1L/0gAhEAAAEAKLUv/SAQgQAAcgDaAPgAuADbAJoAv/g/fyi1L/0gCEEAAHsiYSI6IDF9"
    )
    found = unpack(base64.b64decode(before))
    assert found["time"].tolist() == [1_700_000_000_000, 1_700_000_060_000]
    assert found["amount"].tolist() == [1.25, -3.5]
    assert found["score"][0] == 0.1234567
    assert np.isnan(found["score"][1])
    assert json_of(found["said"]) == {"a": 1}


@pytest.mark.parametrize("rows", [1_000, 40_000])
def test_columns_of_any_size_come_back(rows: int) -> None:
    """Many small ones share a frame, large ones have their own; what the first entries look like is not taken for
    all: decimals that end, steps that share a unit at first.
    """
    draw = np.random.default_rng(rows)
    given = {f"small.{number}": np.arange(number) for number in range(20)}
    given |= {"key": draw.integers(-(2**63), 2**63 - 1, rows), "score": draw.random(rows), "none": np.empty(0)}
    given |= {"cents": np.append(np.round(draw.random(rows), 2), draw.random()), "even": np.append(np.arange(rows), -7)}
    given |= {"later": np.append(60_000 * np.arange(rows), 3), "bytes": draw.integers(0, 256, rows).astype(np.uint8)}
    found = unpack(pack(given))
    assert list(found) == list(given)
    assert all(found[name].tobytes() == column.tobytes() for name, column in given.items())


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
