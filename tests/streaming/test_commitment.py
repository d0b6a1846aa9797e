"""What of a partition rides in a committed offset."""

from __future__ import annotations

from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.errors import ContractError
from headrace.streaming.task.checkpoint import MOST_RUNS
from headrace.streaming.task.commitment import CheckpointPlace, Commitment

OFFSETS = st.integers(0, 2**62)
RUNS = st.tuples(st.integers(0, 99), OFFSETS, st.integers(1, 9)).map(lambda r: [(r[0], r[1] + n) for n in range(r[2])])
CHUNKS = st.lists(RUNS, min_size=1, max_size=9).map(lambda runs: tuple(chain(*runs)))
PLACES = st.builds(CheckpointPlace, OFFSETS, CHUNKS, st.integers(0, 1), st.booleans(), st.just(0) | OFFSETS)
LARGEST = 4096
"""Characters of metadata that a broker takes by default (offset.metadata.max.bytes)."""


@given(OFFSETS, st.integers(0, 10_000), st.none() | PLACES)
def test_metadata_says_all_that_the_offset_does_not(offset: int, ahead: int, place: CheckpointPlace | None) -> None:
    """What is read back from a committed offset and its metadata is what was committed."""
    commitment = Commitment(offset, offset + ahead, place)
    assert Commitment.read(offset, commitment.metadata()) == commitment


@pytest.mark.parametrize("metadata", ["", None])
def test_an_offset_without_metadata_says_it_all(metadata: str | None) -> None:
    """Nothing rides along when all below the offset was admitted and answered and there is no checkpoint."""
    assert Commitment(7, 7).metadata() == ""
    assert Commitment.read(7, metadata) == Commitment(7, 7)


@pytest.mark.parametrize(
    "metadata",
    [
        "text",
        "{",
        "3",
        "[]3",
        '"text"',
        "[1]",
        '{"checkpoint":5}',
        '{"checkpoint":"5","chunks":[[0,1,1]]}',
        '{"checkpoint":5,"chunks":[[0,1]]}',
        '{"checkpoint":5,"chunks":[["0","1","1"]]}',
        '{"checkpoint":5,"chunks":7}',
        '{"admitted":"9"}',
        '{"admitted":9.5}',
    ],
)
def test_metadata_of_strangers_is_refused(metadata: str) -> None:
    """Offsets that somebody else committed for our group are not taken for ours."""
    with pytest.raises(ContractError, match="metadata is not ours"):
        Commitment.read(3, metadata)


def test_nothing_is_admitted_less_than_answered() -> None:
    """Metadata that lags behind its offset, as when an operator moved the offset, gives way to it."""
    assert Commitment.read(100, '{"admitted":50}') == Commitment(100, 100)


def test_metadata_of_the_most_scattered_chunks_fits() -> None:
    """As many places as the metadata holds without an index fit into what a broker takes, however large the numbers."""
    chunks = tuple((9_999, 2**62 + 2 * number) for number in range(MOST_RUNS))
    assert len(Commitment(2**62, 2**62 + 9, CheckpointPlace(2**62 - 1, chunks, 1)).metadata()) < LARGEST


def test_a_beginning_is_said_until_there_is_a_checkpoint() -> None:
    """It comes back as it was; a checkpoint says all that it said."""
    begun = Commitment(7, 9, begun=3)
    assert Commitment.read(7, begun.metadata()) == begun
    assert Commitment.read(7, '{"checkpoint":5,"chunks":[[0,1,1]],"begun":3}').begun is None
