"""The fold of one partition of parts: what every source tells of the models that this partition is about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from headrace.domain.aggregations.two_stage import Source, ToldSums, take, total
from headrace.domain.scorecards.partial_aggregate import (
    COUNTS,
    Group,
    Tally,
    counts_of,
    merged,
    pack,
    stream,
    streamed,
    unpack,
)
from headrace.domain.scorecards.tumbling_windows import Identity

OUTCOMES, PARTS, CARDS = "outcomes", "scorecard-parts", "scorecards"
"""Topics: what scorecards reads, exchanges with itself, and writes."""
LEAST, SHARE = 8, 100
"""Windows that stand apart at the end count as time that has come once they hold so many rows, and so large a part of
what a window holds on average, one in SHARE."""


@dataclass(frozen=True, slots=True)
class GroupedTallies:
    """Tallies by group as an aggregate in two stages (see `two_stage`).

    Attributes:
        cap: most distinct scores of a tally.
        depth: most entities of a day.
    """

    cap: int
    depth: int

    def merged(self, parts: Iterable[dict[Group, Tally]]) -> dict[Group, Tally]:
        """Sums of all parts, by group."""
        found: dict[Group, list[Tally]] = {}
        for part in parts:
            for group, tally in part.items():
                found.setdefault(group, []).append(tally)
        return {group: merged(tallies, self.cap, self.depth) for group, tallies in sorted(found.items())}

    def pack(self, aggregate: dict[Group, Tally]) -> bytes:
        """See `partial_aggregate.pack`."""
        return pack(aggregate)

    def unpack(self, data: bytes) -> dict[Group, Tally]:
        """See `partial_aggregate.unpack`."""
        return unpack(data)


@dataclass(slots=True)
class Window:
    """All that was told of one model and arm in one window.

    Attributes:
        told: by source; sums of different sources add up.
        dirty: whether that changed since cards were made of it.
        rows: predictions and outcomes, from all sources.
        sums, complete: what `tallies` gave, while somebody keeps it, and whether every prediction has its outcome;
            None: not looked at since something changed.
    """

    told: dict[Source, ToldSums] = field(default_factory=dict)
    dirty: bool = True
    rows: int = 0
    sums: dict[Group, Tally] | None = None
    complete: bool | None = None

    def take(self, source: Source, told: ToldSums) -> None:
        """Keep what a source told last."""
        rows = take(self.told, source, told)
        if rows is not None:
            self.rows += rows
            self.dirty, self.sums, self.complete = True, None, None

    def tallies(self, cap: int, depth: int) -> dict[Group, Tally]:
        """Sums over all sources, by group."""
        return total(self.told, GroupedTallies(cap, depth))


def reached(windows: Mapping[int, Window], apart: int) -> int | None:
    """The start of the newest window of a model, as far as many rows say so; None while too few do.

    A few events dated ahead make windows of their own, apart from the others: they are windows like all, but no
    time that has come.

    Args:
        windows: by their starts, milliseconds.
        apart: milliseconds between two starts beyond which they stand apart.
    """
    starts = sorted(windows, reverse=True)
    enough = max(LEAST, sum(window.rows for window in windows.values()) // max(SHARE * len(windows), 1))
    head, rows = 0, 0
    for place, start in enumerate(starts):
        if place and starts[place - 1] - start > apart:
            head, rows = place, 0
        rows += windows[start].rows
        if rows >= enough:
            return starts[head]
    return None


class Assembly:
    """State of one partition of the parts: by model and arm, by window.

    Parameters:
        keep: milliseconds; windows that are older than a model's newest by more are forgotten, and what comes for them
            is left out. None: all are kept. A few events dated ahead make no newest window (`reached`).
        apart: see `reached`.
    """

    def __init__(self, keep: int | None = None, apart: int = 86_400_000) -> None:
        self._keep, self._apart = keep, apart
        self.models: dict[Identity, dict[int, Window]] = {}

    def fold(self, columns: pa.RecordBatch) -> int:
        """Take parts up in their order; how many came too late to be."""
        late = 0
        starts = columns.column("window_start").cast(pa.int64()).to_pylist()
        rest = columns.select([name for name in columns.schema.names if not name.startswith("window_")])
        for start, row in zip(starts, rest.to_pylist(), strict=True):  # a row stands for thousands of predictions
            late += not self._take(start, row)
        return late

    def _take(self, start: int, row: Mapping[str, Any]) -> bool:
        model = row["model"]
        who = Identity(model["name"], model["version"], model["digest"], row["arm"])
        windows = self.models.setdefault(who, {})
        before = None if self._keep is None else self.newest(who)
        if self._keep is not None and before is not None and start < before - self._keep:
            return False
        window = windows.setdefault(start, Window())
        source = Source(row["source"], row["source_partition"], row["generation"])
        window.take(source, ToldSums(row["next_offset"], row["payload"], _rows(row["payload"])))
        if self._keep is not None:
            newest = self.newest(who)
            if newest is not None and newest != before:
                for old in [old for old in windows if old < newest - self._keep]:
                    del windows[old]
        return True

    def newest(self, who: Identity) -> int | None:
        """The start of a model's newest window, as far as many rows say so."""
        return reached(self.models.get(who, {}), self._apart)

    def changed(self) -> bool:
        """Whether cards are to be made of any window."""
        return any(window.dirty for windows in self.models.values() for window in windows.values())

    def snapshot(self) -> bytes:
        """The state as bytes."""
        rows = [
            {
                **who._asdict(),
                "window": start,
                "topic": source.topic,
                "partition": source.partition,
                "generation": source.generation,
                "next_offset": told.next_offset,
                "payload": told.payload,
            }
            for who, windows in self.models.items()
            for start, window in windows.items()
            for source, told in window.told.items()
        ]
        return stream(pa.Table.from_pylist(rows, schema=_STATE))

    def load(self, data: bytes) -> None:
        """Take over what `snapshot` gave; cards are made of all of it again."""
        for row in streamed(data).to_pylist():
            who = Identity(row["name"], row["version"], row["digest"], row["arm"])
            window = self.models.setdefault(who, {}).setdefault(row["window"], Window())
            source = Source(row["topic"], row["partition"], row["generation"])
            window.take(source, ToldSums(row["next_offset"], row["payload"], _rows(row["payload"])))


def _rows(payload: bytes) -> int:
    """How many predictions and outcomes a part tells of."""
    whole = counts_of(payload)
    return int(whole[_PREDICTIONS] + whole[_OUTCOMES])


_PREDICTIONS, _OUTCOMES = COUNTS.index("predictions"), COUNTS.index("outcomes")
_STATE = pa.schema(
    {
        **{name: pa.string() for name in Identity._fields},
        "window": pa.int64(),
        "topic": pa.string(),
        "partition": pa.int32(),
        "generation": pa.int64(),
        "next_offset": pa.int64(),
        "payload": pa.binary(),
    }
)
