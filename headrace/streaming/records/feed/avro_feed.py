"""Producers' records in Avro of their own, in the Confluent wire format: read by the columns that are asked for."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headrace.columnar.avro.reader import Joined, RecordReader
from headrace.columnar.avro.types import Fixed, Leaf, Node, Nullable, Record, Shape, Union, Unread
from headrace.errors import ContractError
from headrace.streaming.contracts.schemas import Schema, SchemaIds
from headrace.streaming.records.avro_codec import AvroCodec, VersionReader
from headrace.streaming.records.codec import Bad
from headrace.streaming.records.feed.avro_shape import scalar_or_group
from headrace.streaming.records.feed.column import FeedColumn, FeedForm
from headrace.streaming.records.feed.feed_codec import ABSENT, NULL, OTHER, RAW, ROW, THERE, Scan, Scanned, scanned_by
from headrace.streaming.records.feed.shape import Scalar

kernels: Any = pc  # its stubs know too few of the overloads
_MOST_WHOLE = 1 << 53


class AvroScanner:
    """Reads columns of Avro records, whatever version of their schema they were written with.

    A version is readable if every column can be read of it: by its path, as what the producer's file says it is.
    """

    def __init__(self, subject: str, form: FeedForm, reader: Schema, ids: SchemaIds, max_bytes: int) -> None:
        self._columns = scanned_by(form)
        self._skips = form.skips_others
        self._codec = _Versions(form.subjects or (subject,), self._columns, reader, ids, max_bytes)

    def scan(self, values: Sequence[bytes | None]) -> Scan:
        """As `Scanner.scan`."""
        found = self._codec.decode(values)
        cells = [
            Scanned(
                found.columns.column(f"{place}.states").to_numpy(zero_copy_only=False),
                found.columns.column(f"{place}.values"),
                found.columns.column(f"{place}.wrong").to_numpy(zero_copy_only=False),
                "is a number that 64 bits would round or not hold",
            )
            for place in range(len(self._columns))
        ]
        return Scan(found.rows, cells, [self._told_apart(one) for one in found.bad])

    def _told_apart(self, bad: Bad) -> Bad:
        """Records of another subject, which a topic may hold as well, by a reason of their own."""
        if self._skips and bad.reason == "unknown_schema" and bad.detail.endswith(self._codec.foreign):
            return Bad(bad.row, OTHER, bad.detail)
        return bad

    def write(self, columns: Sequence[Sequence[object]]) -> list[bytes]:
        """As `Scanner.write`: nothing is written in a producer's own Avro."""
        raise ContractError(
            "headrace writes no Avro of a producer's own: publish with the producer's own client, as its schema's "
            "other fields would be made up"
        )


class _Versions(AvroCodec):
    """The versions of some subjects, read as columns `N.states`, `N.values` and `N.wrong` for the N-th."""

    def __init__(
        self,
        subjects: Sequence[str],
        columns: Sequence[FeedColumn],
        reader: Schema,
        ids: SchemaIds,
        max_bytes: int,
    ) -> None:
        self._wanted = columns
        kinds = [("states", pa.uint8()), ("values", None), ("wrong", pa.bool_())]
        self.made = pa.schema(
            [
                pa.field(f"{place}.{part}", kind or RAW[column.scalar.reads])
                for place, column in enumerate(columns)
                for part, kind in kinds
            ]
        )
        super().__init__(" and ".join(subjects), reader, _Subjects(ids, subjects), max_bytes)
        self._none = pa.RecordBatch.from_pylist([], self.made)

    @property
    def foreign(self) -> str:
        """How the detail ends of a record whose id is none of the subjects'."""
        return f"not among those of {self.subject}"

    def _source(self, writer: Schema) -> VersionReader | str:
        try:
            return _Version(writer.record, self._wanted, self.made)
        except ContractError as unfit:
            return str(unfit)


class _Subjects:
    """The ids of several subjects."""

    def __init__(self, ids: SchemaIds, subjects: Sequence[str]) -> None:
        self._ids = ids
        self._subjects = subjects

    def id_of(self, subject: str, schema: Schema) -> int:
        """As `SchemaIds.id_of`."""
        return self._ids.id_of(subject, schema)

    def writers(self, subject: str) -> Mapping[int, Schema | str]:
        """As `SchemaIds.writers`, of all of them."""
        found: dict[int, Schema | str] = {}
        for each in self._subjects:
            found |= self._ids.writers(each)
        return found


class _Version:
    """One version of a producer's schema, read as columns. Raises ContractError where one cannot be read of it."""

    def __init__(self, record: Record, columns: Sequence[FeedColumn], made: pa.Schema) -> None:
        self._columns = columns
        self._made = made
        self._scalars = [_scalar(record, column) for column in columns]
        kept = [column.path for column, scalar in zip(columns, self._scalars, strict=True) if scalar is not None]
        self._reading = RecordReader(_pruned(record, kept))

    def read(self, joined: Joined, want: int) -> tuple[pa.RecordBatch, npt.NDArray[np.int64]]:
        """As `RecordReader.read`, in columns of states, values and wrong ones."""
        found, rows = self._reading.read(joined, want)
        arrays: list[pa.Array] = []
        for column, scalar in zip(self._columns, self._scalars, strict=True):
            arrays += self._cells(found, column, scalar)
        return pa.RecordBatch.from_arrays(arrays, schema=self._made), rows

    def place(self, failed: int) -> tuple[str, int]:
        """As `RecordReader.place`."""
        return self._reading.place(failed)

    def _cells(self, found: pa.RecordBatch, column: FeedColumn, scalar: Scalar | None) -> Iterator[pa.Array]:
        count, kind = found.num_rows, RAW[column.scalar.reads]
        if scalar is None:
            yield from (pa.repeat(pa.scalar(ABSENT, pa.uint8()), count), pa.nulls(count, kind), _flags(count))
            return
        there = np.ones(count, np.bool_)
        here: pa.Array | None = None
        for name in column.path:
            here = found.column(name) if here is None else here.field(_found_at(here.type, name))
            there &= here.is_valid().to_numpy(zero_copy_only=False)
        assert here is not None, "a path has a name"
        if column.name == ROW:
            values, wrong = pa.repeat(pa.scalar(""), count), None
        else:
            values, present, wrong = _raw(here, scalar, column.scalar.reads)
            there &= present
        yield pa.array(np.where(there, THERE, NULL).astype(np.uint8))
        yield values
        yield _flags(count) if wrong is None else pa.array(wrong & there)


def _found_at(kind: pa.StructType, name: str) -> int:
    """The place of a field of a struct."""
    return int(kind.get_field_index(name))


def _flags(count: int) -> pa.Array:
    return pa.repeat(pa.scalar(False), count)


def _scalar(record: Record, column: FeedColumn) -> Scalar | None:
    """What a column is in a version; None where that lacks a column that may be left out."""
    here: Shape = record
    for name in column.path:
        bare = here.inner if isinstance(here, Nullable) else here
        members = bare.members if isinstance(bare, Record) else ()
        member = next((member for member in members if member.name == name), None)
        if member is None:
            if column.optional or column.nullable:
                return None
            raise ContractError(f"{column.place}: not in this version")
        here = member.type
    bare = here.inner if isinstance(here, Nullable) else here
    if column.name == ROW:
        if not isinstance(bare, Record):
            raise ContractError(f"{column.place}: no record in this version")
        return column.scalar
    found = scalar_or_group(bare)
    if not isinstance(found, Scalar):
        raise ContractError(f"{column.place}: no single value in this version")
    wider = (found.reads, column.scalar.reads) in (("integer", "number"),)
    if (found.reads != column.scalar.reads and not wider) or found.time != column.scalar.time:
        raise ContractError(f"{column.place}: {found.wire} in this version cannot be read as {column.scalar.wire}")
    return found


def _pruned(record: Record, paths: Sequence[tuple[str, ...]]) -> Record:
    """The record with all that no path leads to stepped over."""
    members = []
    for member in record.members:
        below = [path[1:] for path in paths if path[0] == member.name]
        kind = _kept(member.type, below) if below else Unread(member.type, "nobody reads it")
        members.append(type(member)(member.name, kind, member.default, member.aliases, member.doc))
    return Record(record.name, tuple(members))


def _kept(node: Node, below: Sequence[tuple[str, ...]]) -> Node:
    match node:
        case Nullable():
            return Nullable(_kept(node.inner, below), node.null_at)
        case Record():
            return _pruned(node, [path for path in below if path])
        case Unread(shape=Leaf() | Fixed() | Union() as bare):
            return _bare(bare)
    return node


def _bare(node: Node) -> Node:
    """A type as it is read: branches of a union too."""
    match node:
        case Union():
            return Union(tuple(_bare(cast(Node, branch)) for branch in node.branches))
        case Unread(shape=Leaf() | Fixed() as bare):
            return bare
    return node


def _raw(array: pa.Array, scalar: Scalar, reads: str) -> tuple[pa.Array, npt.NDArray[np.bool_], Any]:
    """Values in the kind that is due, which of them are there, and which are not what they were."""
    there = array.is_valid().to_numpy(zero_copy_only=False)
    if scalar.wire == "union":
        return _of_union(array, reads)
    kind = RAW[reads]
    if scalar.wire == "decimal":
        numbers = pa.array([_decimal(one, scalar.scale or 0) for one in array.to_pylist()], kind)
        return numbers, there, np.isinf(numbers.to_numpy(zero_copy_only=False))
    if scalar.wire in ("bytes", "uuid"):
        said = _uuid if scalar.wire == "uuid" else bytes.hex
        return pa.array([None if one is None else said(one) for one in array.to_pylist()], kind), there, None
    if pa.types.is_timestamp(array.type):
        array = array.view(pa.int64())
    elif pa.types.is_date32(array.type):
        array = array.view(pa.int32())
    if pa.types.is_integer(array.type) and reads == "number":
        filled = array.fill_null(0) if array.null_count else array
        return filled.cast(kind, safe=False), there, _rounded(filled)
    array = array.cast(kind)
    blank: object = {"integer": 0, "number": 0.0, "string": "", "boolean": False}[reads]
    return (array.fill_null(blank) if array.null_count else array), there, None


def _rounded(whole: pa.Array) -> npt.NDArray[np.bool_]:
    """Which whole numbers a number of 64 bits does not hold."""
    found = whole.to_numpy(zero_copy_only=False).astype(np.int64)
    wrong: npt.NDArray[np.bool_] = np.abs(found) > _MOST_WHOLE
    for row in np.flatnonzero(wrong).tolist():
        wrong[row] = int(float(found[row])) != int(found[row])
    return wrong


def _of_union(array: pa.Array, reads: str) -> tuple[pa.Array, npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """The one branch of each row that is not null."""
    kind = RAW[reads]
    found: pa.Array = pa.nulls(len(array), kind)
    wrong = np.zeros(len(array), np.bool_)
    for place in range(array.type.num_fields):
        branch = array.field(place)
        if reads == "number" and pa.types.is_integer(branch.type):
            wrong |= _rounded(branch.fill_null(0))
        if pa.types.is_binary(branch.type):
            branch = pa.array([None if one is None else one.hex() for one in branch.to_pylist()], pa.string())
        found = kernels.coalesce(found, branch.cast(kind, safe=False))
    return found, found.is_valid().to_numpy(zero_copy_only=False), wrong


def _decimal(value: bytes | None, scale: int) -> float:
    """The number of 64 bits that is nearest to a decimal; infinity beyond them all."""
    if value is None:
        return 0.0
    try:
        unscaled, unit = int.from_bytes(value, "big", signed=True), int(10**scale)
        return unscaled / unit  # Python gives the nearest, however long the two are.
    except OverflowError:
        return float("inf")


def _uuid(value: bytes) -> str:
    return str(uuid.UUID(bytes=value))
