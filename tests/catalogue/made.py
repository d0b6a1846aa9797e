"""Rows of features that are made up, as the features topic of a pipeline has them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from headrace.domain.pipeline.spec import Pipeline

DAY = 86_400_000
BEGIN = 1_522_540_800_000


def made_features(pipeline: Pipeline, schema: pa.Schema, rows: int, seed: int = 3) -> pa.RecordBatch:
    """One row an hour, of ten entities in turn; a fifth of the numbers that may be null are."""
    draw = np.random.default_rng(seed)
    columns = []
    for field in schema:
        if pa.types.is_struct(field.type):
            parts = [_values(part.type, rows, draw) for part in field.type]
            columns.append(pa.StructArray.from_arrays(parts, fields=list(field.type)))
        elif field.name == "entity":
            columns.append(pa.array([str(row % 10) for row in range(rows)]))
        else:
            columns.append(_values(field.type, rows, draw))
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _values(kind: pa.DataType, rows: int, draw: np.random.Generator) -> pa.Array:
    if pa.types.is_string(kind):
        return pa.array([f"e{row}" for row in range(rows)])
    if pa.types.is_timestamp(kind):
        return pa.array(BEGIN + np.arange(rows) * 3_600_000).cast(kind)
    if pa.types.is_floating(kind):
        values = draw.lognormal(3, 1, rows)
        values[draw.random(rows) < 0.2] = np.nan
        return pa.array(values).cast(kind)
    return pa.array(draw.integers(0, 50, rows)).cast(kind)
