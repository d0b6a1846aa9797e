"""Which columns of a file are read as which fields, and fields that a file has no column for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headrace.domain.pipeline.document import closest
from headrace.domain.pipeline.spec import Pipeline
from headrace.domain.pipeline.units import duration, moment
from headrace.errors import ConfigurationError
from headrace.operations.tables.cells import CellPlace, typed
from headrace.operations.tables.table_files import TableFile
from headrace.operations.tables.timestamps import Moments, Reading

kernels: Any = pc  # its stubs know too few of the overloads
Ints = npt.NDArray[np.int64]
LATEST = 4_102_444_800_000
"""Milliseconds: no row may be dated from the year 2100 on."""


@dataclass(slots=True)
class WantedColumns:
    """The columns of a file that are read, and the fields that it has no column for.

    Args:
        file: of rows.
        pipeline: its `files` say what the file does not.
        names: field to column, before what `files` say.
    """

    file: TableFile
    pipeline: Pipeline
    names: Mapping[str, str]
    places: list[CellPlace] = field(default_factory=list)
    absent: list[pa.Field] = field(default_factory=list)
    made: list[pa.Field] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def column(self, name: str) -> str:
        """What the column of a field is called: as asked for, as `files` say, or as the field."""
        if name in self.names:
            return self.names[name]
        said = self.pipeline.files.columns.get(name, name)
        return name if said not in self.file.names and name in self.file.names else said

    def has(self, name: str) -> bool:
        """Whether the file has a column for a field, or should have."""
        return name in self.names or self.column(name) in self.file.names

    def add(
        self, of: pa.Field, *, identity: bool = False, flags: bool = False, needed: bool = False, why: str = ""
    ) -> None:
        """Find the column of a field; one that may be null and is not `needed` can be absent.

        Raises:
            ConfigurationError: the file lacks it, or has it twice.
        """
        layout, column = self.pipeline.files, self.column(of.name)
        often = self.file.names.count(column)
        if often > 1:
            raise ConfigurationError(
                f"the file has {often} columns {column}, and one is needed for {of.name}: rename or drop the others"
            )
        if often:
            kind = of.with_nullable(of.nullable and not needed)
            self.places.append(
                CellPlace(column, kind, self.file.text, identity, flags, layout.decimal, layout.thousands)
            )
        elif self._is_made(of.name) and of.name not in self.names:
            self.made.append(of)
        elif of.name not in self.names and of.nullable and not needed:
            self.absent.append(of)
        else:
            asked = f" for {of.name}" if column != of.name else ""
            told = f" ({why})" if why else ""
            raise ConfigurationError(
                f"the file has no column {column}{asked}{told}: {closest(column, self.file.names)} "
                f"Say which with --map {of.name}=COLUMN{self._or_made(of.name)}"
            )

    def _is_made(self, name: str) -> bool:
        """Whether `files` say what the field is in every row."""
        layout, events = self.pipeline.files, self.pipeline.events
        return (
            name in layout.values
            or (layout.row_ids and name in self._ids())
            or (layout.first_time is not None and name == events.time)
        )

    def _ids(self) -> set[str]:
        labels = self.pipeline.labels
        return {self.pipeline.events.id} | ({labels.id} if labels is not None else set())

    def _or_made(self, name: str) -> str:
        """What else can be said of a file without a column for a field."""
        if name == self.pipeline.events.time:
            return (
                "; where rows have no time, the pipeline file can say when the first one was and how far they are "
                "apart: files: {first_time: 2024-05-31T00:00:00Z, time_step: 30m}"
            )
        if name in self._ids():
            return "; where rows have no id, files: {row_ids: true} takes their numbers"
        return ""

    def read(self, reading: Reading, clock: str) -> tuple[dict[str, pa.ChunkedArray], Ints, list[str]]:
        """Columns by field, the numbers of the file's rows, and what is to be said of them.

        `clock` is when rows happened; other times, such as a date of birth, may lie in any year if they are no numbers.

        Raises:
            ConfigurationError: a value is none of its field's type; names row and column.
        """
        others, layouts = replace(reading, any_time=True), self.pipeline.files.times
        moments = {
            place.field.name: Moments(
                place, (reading if place.field.name == clock else others).of(layouts.get(place.field.name))
            )
            for place in self.places
            if pa.types.is_timestamp(place.field.type)
        }
        parts: dict[str, list[pa.Array]] = {place.field.name: [] for place in self.places}
        first = 1
        columns = list(dict.fromkeys(place.column for place in self.places)) or list(self.file.names[:1])
        for batch in self.file.read(columns):
            for place in self.places:
                name, values = place.field.name, batch[place.column]
                read = moments[name].read if name in moments else None
                parts[name].append(read(values, first) if read is not None else typed(values, place, first))
            first += batch.num_rows
        kinds = {place.field.name: place.field.type for place in self.places}
        found = {name: pa.chunked_array(chunks, kinds[name]) for name, chunks in parts.items()}
        notes = [note for column in moments.values() for note in column.notes]
        for of in self.made:
            values, note = self._made(of, first - 1)
            found[of.name] = pa.chunked_array([values])
            notes.append(note)
        for of in self.absent:
            found[of.name] = pa.chunked_array([pa.nulls(first - 1, of.type)])
            near = closest(of.name, self.file.names)
            hint = f"; {near} --map {of.name}=COLUMN says so" if near.startswith("did you mean") else ""
            notes.append(f"no column {of.name}: it is null in all rows{hint}")
        return found, np.arange(1, first), notes

    def _made(self, of: pa.Field, rows: int) -> tuple[pa.Array, str]:
        """A field that the file has no column for, in all rows, and what is to be said of it."""
        layout = self.pipeline.files
        if of.name in layout.values:
            value = pa.scalar(layout.values[of.name]).cast(of.type)
            return pa.repeat(
                value, rows
            ), f"no column {of.name}: it is {layout.values[of.name]} in all rows, as files say"
        numbers = np.arange(rows, dtype=np.int64)
        if not pa.types.is_timestamp(of.type):
            return pa.array(numbers + 1).cast(of.type), f"no column {of.name}: rows are called by their numbers, from 1"
        first, step = layout.first_time, layout.time_step
        assert first is not None, "the section has both"
        assert step is not None, "as above"
        if rows and first + step * (rows - 1) >= LATEST:
            row = max((LATEST - first) // step, 0)
            raise ConfigurationError(
                f"row {row + 1:,} would be dated {moment(first + step * row)}, as first_time and time_step of the "
                "section files say: mend these"
            )
        note = f"no column {of.name}: rows are dated every {duration(step)} from {moment(first)}Z on, as files say"
        times = pa.array(first + step * numbers, pa.int64()).cast(pa.timestamp("ms", tz="UTC"))
        return times.cast(of.type), note
