"""Files of events and labels as the columns of a topic, in time order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headrace.domain.pipeline.document import closest
from headrace.domain.pipeline.spec import Labels, Pipeline
from headrace.domain.pipeline.truth import no_class, numbers_of, said_of, truths
from headrace.errors import ConfigurationError
from headrace.operations.tables.table_files import TableFile, of_table, open_table
from headrace.operations.tables.timestamps import Reading
from headrace.operations.tables.wanted_columns import WantedColumns

kernels: Any = pc  # its stubs know too few of the overloads

Ints = npt.NDArray[np.int64]
BY_SIZE = Reading()
"""Numbers are times in the unit that they are plausible in."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Records to publish.

    Attributes:
        columns: in the schema of the topic, by ascending time.
        keys: Kafka record keys, utf-8.
        times: int64 milliseconds: events' own times, or when labels became known.
        numbers: int64, the row of the file that each is, from 1; a CSV's header is not counted.
        notes: what the file does not say in so many words, and what was made of it.
    """

    columns: pa.Table
    keys: pa.ChunkedArray
    times: Ints
    numbers: Ints
    notes: tuple[str, ...] = ()

    def between(self, start: int | None, stop: int | None) -> Rows:
        """Those with start <= time < stop; None leaves an end open."""
        low = 0 if start is None else int(np.searchsorted(self.times, start))
        high = len(self.times) if stop is None else int(np.searchsorted(self.times, stop))
        return self.part(low, max(high, low))

    def part(self, low: int, high: int) -> Rows:
        """From the one at `low` (from 0) up to, not including, the one at `high`."""
        rows = slice(low, high)
        columns, keys = (part.slice(low, high - low) for part in (self.columns, self.keys))
        return Rows(columns, keys, self.times[rows], self.numbers[rows], self.notes)


def read_table(path: Path) -> TableFile:
    """A file of rows; see `table_files.open_table`."""
    return open_table(path)


def events(
    table: TableFile | pa.Table,
    pipeline: Pipeline,
    schema: pa.Schema,
    names: Mapping[str, str],
    reading: Reading = BY_SIZE,
) -> Rows:
    """Events of a table in the events topic's schema.

    Args:
        names: for a field whose column is called otherwise, that name.
        reading: of times.

    Raises:
        ConfigurationError: a column is missing, or a value is none of its field's type; names row and column.
    """
    file, event = _file(table), pipeline.events
    _known(names, schema.names, "the event")
    wanted = WantedColumns(file, pipeline, names)
    for part in schema:
        needed = part.name in (event.id, event.key, event.time)
        wanted.add(part, identity=needed and not pa.types.is_timestamp(part.type), needed=needed)
    found, numbers, notes = wanted.read(reading, event.time)
    columns = pa.table([found[name] for name in schema.names], schema=schema)
    again = columns.num_rows - kernels.count_distinct(columns[event.id]).as_py()
    if again:
        notes.append(f"{again:,} rows have a {event.id} that a row before them has: these are repeats of an event")
    return _ordered(columns, event.key, event.time, numbers, notes)


def labels(
    table: TableFile | pa.Table,
    pipeline: Pipeline,
    schema: pa.Schema,
    names: Mapping[str, str],
    source: str,
    reading: Reading = BY_SIZE,
) -> Rows:
    """Labels of a table in the labels topic's schema.

    The pipeline file says which columns hold the event's id and the truth, and, where labels have a topic of their own,
    when it became known; else a column `label_time` does. Without one, the truth became known `matures_after` after the
    event's own time; without a column `source`, all come from `source`. An id is read in the type that events have it
    in, so that it is the same text as theirs.

    Raises:
        ConfigurationError: the pipeline has no labels, a column is missing, or a value is none of its field's type.
    """
    rule, time = pipeline.labels, pipeline.events.time
    if rule is None:
        raise ConfigurationError(
            f"{pipeline.name} has no labels: add a section such as labels: {{id: ..., value: ...}}"
        )
    file = _file(table)
    _known(names, [rule.id, rule.value, time, "label_time", "source"], "a label")
    told = rule.feed.time if rule.feed is not None else ""
    if told in file.names and "label_time" not in (*names, *file.names):
        names = {**names, "label_time": told}  # The field of the producer's labels that says so.
    wanted = WantedColumns(file, pipeline, names)
    whole = pipeline.events.fields[pipeline.events.id].type == "integer" if pipeline.events.fields else False
    of_id = pa.field(rule.id, pa.int64() if whole else pa.string(), nullable=False)
    wanted.add(of_id, identity=True, why=f"labels: {{id: {rule.id}}} in the pipeline file names it")
    meanings = pipeline.files.truths
    of_value = pa.field(rule.value, pa.string() if meanings or rule.names else pa.float64(), nullable=False)
    why = f"labels: {{value: {rule.value}}} in the pipeline file names it"
    wanted.add(of_value, identity=bool(rule.names), flags=True, why=why)
    stamp = schema.field("label_time").with_nullable(False)
    own = wanted.has("label_time")
    if own:
        wanted.add(stamp)
    else:
        either = "it has no label_time either, which says when a label became known"
        wanted.add(pa.field(time, stamp.type, nullable=False), why=either)
    if wanted.has("source"):
        wanted.add(pa.field("source", pa.string(), nullable=False))
    found, numbers, notes = wanted.read(reading, "label_time" if own else time)
    if rule.names:
        found[rule.value] = _classes(found[rule.value], rule, meanings, wanted.column(rule.value))
    elif meanings:
        found[rule.value] = _meant(found[rule.value], meanings, wanted.column(rule.value))
    known = found["label_time" if own else time]
    if not own:
        known = kernels.add(known, pa.scalar(rule.matures_after, pa.duration("ms"))).cast(stamp.type)
        notes.append(f"no column label_time: labels are known from {time} + matures_after on")
    made = {
        "event_id": found[rule.id].cast(pa.string()),
        "value": found[rule.value],
        "label_time": known,
        "source": found.get("source", pa.chunked_array([pa.repeat(pa.scalar(source), len(numbers))])),
    }
    strange = truths(made["value"].to_numpy(), rule)[1]
    if strange.any():
        row = int(strange.argmax())
        column = wanted.column(rule.value)
        raise ConfigurationError(f"row {row + 1:,}, column {column}: {made['value'][row]} {said_of(rule)}")
    columns = pa.table([made[name] for name in schema.names], schema=schema)
    return _ordered(columns, "event_id", "label_time", numbers, notes)


def _classes(values: pa.ChunkedArray, rule: Labels, meanings: Mapping[str, float], column: str) -> pa.ChunkedArray:
    """Names of classes, and words that stand for them, as the numbers that labels have for them."""
    numbers = numbers_of(values, rule)
    if meanings:
        meant = kernels.index_in(values, value_set=pa.array(list(meanings))).fill_null(len(meanings)).to_numpy()
        numbers = np.where(meant < len(meanings), np.array([*meanings.values(), np.nan])[meant], numbers)
    if (strange := np.isnan(numbers)).any():
        row = int(strange.argmax())
        raise ConfigurationError(f"row {row + 1:,}, column {column}: {values[row].as_py()!r} {no_class(rule)}")
    return pa.chunked_array([pa.array(numbers)])


def _meant(values: pa.ChunkedArray, meanings: Mapping[str, float], column: str) -> pa.ChunkedArray:
    """Words of labels as the numbers that they mean."""
    places = kernels.index_in(values, value_set=pa.array(list(meanings)))
    if places.null_count:
        row = kernels.index(places.is_null(), True).as_py()
        raise ConfigurationError(
            f"row {row + 1:,}, column {column}: {values[row].as_py()!r} is none of the words whose meaning is known: "
            f"{closest(str(values[row].as_py()), meanings)}; say its meaning in the pipeline file, under files: truths"
        )
    return pa.chunked_array([pa.array(list(meanings.values()), pa.float64())]).take(places)


def _file(table: TableFile | pa.Table) -> TableFile:
    return table if isinstance(table, TableFile) else of_table(table)


def _known(names: Mapping[str, str], fields: Sequence[str], what: str) -> None:
    for name in names:
        if name not in fields:
            raise ConfigurationError(f"--map {name}=...: {what} has no {name}: {closest(name, fields)}")


def _ordered(columns: pa.Table, key: str, time: str, numbers: Ints, notes: Sequence[str]) -> Rows:
    times = columns.column(time).cast(pa.timestamp("ms", tz="UTC"), safe=False).cast(pa.int64()).to_numpy()
    if np.any(times[1:] < times[:-1]):
        order = np.argsort(times, kind="stable")
        columns, times, numbers = columns.take(pa.array(order)), times[order], numbers[order]
    return Rows(columns, columns.column(key).cast(pa.string()), times, numbers, tuple(notes))
