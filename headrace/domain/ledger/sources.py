"""Which topics the ledger is about, and how their records stand in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from headrace.domain.ledger.entry import LedgerRecord, canonical

CONTROL, PLANS = "control", "plans"
SOURCES = (CONTROL, PLANS)
COMPACTED = frozenset({PLANS})
"""Sources that keep the newest record alone."""
PLAN = "plan"


def rows_told(columns: pa.RecordBatch | pa.Table) -> Iterator[dict[str, Any]]:
    """Records of a source; times are milliseconds, for calendars do not know all of them, and maps are by name."""
    place = columns.schema.get_field_index("time")
    plain = columns.set_column(place, "time", columns["time"].cast(pa.int64()))
    for row in plain.to_pylist():
        yield row | ({"evidence": dict(row["evidence"])} if "evidence" in row else {})


def record_of(source: str, partition: int, offset: int | None, row: Mapping[str, Any]) -> LedgerRecord:
    """What is entered of a record.

    Args:
        row: as `rows_told` gives it.
        offset: None where it is written in the same transaction as its entry.
    """
    kind = row["type"] if source == CONTROL else PLAN
    return LedgerRecord(kind, row["time"], row["actor"], source, partition, offset, canonical(row))
