"""A partition's event time in a checkpoint of `enrich`: what it is, and the same state with another."""

from __future__ import annotations

import numpy as np

from headrace.columnar import packing
from headrace.domain.features.duplicates import STATE
from headrace.errors import ContractError
from headrace.streaming.watermarks.event_time import Clock


def clock_of(snapshot: bytes) -> Clock:
    """The clock in a checkpoint. Raises ContractError when it has none."""
    columns = packing.unpack(snapshot)
    if "clock" not in columns:
        raise ContractError("the checkpoint is of a version that kept no clock; let `enrich` run and write another")
    return Clock(columns["clock"].astype(np.int64))


def mended(snapshot: bytes, time: int) -> bytes:
    """The same checkpoint with a partition whose event time stands at `time`, ms, and was never further.

    Entries that were forgotten because it was stay forgotten.
    """
    clock_of(snapshot)
    columns = packing.unpack(snapshot)
    columns["clock"] = Clock.at(time).state
    for name in [name for name in columns if name.endswith(".watermark")]:
        columns[name] = np.minimum(columns[name].astype(np.int64), time)
    if STATE in columns:
        begun = columns[STATE].astype(np.int64)
        begun[0] = min(int(begun[0]), time)
        columns[STATE] = begun
    return packing.pack(columns)
