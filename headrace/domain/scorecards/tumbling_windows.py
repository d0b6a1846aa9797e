"""The fold of one partition of predictions or outcomes: tallies by window, model and arm."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headrace.domain.pipeline.spec import Pipeline
from headrace.domain.quality import top_k_entities as entities
from headrace.domain.scorecards.partial_aggregate import (
    Group,
    Tally,
    merged,
    pack,
    stream,
    streamed,
    unpack,
)
from headrace.domain.scorecards.row_sums import DAY, OutcomeSums, PredictionSums, RepeatSums
from headrace.domain.scorecards.segments import WHOLE, Segments
from headrace.streaming.watermarks.event_time import Clock, Seen

kernels: Any = pc  # its stubs know too few of the overloads
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

SAMPLED = 256
"""One prediction in so many is measured in bytes, by its offset."""
AGAIN = "repeated"
"""State of what is no outcome, but tells a prediction that was published again."""
_NEVER = -(2**62)
_PENDING = 64
"""Tallies of so many batches are summed at once: one by one each would walk the whole table."""


class Identity(NamedTuple):
    """Whose answers: a model package and the part it played."""

    name: str
    version: str
    digest: str
    arm: str

    @property
    def text(self) -> str:
        """`name@version/arm`."""
        return f"{self.name}@{self.version}/{self.arm}"


class Place(NamedTuple):
    """What a part is about: a window (its start, ms), who answered, and when it was begun (see `TumblingWindows`)."""

    window: int
    who: Identity
    generation: int


@dataclass(slots=True)
class _Part:
    """What is known of one place: tallies, and of its entities each day's highest score and positives."""

    groups: dict[Group, list[Tally]] = field(default_factory=dict)
    entities: list[pa.Table] = field(default_factory=list)
    dirty: bool = True


class TumblingWindows:
    """State of one source partition. A pure fold of its rows, wherever batches are cut.

    A window is given up once event time has passed its end by `keep`; event time is what most of the newest rows agree
    on (`event_time`), so no event dated ahead gives up windows. What comes for it later (a label corrected after weeks)
    begins a part of a next generation, which adds to those before. So memory is bounded by the windows within `keep`,
    and nothing that comes is left out.

    Parameters:
        pipeline: its windows, segments and model's output.
        outcomes: whether rows are outcomes; else they are predictions.
        cap: most distinct scores of a tally.
    """

    def __init__(self, pipeline: Pipeline, outcomes: bool, cap: int) -> None:
        self._window = pipeline.scorecards.window
        self._depth = max(pipeline.scorecards.precision_at)
        self._probability = pipeline.model.output == "probability"
        self._lateness = pipeline.events.allowed_lateness
        self._segments = Segments(pipeline)
        self._outcomes = outcomes
        self._cap = cap
        matures = pipeline.labels.matures_after if pipeline.labels else 0
        self._keep = max(self._window, DAY) + (2 * matures if outcomes else 0)
        self._parts: dict[Place, _Part] = {}
        self._clock = Clock()
        self.next_offset = 0

    def __len__(self) -> int:
        """How many parts are held."""
        return len(self._parts)

    def fold(self, columns: pa.RecordBatch, offsets: Ints, sizes: Ints) -> None:
        """Fold rows in their order.

        Args:
            columns: predictions or outcomes.
            offsets: int64, of each row.
            sizes: int64, bytes of the rows whose offset is a multiple of SAMPLED, in order.
        """
        times = columns.column("event_time").cast(pa.int64()).to_numpy()
        windows = times // self._window * self._window
        generations = np.maximum((self._reached(times, offsets) - windows - self._window) // self._keep, 0)
        self.next_offset = int(offsets[-1]) + 1
        codes, known = identities(columns)
        sampled = np.zeros(len(offsets), np.int64)
        sampled[offsets % SAMPLED == 0] = sizes
        keys = np.stack([windows, codes, generations], axis=1)
        found, which = np.unique(keys, axis=0, return_inverse=True)
        for number, (window, code, generation) in enumerate(found.tolist()):
            rows = np.flatnonzero(which.ravel() == number)
            whole = len(rows) == len(offsets)
            part = self._parts.setdefault(Place(window, known[code], generation), _Part())
            part.dirty = True
            self._add(part, columns if whole else columns.take(pa.array(rows)), sampled[rows], generation == 0)
        for place in [place for place, part in self._parts.items() if self._over(place) and not part.dirty]:
            del self._parts[place]

    def published(self) -> Iterator[tuple[Place, bytes]]:
        """Every part that changed since it was last given, packed; those that are given up are forgotten with it."""
        for place, part in list(self._parts.items()):
            if part.dirty:
                part.dirty = False
                yield place, pack(self._settled(part))
            if self._over(place):
                del self._parts[place]

    def changed(self) -> bool:
        """Whether `published` would give any part."""
        return any(part.dirty for part in self._parts.values())

    def _reached(self, times: Ints, offsets: Ints) -> Ints:
        """How far event time had come before each row."""
        rows = len(times)
        late, all_ = np.zeros(rows, np.bool_), np.ones(rows, np.bool_)
        firm, credible = np.zeros((2, rows), np.int64)
        self._clock.advance(Seen(times, np.full(rows, -1), all_, offsets, all_), self._keep, late, firm, credible)
        return firm

    def given_up(self, reached: int, window: int, generation: int) -> bool:
        """Whether no row can come any more for what is about a window: the next one would be of another generation.

        `reached`: how far the event time of a partition has come.
        """
        return (reached - window - self._window) // self._keep > generation

    def _over(self, place: Place) -> bool:
        return self.given_up(self._clock.firm, place.window, place.generation)

    # ---- rows ----------------------------------------------------------------------------------------------------

    def _add(self, part: _Part, columns: pa.RecordBatch, sizes: Ints, young: bool) -> None:
        if self._outcomes:
            again = kernels.equal(columns.column("state"), AGAIN)
            if kernels.any(again).as_py():
                self._gather(part, columns.filter(again), RepeatSums(columns.filter(again)))
                columns = columns.filter(kernels.invert(again))
                if not columns.num_rows:
                    return
        rows = (
            OutcomeSums(columns, self._probability)
            if self._outcomes
            else PredictionSums(columns, sizes, self._lateness)
        )
        self._gather(part, columns, rows)
        if isinstance(rows, OutcomeSums) and self._probability and young:
            part.entities.append(rows.entities())
            if len(part.entities) >= _PENDING:
                part.entities = [_highest(part.entities)]

    def _gather(self, part: _Part, columns: pa.RecordBatch, rows: OutcomeSums | PredictionSums | RepeatSums) -> None:
        for group, mask in self._segments.groups(columns):
            waiting = part.groups.setdefault(group, [])
            waiting.append(rows.tally(mask, self._cap))
            if len(waiting) >= _PENDING:
                part.groups[group] = [merged(waiting, self._cap, self._depth)]

    def _settled(self, part: _Part) -> dict[Group, Tally]:
        for group, waiting in part.groups.items():
            part.groups[group] = [merged(waiting, self._cap, self._depth)]
        tallies = {group: waiting[0] for group, waiting in part.groups.items()}
        if part.entities:
            part.entities = [_highest(part.entities)]
            tallies[WHOLE] = _with_days(tallies[WHOLE], part.entities[0], self._depth)
        return tallies

    # ---- state ---------------------------------------------------------------------------------------------------

    def snapshot(self) -> bytes:
        """The state as bytes."""
        rows = [
            {
                "window": place.window,
                **place.who._asdict(),
                "generation": place.generation,
                "tallies": pack(self._settled(part)),
                "entities": stream(_highest(part.entities)) if part.entities else b"",
                "next_offset": self.next_offset,
            }
            for place, part in self._parts.items()
        ]
        if not rows:  # what is remembered of a partition without parts
            rows = [{"window": None, "next_offset": self.next_offset}]
        rows[0]["clock"] = self._clock.state.tobytes()
        return stream(pa.Table.from_pylist(rows, schema=STATE))

    def load(self, data: bytes) -> None:
        """Take over what `snapshot` gave. What was published before is not known, so all is published again."""
        for row in streamed(data).to_pylist():
            self.next_offset = row["next_offset"]
            if row.get("clock"):
                self._clock = Clock(np.frombuffer(row["clock"], np.int64))
            elif row.get("progress", _NEVER) > self._clock.firm:  # an earlier version took the largest time
                self._clock = Clock.at(row["progress"])
            if row["window"] is None:
                continue
            who = Identity(row["name"], row["version"], row["digest"], row["arm"])
            part = _Part({group: [tally] for group, tally in unpack(row["tallies"]).items()})
            if row["entities"]:
                part.entities = [streamed(row["entities"])]
            self._parts[Place(row["window"], who, row["generation"])] = part


STATE = pa.schema(  # of a snapshot
    {
        "window": pa.int64(),
        **{name: pa.string() for name in Identity._fields},
        "generation": pa.int64(),
        "tallies": pa.binary(),
        "entities": pa.binary(),
        "next_offset": pa.int64(),
        "clock": pa.binary(),
    }
)


def identities(columns: pa.RecordBatch) -> tuple[Ints, list[Identity]]:
    """A number for each row's identity, and the identities by number."""
    model = columns.column("model")
    parts = [model.field(name) for name in ("name", "version", "digest")] + [columns.column("arm")]
    code, words = np.zeros(len(columns), np.int64), []
    for part in parts:
        coded = part.dictionary_encode()
        words.append(coded.dictionary.to_pylist())
        code = code * max(len(words[-1]), 1) + coded.indices.to_numpy()
    found, which = np.unique(code, return_inverse=True)
    places = np.unravel_index(found, [max(len(word), 1) for word in words])
    known = [Identity(*(word[at] for word, at in zip(words, row, strict=True))) for row in zip(*places, strict=True)]
    return which, known


def _highest(tables: list[pa.Table]) -> pa.Table:
    """Of each entity and day the highest score and all positives."""
    grouped = pa.concat_tables(tables).group_by(["day", "entity"]).aggregate([("score", "max"), ("positives", "sum")])
    return grouped.select(["day", "entity", "score_max", "positives_sum"]).rename_columns(
        ["day", "entity", "score", "positives"]
    )


def _with_days(tally: Tally, found: pa.Table, depth: int) -> Tally:
    days = {}
    for day in sorted(set(found["day"].to_pylist())):
        rows = found.filter(kernels.equal(found["day"], day))
        days[day] = entities.ranked(rows["entity"], rows["score"].to_numpy(), rows["positives"].to_numpy(), depth)
    return replace(tally, days=days)
