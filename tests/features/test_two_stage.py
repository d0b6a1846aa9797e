"""Parts of partitions add up to the same, however they come."""

from __future__ import annotations

import json
from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from headrace.domain.aggregations.two_stage import Source, ToldSums, take, total


class Spread:
    """Count, least and greatest of whole numbers."""

    def merged(self, parts: Iterable[list[int]]) -> list[int]:
        found = [0, 10**9, -(10**9)]
        for count, least, most in parts:
            found = [found[0] + count, min(found[1], least), max(found[2], most)]
        return found

    def pack(self, aggregate: list[int]) -> bytes:
        return json.dumps(aggregate).encode()

    def unpack(self, data: bytes) -> list[int]:
        found: list[int] = json.loads(data)
        return found


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(-99, 99)), max_size=40), st.randoms())
def test_any_order(rows: list[tuple[int, int]], draw: object) -> None:
    """Parts told after each row, shuffled and told twice, give what one fold of all rows gives."""
    kind = Spread()
    state: dict[int, list[int]] = {}
    parts = []
    for offset, (partition, number) in enumerate(rows):
        one = [1, number, number]
        state[partition] = kind.merged([state.get(partition, kind.merged([])), one])
        told = ToldSums(offset + 1, kind.pack(state[partition]), state[partition][0])
        parts.append((Source("events", partition, 0), told))
    parts = parts * 2
    draw.shuffle(parts)  # type: ignore[attr-defined]  # hypothesis gives a random.Random
    kept: dict[Source, ToldSums] = {}
    counted = sum(take(kept, source, told) or 0 for source, told in parts)
    assert counted == len(rows)
    assert total(kept, kind) == kind.merged([1, number, number] for _, number in rows)


def test_older() -> None:
    """What a source told earlier changes nothing once it told more, and says so."""
    source = Source("events", 0, 0)
    kept: dict[Source, ToldSums] = {}
    assert take(kept, source, ToldSums(9, b"[2, 1, 5]", 2)) == 2
    assert take(kept, source, ToldSums(8, b"[1, 1, 1]", 1)) is None
    assert total(kept, Spread()) == [2, 1, 5]
