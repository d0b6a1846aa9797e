"""All functions over windows, by name. A new one is a file beside this and an entry here."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.columnar.jit import chosen, stamp_of
from headrace.domain.aggregations.aggregate_function import AggregateFunction, Floats, Ints, Scan
from headrace.domain.aggregations.count import Count
from headrace.domain.aggregations.greatest import Max
from headrace.domain.aggregations.least import Min
from headrace.domain.aggregations.mean import Mean
from headrace.domain.aggregations.scans.decayed_sum import DecayedSum
from headrace.domain.aggregations.scans.distinct import CountDistinct
from headrace.domain.aggregations.scans.first import First
from headrace.domain.aggregations.scans.last import Last
from headrace.domain.aggregations.scans.previous import Previous
from headrace.domain.aggregations.scans.quantile import Quantile
from headrace.domain.aggregations.scans.time_since_last import TimeSinceLast
from headrace.domain.aggregations.scans.top import Top
from headrace.domain.aggregations.scans.variance import Std, Var
from headrace.domain.aggregations.total import Sum

ENTRIES: Sequence[AggregateFunction] = [
    Count(),
    Sum(),
    Mean(),
    Min(),
    Max(),
    First(),
    Last(),
    Previous(),
    TimeSinceLast(),
    Var(),
    Std(),
    Quantile(),
    CountDistinct(),
    DecayedSum(),
    Top(),
]
"""In the order in which they are listed to users."""

NAMES = tuple(function.name for function in ENTRIES)
OF_LABELS = tuple(function.name for function in ENTRIES if function.of_labels)
_BY_NAME = {function.name: function for function in ENTRIES}
_SCANNED = [function.name for function in ENTRIES if function.scan is not None]
_SCANS: list[Scan] = [function.scan for function in ENTRIES if function.scan is not None]

SCANS_STAMP = "".join(stamp_of(scan) for scan in _SCANS)
"""Names what `scan_of` is made of, for the stamps of kernels that call it."""


def _no_scan(times: Ints, values: Floats, column: int, low: int, high: int, now: int, parameter: float) -> float:
    return 0.0


scan_of = chosen(_SCANS, _no_scan)
"""A kernel (number, ...) -> float64: the scan of this number, see `scan_number`, which is given the rest."""


def function_named(name: str) -> AggregateFunction:
    """The function of this name, which is one of NAMES."""
    return _BY_NAME[name]


def scan_number(name: str) -> int:
    """The number by which `scan_of` knows the scan of a function that has one."""
    return _SCANNED.index(name)
