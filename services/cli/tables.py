"""Files of events and labels as the columns of a topic, in time order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from services.kit.errors import ConfigurationError
from services.pipeline.document import closest
from services.pipeline.spec import Pipeline


@dataclass(frozen=True, slots=True)
class Rows:
    """Records to publish.

    Attributes:
        columns: in the schema of the topic, by ascending time.
        keys: Kafka record keys, utf-8.
        times: int64 milliseconds: events' own times, or when labels became known.
    """

    columns: pa.Table
    keys: pa.ChunkedArray
    times: npt.NDArray[np.int64]

    def between(self, start: int | None, stop: int | None) -> Rows:
        """Those with start <= time < stop; None leaves an end open."""
        low = 0 if start is None else int(np.searchsorted(self.times, start))
        high = len(self.times) if stop is None else int(np.searchsorted(self.times, stop))
        count = max(high - low, 0)
        return Rows(self.columns.slice(low, count), self.keys.slice(low, count), self.times[low : low + count])


def read_table(path: Path) -> pa.Table:
    """A Parquet file, or anything else as CSV with a header.

    Raises:
        ConfigurationError: it is not there or cannot be read.
    """
    try:
        if path.suffix in (".parquet", ".pq"):
            return pyarrow.parquet.read_table(path)
        return pyarrow.csv.read_csv(path)
    except FileNotFoundError:
        raise ConfigurationError(f"{path} is not there") from None
    except (pa.ArrowException, OSError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from None


def events(table: pa.Table, pipeline: Pipeline, schema: pa.Schema, names: Mapping[str, str]) -> Rows:
    """Events of a table in the events topic's schema.

    Args:
        names: for a field whose column is called otherwise, that name.

    Raises:
        ConfigurationError: a column is missing or of the wrong type.
    """
    _known(names, schema.names, "the event")
    columns = pa.table([_column(table, field, names) for field in schema], schema=schema)
    return _ordered(columns, pipeline.events.key, pipeline.events.time)


def labels(table: pa.Table, pipeline: Pipeline, schema: pa.Schema, names: Mapping[str, str], source: str) -> Rows:
    """Labels of a table in the labels topic's schema.

    The pipeline file says which columns hold the event's id and the truth. Without a column `label_time`, the truth
    became known `matures_after` after the event's own time; without a column `source`, all come from `source`.

    Raises:
        ConfigurationError: the pipeline has no labels, or a column is missing or of the wrong type.
    """
    if pipeline.labels is None:
        raise ConfigurationError(
            f"{pipeline.name} has no labels: add a section such as labels: {{id: ..., value: ...}}"
        )
    time = pipeline.events.time
    _known(names, [pipeline.labels.id, pipeline.labels.value, time, "label_time", "source"], "a label")
    stamp = schema.field("label_time").type
    if names.get("label_time", "label_time") in table.column_names:
        known = _column(table, schema.field("label_time"), names)
    else:
        happened = _column(table, pa.field(time, stamp), names)
        known = pc.add(happened, pa.scalar(pipeline.labels.matures_after, pa.duration("ms"))).cast(stamp)
    if names.get("source", "source") in table.column_names:
        sources = _column(table, schema.field("source"), names)
    else:
        sources = pa.chunked_array([pa.repeat(pa.scalar(source), table.num_rows)])
    found = {
        "event_id": _column(table, pa.field(pipeline.labels.id, pa.string()), names),
        "value": _column(table, pa.field(pipeline.labels.value, pa.float64()), names),
        "label_time": known,
        "source": sources,
    }
    return _ordered(pa.table([found[name] for name in schema.names], schema=schema), "event_id", "label_time")


def _known(names: Mapping[str, str], fields: Sequence[str], what: str) -> None:
    for field in names:
        if field not in fields:
            raise ConfigurationError(f"--map {field}=...: {what} has no {field}: {closest(field, fields)}")


def _column(table: pa.Table, field: pa.Field, names: Mapping[str, str]) -> pa.ChunkedArray:
    name = names.get(field.name, field.name)
    if name not in table.column_names:
        if field.name not in names and field.nullable and field.name:
            return pa.chunked_array([pa.nulls(table.num_rows, field.type)])
        raise ConfigurationError(
            f"the file has no column {name} for {field.name}: {closest(name, table.column_names)} "
            f"Say which with --map {field.name}=COLUMN"
        )
    column = table.column(name)
    try:
        if pa.types.is_timestamp(field.type) and pa.types.is_integer(column.type):
            column = column.cast(pa.int64())  # milliseconds
        return column.cast(field.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ConfigurationError(
            f"column {name} ({column.type}) is no {field.type} for {field.name}: {error}"
        ) from None


def _ordered(columns: pa.Table, key: str, time: str) -> Rows:
    stamps = columns.column(time)
    for name in (key, time):
        if columns.column(name).null_count:
            raise ConfigurationError(f"{name} is missing in {columns.column(name).null_count} rows of the file")
    times = stamps.cast(pa.timestamp("ms", tz="UTC"), safe=False).cast(pa.int64()).to_numpy()
    if np.any(times[1:] < times[:-1]):
        order = np.argsort(times, kind="stable")
        columns, times = columns.take(pa.array(order)), times[order]
    return Rows(columns, columns.column(key).cast(pa.string()), times)
