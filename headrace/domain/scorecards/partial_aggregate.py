"""What is counted of the rows of one group: sums that add up, whatever the order and however rows were split."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace.columnar.arrow_stream import stream, streamed
from headrace.domain.quality import regression, row_sample, score_table
from headrace.domain.quality import top_k_entities as entities
from headrace.domain.quality.classes import class_sums
from headrace.domain.quality.classes.class_sums import NO_CLASSES, ClassSums
from headrace.domain.quality.regression import Errors
from headrace.domain.quality.row_sample import RowSample
from headrace.domain.quality.score_table import EMPTY, ScoreTable
from headrace.domain.quality.statistics import quantiles
from headrace.domain.quality.statistics.quantiles import Buckets

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

COUNTS = (
    "predictions", "flagged", "outcomes", "labelled", "presumed", "corrected", "conflicting",
    "true_positive", "false_positive", "true_negative", "false_negative", "sampled", "bytes", "compute_nanos",
    "repeats", "backfilled", "offered",
)  # fmt: skip
"""What is counted of rows: `sampled` predictions have `bytes` in all; `compute_nanos` is the models' time. `repeats` is
how many predictions were published again; `predictions` and `flagged` count each once. `backfilled` are of events that
were published long after they happened, repeats as well. `offered` predictions, repeats as well, the sample of rows
was drawn from."""
SAMPLED = 2_000
"""Rows of a sample, at most."""
UNREAD = -62_135_596_800_000
"""The year 1, milliseconds: how far labels are of which none was read."""


@dataclass(frozen=True, slots=True, eq=False)
class Tally:
    """Sums over the rows of one group.

    Attributes:
        counts: int64[len(COUNTS)].
        predicted: predictions by score, without labels.
        known: outcomes by score and label; of several classes the score is the chance of the class that was decided on,
            and the label whether it was right.
        errors: of outcomes, where labels are quantities.
        latency: milliseconds from a record's arrival to its score, of live events.
        backfill: the same of events that were published long after they happened.
        delay: milliseconds from event to label, of labelled outcomes.
        least_flagged: the lowest score that was decided positive, infinity for none: the threshold, from above.
        as_of: label time up to which labels had been read when the newest outcome was told, ms; UNREAD for none.
        days: for each day (since the epoch) its highest entities with what became of them.
        rows: a sample of the predictions by the bins of the model's package, without labels; None where there is none,
            as in groups.
        classes: of predictions and outcomes of several classes.
    """

    counts: Ints
    predicted: ScoreTable = field(default_factory=lambda: EMPTY)
    known: ScoreTable = field(default_factory=lambda: EMPTY)
    errors: Errors = field(default_factory=Errors)
    latency: Buckets = field(default_factory=lambda: quantiles.EMPTY)
    delay: Buckets = field(default_factory=lambda: quantiles.EMPTY)
    least_flagged: float = float("inf")
    as_of: int = UNREAD
    days: dict[int, ScoreTable] = field(default_factory=dict)
    backfill: Buckets = field(default_factory=lambda: quantiles.EMPTY)
    rows: RowSample | None = None
    classes: ClassSums = NO_CLASSES

    def __getitem__(self, name: str) -> int:
        return int(self.counts[COUNTS.index(name)])


def counted(**numbers: int) -> Ints:
    """A vector of counts; those not named are 0."""
    return np.array([numbers.get(name, 0) for name in COUNTS], np.int64)


NOTHING = Tally(counted())


def settled(tally: Tally) -> Tally:
    """The same without repeats of predictions that are not counted themselves yet: what was read of two topics may be
    told in any order.
    """
    table, decided = tally.predicted, tally.classes.decided
    there = not np.any(table.rows < 0) and not np.any(decided < 0)
    if there and tally["predictions"] >= max(tally["flagged"], 0) and tally["flagged"] >= 0:
        return tally
    counts = tally.counts.copy()
    places = [COUNTS.index(name) for name in ("predictions", "flagged")]
    counts[places[0]] = max(counts[places[0]], 0)
    counts[places[1]] = min(max(counts[places[1]], 0), counts[places[0]])
    left = ScoreTable(
        table.scores,
        np.maximum(table.positives, 0),
        np.maximum(table.negatives, 0),
        np.maximum(table.unlabelled, 0),
        table.dropped,
    )
    classes = replace(tally.classes, decided=np.maximum(decided, 0))
    return replace(tally, counts=counts, predicted=left, classes=classes)


def merged(tallies: Iterable[Tally], cap: int, depth: int) -> Tally:
    """Sums over the rows of all; `cap`: most distinct scores; `depth`: most entities a day."""
    several = list(tallies)
    if len(several) == 1:
        return several[0]
    if not several:
        return NOTHING
    days: dict[int, list[ScoreTable]] = {}
    for tally in several:
        for day, table in tally.days.items():
            days.setdefault(day, []).append(table)
    return Tally(
        np.sum([tally.counts for tally in several], axis=0),
        score_table.merged([tally.predicted for tally in several], cap),
        score_table.merged([tally.known for tally in several], cap),
        regression.merged(tally.errors for tally in several),
        quantiles.merged(tally.latency for tally in several),
        quantiles.merged(tally.delay for tally in several),
        min(tally.least_flagged for tally in several),
        max(tally.as_of for tally in several),
        {day: entities.merged(tables, depth) for day, tables in sorted(days.items())},
        quantiles.merged(tally.backfill for tally in several),
        _together([tally.rows for tally in several if tally.rows is not None]),
        class_sums.merged([tally.classes for tally in several], cap),
    )


def _together(samples: Sequence[RowSample]) -> RowSample | None:
    """Samples by other bins than each other make one of no rows and no bins, whatever is added to it: of no use."""
    if not samples:
        return None
    if len({sample.bins for sample in samples}) > 1:
        return row_sample.nothing(())
    return row_sample.merged(samples, SAMPLED)


_BINARY = pa.binary()
_SCHEMA = pa.schema(
    {
        "segment": pa.string(),
        "group": pa.string(),
        "counts": pa.list_(pa.int64()),
        "predicted": _BINARY,
        "known": _BINARY,
        "errors": _BINARY,
        "latency": _BINARY,
        "backfill": _BINARY,
        "delay": _BINARY,
        "least_flagged": pa.float64(),
        "as_of": pa.int64(),
        "days": pa.list_(pa.struct({"day": pa.int64(), "table": _BINARY})),
        "rows": _BINARY,
    }
)

_CLASSES = _SCHEMA.append(pa.field("classes", _BINARY))
"""Of models of several classes; of others there is no such column, as there never was."""

Group = tuple[str, str]


def pack(tallies: dict[Group, Tally]) -> bytes:
    """Tallies by (segment, group) as bytes: an Arrow stream of one batch."""
    rows = [
        {
            "segment": segment,
            "group": group,
            "counts": tally.counts.tolist(),
            "predicted": score_table.pack(tally.predicted),
            "known": score_table.pack(tally.known),
            "errors": regression.pack(tally.errors),
            "latency": quantiles.pack(tally.latency),
            "backfill": quantiles.pack(tally.backfill),
            "delay": quantiles.pack(tally.delay),
            "least_flagged": tally.least_flagged,
            "as_of": tally.as_of,
            "days": [{"day": day, "table": score_table.pack(table)} for day, table in tally.days.items()],
            "rows": None if tally.rows is None else row_sample.pack(tally.rows),
            **({"classes": class_sums.pack(tally.classes)} if tally.classes.classes else {}),
        }
        for (segment, group), tally in tallies.items()
    ]
    several = any(tally.classes.classes for tally in tallies.values())
    return stream(pa.Table.from_pylist(rows, schema=_CLASSES if several else _SCHEMA))


def unpack(data: bytes) -> dict[Group, Tally]:
    """What `pack` took; ContractError for other bytes."""
    return {(row["segment"], row["group"]): _tally(row) for row in streamed(data).to_pylist()}


def counts_of(data: bytes) -> Ints:
    """Counts of all rows that `pack` took, as `COUNTS`; zeros without any. ContractError for other bytes."""
    table = streamed(data)
    for place, group in enumerate(table["segment"].to_pylist()):
        if not group:
            return _counts(table["counts"][place].as_py())
    return counted()


def _counts(told: list[int]) -> Ints:
    counts = np.zeros(len(COUNTS), np.int64)
    counts[: len(told)] = told  # an earlier version counted less
    return counts


def _tally(row: dict[str, Any]) -> Tally:
    return Tally(
        _counts(row["counts"]),
        score_table.unpack(row["predicted"]),
        score_table.unpack(row["known"]),
        regression.unpack(row["errors"]),
        quantiles.unpack(row["latency"]),
        quantiles.unpack(row["delay"]),
        row["least_flagged"],
        row.get("as_of", UNREAD),  # an earlier version does not say
        {entry["day"]: score_table.unpack(entry["table"]) for entry in row["days"]},
        quantiles.unpack(row["backfill"]) if row.get("backfill") else quantiles.EMPTY,  # older parts have none
        row_sample.unpack(row["rows"]) if row.get("rows") else None,  # nor this
        class_sums.unpack(row["classes"]) if row.get("classes") else NO_CLASSES,
    )
