"""What a row costs, scored alone as a live event is: measured on some of the rows that a package is judged by."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pyarrow as pa

from headrace.domain.models.model_loader import OpenArm, Pass

GOLDEN = 64
"""Rows, spread over all that there are."""
ROUNDS = 16
"""Times that each is scored; the first round warms up and does not count."""


def golden_rows(columns: pa.RecordBatch) -> list[pa.RecordBatch]:
    """Up to `GOLDEN` rows, each a batch of its own."""
    places = np.unique(np.linspace(0, columns.num_rows - 1, GOLDEN).round().astype(np.int64))
    return [columns.slice(int(place), 1) for place in places]


def latency_of(arm: OpenArm, rows: list[pa.RecordBatch], clock: Callable[[], float] = time.process_time) -> float:
    """Milliseconds of one row scored alone, 99th percentile over `ROUNDS` rounds of all rows.

    Of the processor, not of the clock: a gate that fails is final, and a machine that is busy with others fails nobody.
    """
    took = []
    for round_ in range(ROUNDS + 1):
        for row in rows:
            began = clock()
            arm.score(Pass(row, clock))
            if round_:
                took.append(clock() - began)
    return float(np.quantile(took, 0.99)) * 1000
