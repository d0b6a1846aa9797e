"""Files of events and labels as the columns of a topic, in time order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headrace.domain.pipeline.document import closest
from headrace.domain.pipeline.spec import Pipeline
from headrace.domain.pipeline.truth import said_of, truths
from headrace.errors import ConfigurationError
from headrace.operations.tables.cells import CellPlace, typed
from headrace.operations.tables.table_files import TableFile, of_table, open_table
from headrace.operations.tables.timestamps import Moments, Reading

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
    wanted = _Wanted(file, names)
    for part in schema:
        needed = part.name in (event.id, event.key, event.time)
        wanted.add(part, identity=needed and not pa.types.is_timestamp(part.type), needed=needed)
    found, numbers, notes = _read(file, wanted, reading, event.time)
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

    The pipeline file says which columns hold the event's id and the truth. Without a column `label_time`, the truth
    became known `matures_after` after the event's own time; without a column `source`, all come from `source`. An id is
    read in the type that events have it in, so that it is the same text as theirs.

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
    wanted = _Wanted(file, names)
    whole = pipeline.events.fields[pipeline.events.id].type == "integer" if pipeline.events.fields else False
    of_id = pa.field(rule.id, pa.int64() if whole else pa.string(), nullable=False)
    wanted.add(of_id, identity=True, why=f"labels: {{id: {rule.id}}} in the pipeline file names it")
    of_value = pa.field(rule.value, pa.float64(), nullable=False)
    wanted.add(of_value, flags=True, why=f"labels: {{value: {rule.value}}} in the pipeline file names it")
    stamp = schema.field("label_time").with_nullable(False)
    own = names.get("label_time", "label_time") in file.names or "label_time" in names
    if own:
        wanted.add(stamp)
    else:
        either = "it has no label_time either, which says when a label became known"
        wanted.add(pa.field(time, stamp.type, nullable=False), why=either)
    if names.get("source", "source") in file.names or "source" in names:
        wanted.add(pa.field("source", pa.string(), nullable=False))
    found, numbers, notes = _read(file, wanted, reading, "label_time" if own else time)
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
        column = names.get(rule.value, rule.value)
        raise ConfigurationError(f"row {row + 1:,}, column {column}: {made['value'][row]} {said_of(rule)}")
    columns = pa.table([made[name] for name in schema.names], schema=schema)
    return _ordered(columns, "event_id", "label_time", numbers, notes)


def _file(table: TableFile | pa.Table) -> TableFile:
    return table if isinstance(table, TableFile) else of_table(table)


def _known(names: Mapping[str, str], fields: Sequence[str], what: str) -> None:
    for name in names:
        if name not in fields:
            raise ConfigurationError(f"--map {name}=...: {what} has no {name}: {closest(name, fields)}")


@dataclass(slots=True)
class _Wanted:
    """The columns of a file that are read, and the fields that it has no column for."""

    file: TableFile
    names: Mapping[str, str]
    places: list[CellPlace] = field(default_factory=list)
    absent: list[pa.Field] = field(default_factory=list)

    def add(
        self, of: pa.Field, *, identity: bool = False, flags: bool = False, needed: bool = False, why: str = ""
    ) -> None:
        """Find the column of a field; one that may be null and is not `needed` can be absent."""
        column = self.names.get(of.name, of.name)
        often = self.file.names.count(column)
        if often > 1:
            raise ConfigurationError(
                f"the file has {often} columns {column}, and one is needed for {of.name}: rename or drop the others"
            )
        if often:
            kind = of.with_nullable(of.nullable and not needed)
            self.places.append(CellPlace(column, kind, self.file.text, identity, flags))
        elif of.name not in self.names and of.nullable and not needed:
            self.absent.append(of)
        else:
            asked = f" for {of.name}" if column != of.name else ""
            told = f" ({why})" if why else ""
            raise ConfigurationError(
                f"the file has no column {column}{asked}{told}: {closest(column, self.file.names)} "
                f"Say which with --map {of.name}=COLUMN"
            )


def _read(
    file: TableFile, wanted: _Wanted, reading: Reading, clock: str
) -> tuple[dict[str, pa.ChunkedArray], Ints, list[str]]:
    """Columns by field, the numbers of the file's rows, and what is to be said of them.

    `clock` is when rows happened; other times, such as a date of birth, may lie in any year if they are no numbers.
    """
    others = replace(reading, any_time=True)
    moments = {
        place.field.name: Moments(place, reading if place.field.name == clock else others)
        for place in wanted.places
        if pa.types.is_timestamp(place.field.type)
    }
    parts: dict[str, list[pa.Array]] = {place.field.name: [] for place in wanted.places}
    first = 1
    for batch in file.read(list(dict.fromkeys(place.column for place in wanted.places))):
        for place in wanted.places:
            name, values = place.field.name, batch[place.column]
            read = moments[name].read if name in moments else None
            parts[name].append(read(values, first) if read is not None else typed(values, place, first))
        first += batch.num_rows
    kinds = {place.field.name: place.field.type for place in wanted.places}
    found = {name: pa.chunked_array(chunks, kinds[name]) for name, chunks in parts.items()}
    notes = [note for column in moments.values() for note in column.notes]
    for of in wanted.absent:
        found[of.name] = pa.chunked_array([pa.nulls(first - 1, of.type)])
        near = closest(of.name, file.names)
        hint = f"; {near} --map {of.name}=COLUMN says so" if near.startswith("did you mean") else ""
        notes.append(f"no column {of.name}: it is null in all rows{hint}")
    return found, np.arange(1, first), notes


def _ordered(columns: pa.Table, key: str, time: str, numbers: Ints, notes: Sequence[str]) -> Rows:
    times = columns.column(time).cast(pa.timestamp("ms", tz="UTC"), safe=False).cast(pa.int64()).to_numpy()
    if np.any(times[1:] < times[:-1]):
        order = np.argsort(times, kind="stable")
        columns, times, numbers = columns.take(pa.array(order)), times[order], numbers[order]
    return Rows(columns, columns.column(key).cast(pa.string()), times, numbers, tuple(notes))
