"""What the study of drift lets detectors see: rows before and after a change, made anew from a seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

from headrace.domain.drift.reference_bins import Bytes, Floats, ReferenceBins, category_bins, numeric_bins

DATA = Path(__file__).resolve().parents[3] / "shared/data"
CARDS, ELECTRICITY = DATA / "fraud/features_2018-04_to_2018-06.parquet", DATA / "elec2/elec.csv"
LEVELS = np.array(["grows", "b", "c", "d", "e", "f"], object)
Draw = np.random.Generator
Objects = npt.NDArray[np.object_]
Columns = list[tuple[ReferenceBins, Bytes]]
"""Bins of real features, and the bin of each row."""


@dataclass(frozen=True, slots=True)
class Shift:
    """A change of one feature.

    Attributes:
        name: for the table.
        after: values after the change from standard normal ones; of a category, the row's number of its level.
        base: the share before of the category that grows; None for numbers.
        bar: the median delay not to be beyond, events; None where nothing is asked for.
    """

    name: str
    after: Callable[[Floats, Draw], Floats]
    base: float | None = None
    bar: int | None = None

    def values(self, draw: Draw, rows: int, changed: bool) -> Floats:
        """Rows of the feature: numbers, NaN where missing; of a category, numbers of its levels."""
        if self.base is None:
            fresh: Floats = draw.standard_normal(rows)
            return self.after(fresh, draw) if changed else fresh
        shares = _shares(self.base + (0.05 if changed else 0.0))
        return draw.choice(len(shares), size=rows, p=shares).astype(float)

    def column(self, values: Floats) -> pa.Array:
        """As the product has them."""
        return pa.array(values) if self.base is None else pa.array(LEVELS[values.astype(int)], pa.string())

    def bins(self, values: Floats) -> ReferenceBins:
        """Bins by a reference's rows."""
        return numeric_bins(values) if self.base is None else category_bins(self.column(values))

    def shown(self, values: Floats) -> Floats:
        """Numbers for detectors that know no categories or missing values: whether a row is of what will grow."""
        if self.base is not None:
            return (values == 0).astype(float)
        return np.isnan(values).astype(float) if self.name.startswith("missing") else values


def _shares(grows: float) -> Floats:
    rest = 1 / np.arange(1.0, len(LEVELS))
    return np.append(grows, rest / rest.sum() * (1 - grows))


def _two_modes(x: Floats, draw: Draw) -> Floats:
    """Mean 0 and variance 1 as before, in two heaps."""
    return np.where(draw.random(len(x)) < 0.5, 0.9, -0.9) + x * np.sqrt(1 - 0.9**2)


def _as_it_was(x: Floats, draw: Draw) -> Floats:
    return x


GRADUAL = 20_000
"""Events in which the gradual change grows to half a standard deviation."""
SHIFTS: Mapping[str, Shift] = {
    each.name: each
    for each in (
        Shift("+.1 sd", lambda x, draw: x + 0.1, bar=2_600),
        Shift("+.25", lambda x, draw: x + 0.25, bar=450),
        Shift("+.5", lambda x, draw: x + 0.5, bar=130),
        Shift("+1", lambda x, draw: x + 1.0, bar=35),
        Shift("variance x1.5", lambda x, draw: x * np.sqrt(1.5), bar=320),
        Shift("category +5 (of 20)", _as_it_was, base=0.2, bar=2_100),
        Shift("category +5 (of 5)", _as_it_was, base=0.05, bar=2_100),
        Shift("missing 2%", lambda x, draw: np.where(draw.random(len(x)) < 0.02, np.nan, x), bar=200),
        Shift("gradual", lambda x, draw: x + 0.5 * np.minimum(1.0, np.arange(len(x)) / GRADUAL), bar=5_200),
        Shift("two modes", _two_modes, bar=800),
    )
}


def real_rows(source: str) -> Floats:
    """Numeric features of a data set of the literature, rows x features: `cards` or `electricity`."""
    table = pq.read_table(CARDS) if source == "cards" else csv.read_csv(ELECTRICITY)
    left_out = {"transaction_id", "class"}
    return np.column_stack(
        [table[name].to_numpy().astype(float) for name in table.column_names if name not in left_out]
    )
