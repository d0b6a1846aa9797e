"""How the values of features lie that were served in a span of event time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headrace.domain.pipeline.document import closest
from headrace.domain.pipeline.segments import Segments
from headrace.domain.pipeline.spec import Pipeline
from headrace.domain.pipeline.wiring import Contracts
from headrace.errors import ConfigurationError
from headrace.operations.catalogue.served_rows import numbers, served_rows
from headrace.operations.progress import ProgressView
from headrace.operations.time_spans import Bounds, TimeSpan
from headrace.streaming.process.settings import Settings

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
EVENT = "event"


@dataclass(frozen=True, slots=True)
class ColumnStatistics:
    """How a column lies in some rows.

    Attributes:
        feature: `view.name`, or a field of the event that models or segments read.
        segment, group: which rows; both empty for all.
        rows: how many; `nulls`: of these, without a value; `null_share`: of the rows.
        infinite: values that are no finite numbers; the figures below are of the others.
        mean, sd: sd is of a sample (divided by n - 1).
        least, quantiles, greatest: quantiles by share, between two values on a straight line (SQL's percentile_cont).
        distinct: different values.

    Of texts, and where there is no value, figures are None.
    """

    feature: str
    segment: str
    group: str
    rows: int
    nulls: int
    null_share: float
    infinite: int
    mean: float | None
    sd: float | None
    least: float | None
    quantiles: Mapping[str, float]
    greatest: float | None
    distinct: int


@dataclass(frozen=True, slots=True)
class FeatureStatistics:
    """Statistics of a span.

    Attributes:
        bounds: event times that were asked for.
        rows: events in it, from `first` to `last` (milliseconds).
        read, unreadable, missing: see `ServedRows`.
        columns: those of all rows first, then by segment and group.
    """

    pipeline: str
    bounds: Bounds
    rows: int
    first: int
    last: int
    read: int
    unreadable: int
    missing: Sequence[str]
    columns: Sequence[ColumnStatistics]


def feature_statistics(
    settings: Settings,
    contracts: Contracts,
    span: TimeSpan,
    features: Sequence[str],
    segment: str | None,
    progress: ProgressView,
) -> FeatureStatistics:
    """Read the features topic once, and tell of each column how it lies.

    Takes 8 bytes of memory for each value; `features` narrows it.

    Args:
        features: those that are asked for, all when empty.
        segment: whose groups are told apart as well.

    Raises:
        ConfigurationError: there is no such feature or segment, or no event in the span.
        Transient: Kafka does not answer.
    """
    pipeline = contracts.pipeline
    wanted = _wanted(pipeline, features)
    kept = [pipeline.locate(name)[0] for name in wanted]
    if segment is not None:
        if segment not in pipeline.segments:
            raise ConfigurationError(f"{pipeline.name} has no segment {segment}: {closest(segment, pipeline.segments)}")
        kept.append(pipeline.locate(pipeline.segments[segment].of)[0])
    served = served_rows(settings, contracts, span, kept, progress)
    times = served.rows.column("event_time").cast(pa.int64()).to_numpy()
    own = {} if segment is None else {segment: pipeline.segments[segment]}
    with progress.stage("counting"):
        columns = [
            column_statistics(served.rows, pipeline, name, which, mask)
            for which, mask in Segments(replace(pipeline, segments=own)).groups(served.rows)
            for name in wanted
        ]
    return FeatureStatistics(
        pipeline.name,
        span.bounds,
        served.rows.num_rows,
        int(times.min()),
        int(times.max()),
        served.read,
        served.unreadable,
        served.missing,
        columns,
    )


def column_statistics(
    rows: pa.RecordBatch,
    pipeline: Pipeline,
    feature: str,
    which: tuple[str, str] = ("", ""),
    mask: npt.NDArray[np.bool_] | None = None,
) -> ColumnStatistics:
    """Statistics of a column in rows of the features topic, or those of a mask."""
    struct, name = pipeline.locate(feature)
    column = rows.column(struct).field(name)
    if _is_text(column.type):
        texts = column if mask is None else column.filter(pa.array(mask))
        count, nulls = len(texts), texts.null_count
        distinct = pc.count_distinct(texts, mode="only_valid").as_py()
        return ColumnStatistics(
            feature, *which, count, nulls, _share(nulls, count), 0, None, None, None, {}, None, distinct
        )
    values = numbers(rows, struct, name)
    return _of_numbers(feature, which, values if mask is None else values[mask])


def _of_numbers(feature: str, which: tuple[str, str], values: npt.NDArray[np.float64]) -> ColumnStatistics:
    known = np.sort(values[~np.isnan(values)])
    nulls = len(values) - len(known)
    finite = known[np.isfinite(known)]
    share, infinite = _share(nulls, len(values)), len(known) - len(finite)
    distinct = int(np.count_nonzero(known[1:] != known[:-1])) + 1 if len(known) else 0
    if not len(finite):
        return ColumnStatistics(
            feature, *which, len(values), nulls, share, infinite, None, None, None, {}, None, distinct
        )
    quantiles = np.quantile(finite, QUANTILES)
    return ColumnStatistics(
        feature,
        *which,
        len(values),
        nulls,
        share,
        infinite,
        float(finite.mean()),
        float(finite.std(ddof=1)) if len(finite) > 1 else None,
        float(finite[0]),
        {f"{share:g}": float(value) for share, value in zip(QUANTILES, quantiles, strict=True)},
        float(finite[-1]),
        distinct,
    )


def _wanted(pipeline: Pipeline, features: Sequence[str]) -> list[str]:
    """Columns that are asked for, those of the event first; times and the like are left out."""
    own = [f.name for f in pipeline.event_fields if f.type in ("integer", "number", "boolean", "string")]
    known = [*own, *(column.path for view in pipeline.views.values() for column in view.columns)]
    for name in features:
        if name not in known:
            raise ConfigurationError(f"{pipeline.name} has no feature {name}: {closest(name, known)}")
    return [name for name in known if not features or name in features]


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_dictionary(kind))


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
