"""How old the newest value of a feature is, from the end of the features topic."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from headrace.domain.pipeline.wiring import Contracts
from headrace.errors import ContractError, Transient
from headrace.operations.topics.tail import tail
from headrace.streaming.kafka.reader import read_table
from headrace.streaming.process.settings import Settings

LOOKED_AT = 200
"""Records at the end of each partition."""


@dataclass(frozen=True, slots=True)
class Freshness:
    """The newest value of a feature.

    Attributes:
        event_time: of the newest event with a value, milliseconds; None where none of the newest has one.
        written: by Kafka's clock, when the newest of these was written; `age_s`: seconds before now.
        looked_at: events at the ends of the partitions that were looked at; `without`: how many had null.
        behind_ms: of a view of another entity, how far it was behind at most in these events; 0 is exact, None: not
            told.
        unknown: why nothing of this is known; empty where it is.
    """

    event_time: int | None = None
    written: int | None = None
    age_s: float | None = None
    looked_at: int = 0
    without: int = 0
    behind_ms: int | None = None
    unknown: str = ""


def freshness(settings: Settings, contracts: Contracts, feature: str, now: float) -> Freshness:
    """Look at the newest records of the features topic; what does not answer is told and not raised."""
    try:
        channel = contracts.channel("features")
        wanted, _ = tail(settings.connection, channel, LOOKED_AT)
        rows = read_table(settings.connection, channel, wanted)
    except (Transient, ContractError) as fault:
        return Freshness(unknown=str(fault))
    if not rows.num_rows:
        return Freshness(unknown=f"{channel.name} has no events yet: `headrace run {contracts.pipeline.name}` fills it")
    struct, name = contracts.pipeline.locate(feature)
    values = rows[struct].combine_chunks().field(name).cast(pa.float64()).to_numpy(zero_copy_only=False)
    there = ~np.isnan(values)
    behind = None
    if f"{struct}_age" in rows.column_names:
        ages = rows[f"{struct}_age"].drop_null().to_numpy()
        behind = int(ages.max()) if len(ages) else None
    counts = len(values), int((~there).sum())
    if not there.any():
        return Freshness(None, None, None, *counts, behind)
    times = rows["event_time"].cast(pa.int64()).to_numpy()[there]
    written = int(rows["_timestamp"].to_numpy()[there].max())
    return Freshness(int(times.max()), written, max(now - written / 1000, 0.0), *counts, behind)
