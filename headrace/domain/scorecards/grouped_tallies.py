"""Tallies by group as an aggregate in two stages: what is told of a model and arm in a window, and how that adds up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

from headrace.domain.aggregations.global_aggregate import GlobalAggregate, GlobalWindow
from headrace.domain.aggregations.two_stage import Ints
from headrace.domain.scorecards.identity import Identity, identities
from headrace.domain.scorecards.partial_aggregate import COUNTS, Group, Tally, counts_of, merged, pack, unpack

OUTCOMES, PARTS, CARDS = "outcomes", "scorecard-parts", "scorecards"
"""Topics: what scorecards reads, exchanges with itself, and writes."""
Tallies = dict[Group, Tally]
ModelWindow = GlobalWindow[Tallies]
ModelAggregate = GlobalAggregate[Identity, Tallies]


class GroupedTallies:
    """The kind of aggregate (see `two_stage.PartKind`).

    Parameters:
        cap: most distinct scores of a tally.
        depth: most entities of a day.
    """

    names: tuple[str, ...] = Identity._fields

    def __init__(self, cap: int, depth: int) -> None:
        self.cap = cap
        self.depth = depth

    def key(self, values: Iterable[str]) -> Identity:
        """Of its fields."""
        return Identity(*values)

    def keys(self, columns: pa.RecordBatch) -> tuple[Ints, list[Identity]]:
        """See `identities`."""
        return identities(columns)

    def record(self, key: Identity) -> Mapping[str, Any]:
        """As predictions have it."""
        return {"model": key.model, "arm": key.arm}

    def text(self, key: Identity) -> str:
        """By model and arm alone: estimates of a window rest on the model's other windows."""
        return key.text

    def rows(self, payload: bytes) -> int:
        """How many predictions and outcomes a part tells of."""
        whole = counts_of(payload)
        return int(whole[_PREDICTIONS] + whole[_OUTCOMES])

    def merged(self, parts: Iterable[Tallies]) -> Tallies:
        """Sums of all parts, by group."""
        found: dict[Group, list[Tally]] = {}
        for part in parts:
            for group, tally in part.items():
                found.setdefault(group, []).append(tally)
        return {group: merged(tallies, self.cap, self.depth) for group, tallies in sorted(found.items())}

    def pack(self, aggregate: Tallies) -> bytes:
        """See `partial_aggregate.pack`."""
        return pack(aggregate)

    def unpack(self, data: bytes) -> Tallies:
        """See `partial_aggregate.unpack`."""
        return unpack(data)


_PREDICTIONS, _OUTCOMES = COUNTS.index("predictions"), COUNTS.index("outcomes")
