"""The US census of Massachusetts, as a model that tells who is employed met it: 2015 with labels, then three years.

The sample is NannyML's (`load_us_census_ma_employment_data`): scores are given, labels of later years stand apart.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from headrace.domain.drift.reference_bins import category_bins, numeric_bins
from headrace.domain.quality.covariate_shift import ReferenceSample

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "employment"
THRESHOLD = 0.5
_NO_FEATURE = {"id", "employed", "year", "prediction", "predicted_probability"}


def census() -> tuple[ReferenceSample, ReferenceSample]:
    """(reference, later rows), with their labels, in the order of the files. Raises OSError where they are not."""
    reference, later, labels = (
        pq.read_table(DATA / f"employment_MA_{part}.pq") for part in ("reference", "analysis", "analysis_target")
    )
    if not pc.all(pc.equal(later["id"], labels["id"])).as_py():
        raise ValueError(f"{DATA}: labels are not in the order of their rows")
    columns = [name for name in reference.column_names if name not in _NO_FEATURE]
    places: list[tuple[np.ndarray, np.ndarray]] = []
    bins = []
    for name in columns:
        sides = [_column(table, name) for table in (reference, later)]
        number = pa.types.is_floating(sides[0].type)
        found = numeric_bins(sides[0].to_numpy(zero_copy_only=False)) if number else category_bins(sides[0])
        bins.append(len(found.counts))
        places.append((found.place(sides[0]), found.place(sides[1])))
    both = []
    for side, (table, told) in enumerate(((reference, reference), (later, labels))):
        rows = np.ascontiguousarray([each[side] for each in places])
        scores = table["predicted_probability"].to_numpy()
        both.append(ReferenceSample(rows, tuple(bins), scores, told["employed"].to_numpy() > 0))
    return both[0], both[1]


def _column(table: pa.Table, name: str) -> pa.Array:
    column = table[name].combine_chunks()
    return column if pa.types.is_floating(column.type) else column.cast(pa.string())
