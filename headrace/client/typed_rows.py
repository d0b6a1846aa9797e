"""Mappings of a program as columns of a topic: a value is what the schema says, or is refused with row and field."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from numbers import Integral, Real
from typing import Any, NamedTuple

import pyarrow as pa

from headrace.domain.pipeline.document import closest
from headrace.errors import ConfigurationError

WHOLE_IN_A_DOUBLE = 2**53
"""Whole numbers beyond are not all doubles."""


class _Accepted(NamedTuple):
    """What a program may give where the schema has an Arrow type.

    Attributes:
        fits: whether a type is of this kind.
        plain: what Arrow reads a whole column of without bending a value; None: nothing.
        other: what is read one by one. A truth is no number, though Python has it so.
        wanted: the kind, in words.
    """

    fits: Callable[[pa.DataType], bool]
    plain: type | None
    other: type
    wanted: str


_ACCEPTED = (
    _Accepted(pa.types.is_timestamp, int, object, "a time"),
    _Accepted(pa.types.is_boolean, bool, bool, "true or false"),
    _Accepted(pa.types.is_integer, int, Integral, "a whole number ({})"),
    _Accepted(pa.types.is_floating, float, Real, "a number ({})"),
    _Accepted(pa.types.is_string, str, str, "a text"),
    _Accepted(pa.types.is_binary, None, bytes, "bytes"),
    _Accepted(lambda kind: True, None, object, "{}"),
)


def typed_rows(rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> pa.RecordBatch:
    """Columns of a schema, one row a mapping.

    Args:
        rows: field to value. A field that may be null may be left away. Times are datetimes with a zone, or whole
            milliseconds since 1970.
        schema: of the topic.

    Raises:
        ConfigurationError: a value is none of its field's type, a field is missing, or the schema has none of that
            name; names the row (from 0) and the field.

    >>> schema = pa.schema([pa.field("id", pa.int64(), False), pa.field("amount", pa.float64())])
    >>> typed_rows([{"id": 1, "amount": 2}, {"id": 2}], schema).to_pylist()
    [{'id': 1, 'amount': 2.0}, {'id': 2, 'amount': None}]
    >>> typed_rows([{"id": 1.5}], schema)
    Traceback (most recent call last):
    headrace.errors.ConfigurationError: row 0, id: 1.5 is a float, and the schema has a whole number (int64)
    """
    names = set(schema.names)
    for at, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise ConfigurationError(f"row {at}: {type(row).__name__} is no mapping of fields to values")
        for name in row:
            if name not in names:
                raise ConfigurationError(
                    f"row {at}: the schema has no field {name}: {closest(str(name), schema.names)}"
                )
    columns = [_column([row.get(field.name) for row in rows], field) for field in schema]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _column(values: list[Any], field: pa.Field) -> pa.Array:
    """All at once where they are what the schema says, else one by one, which finds the one that is not."""
    kinds = set(map(type, values))
    if field.nullable:
        kinds.discard(type(None))
    accepted = next(each for each in _ACCEPTED if each.fits(field.type))
    if accepted.plain is not None and kinds <= {accepted.plain}:
        try:
            return pa.array(values, field.type)
        except (pa.ArrowException, OverflowError):
            pass  # one of them is beyond the type's range
    return pa.array([_typed(value, field, accepted, row) for row, value in enumerate(values)], field.type)


def _typed(value: Any, field: pa.Field, accepted: _Accepted, row: int) -> Any:
    kind, place = field.type, f"row {row}, {field.name}"
    if value is None:
        if field.nullable:
            return None
        raise ConfigurationError(f"{place}: it has no value, and the schema wants one")
    if pa.types.is_timestamp(kind):
        return _time(value, kind, place)
    if not isinstance(value, accepted.other) or (isinstance(value, bool) and accepted.other in (Integral, Real)):
        wanted = accepted.wanted.format(kind)
        raise ConfigurationError(f"{place}: {_shown(value)} is a {type(value).__name__}, and the schema has {wanted}")
    if pa.types.is_floating(kind) and isinstance(value, Integral) and abs(int(value)) > WHOLE_IN_A_DOUBLE:
        raise ConfigurationError(f"{place}: {value} is too large to be a double exactly; round it, or send a float")
    try:
        return pa.scalar(value.item() if hasattr(value, "item") else value, kind).as_py()
    except (pa.ArrowException, OverflowError, ValueError) as error:
        raise ConfigurationError(f"{place}: {_shown(value)} is no {kind}: {error}") from None


def _time(value: Any, kind: pa.DataType, place: str) -> Any:
    """Milliseconds; what lies between two of them is cut off, as clocks do."""
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ConfigurationError(
                f"{place}: {value.isoformat()} has no zone; give one, such as datetime.now(timezone.utc)"
            )
        milliseconds = pa.scalar(value, pa.timestamp("us", tz="UTC")).value // 1000
    elif type(value) is not bool and isinstance(value, Integral):
        milliseconds = int(value)
    else:
        raise ConfigurationError(
            f"{place}: {_shown(value)} is a {type(value).__name__}; give a datetime with a zone, "
            "or milliseconds since 1970"
        )
    try:
        return pa.scalar(milliseconds, pa.int64()).cast(kind)
    except (pa.ArrowException, OverflowError) as error:
        raise ConfigurationError(f"{place}: {milliseconds} is no time: {error}") from None


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:60] + "..."
