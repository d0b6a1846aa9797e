"""Records that wrap what events are made of: Kafka Connect's `payload`, the row in a change that Debezium tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

Columns = Mapping[str, pa.ChunkedArray]
PAYLOAD = "payload."
"""Where a JSON converter of Kafka Connect that writes schemas puts what it converts."""
ENVELOPES = {"": "debezium", PAYLOAD: "debezium_connect"}
"""By what stands before it, what a change of Debezium's is called in a pipeline file."""
ROWS, DELETED, OTHERS = ("c", "u", "r"), "d", ("t", "m")
"""What a change tells: a row, its end, or nothing of a row."""


@dataclass(frozen=True, slots=True)
class Wrapping:
    """How records wrap rows.

    Attributes:
        prefix: path before that of each column, with its dot; empty where nothing is wrapped.
        envelope: its name in a pipeline file; None where each record is an event.
        updates, deletions: changes of rows, and ends of them, among the records.
    """

    prefix: str = ""
    envelope: str | None = None
    updates: int = 0
    deletions: int = 0


NOT_WRAPPED = Wrapping()


def unwrapped(columns: Columns) -> tuple[Columns, int, Wrapping]:
    """The columns within, of records that hold a row; how many these are, and how they are wrapped."""
    rows = len(next(iter(columns.values()))) if columns else 0
    for before, envelope in ENVELOPES.items():
        words, after = columns.get(f"{before}op"), f"{before}after."
        inner = {name.removeprefix(after): values for name, values in columns.items() if name.startswith(after)}
        if inner and words is not None and pa.types.is_string(words.type) and _are_changes(words):
            there = pc.fill_null(pc.is_in(words, pa.array(ROWS)), False)
            found = {name: values.filter(there) for name, values in inner.items()}
            updates, deletions = (pc.sum(pc.equal(words, word)).as_py() or 0 for word in ("u", DELETED))
            return found, pc.sum(there).as_py() or 0, Wrapping(after, envelope, updates, deletions)
    inner = {name.removeprefix(PAYLOAD): values for name, values in columns.items() if name.startswith(PAYLOAD)}
    if inner and all(name.startswith((PAYLOAD, "schema.")) or name == "schema" for name in columns):
        return inner, rows, Wrapping(PAYLOAD)
    return columns, rows, NOT_WRAPPED


def _are_changes(words: pa.ChunkedArray) -> bool:
    told = set(pc.unique(words).to_pylist()) - {None}
    return bool(told & {*ROWS}) and told <= {*ROWS, DELETED, *OTHERS}
