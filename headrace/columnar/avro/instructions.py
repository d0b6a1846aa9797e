"""What a schema's program is made of, and what becomes of a record that it runs over."""

from __future__ import annotations

from headrace.columnar.structs import Span, i8, kind_of

(
    END,
    LONG,
    INT,
    BOOL,
    FLOAT,
    DOUBLE,
    STRING,
    BYTES,
    ENUM,
    UNION,
    BEGIN,
    NEXT,
    GOTO,
    ZERO,
    MARK,
    STEP,
    BRANCH,
    FIXED,
    ONE,
) = range(19)
"""Operations."""

GOOD, NULL_VALUE, OVERSIZE, TRUNCATED, WRONG_MAGIC, UNKNOWN_SCHEMA, TRAILING_BYTES, MALFORMED = range(8)
"""What became of a record."""
HEADER = 5
"""Bytes before every record: 0, and the four of its schema's id."""


class Instruction:
    """A line of a program: what to do with which buffer at the position of which scope."""

    operation: i8
    buffer: i8
    scope: i8
    argument: i8
    """A width, a number of bytes or choices, the branch that is null, or the scope that is opened or told of."""
    target: i8
    """The line to go on with where the next one is not meant."""


class Scope:
    """A place where a number of items stand side by side, see `program`."""

    least: i8
    """Bytes of the smallest item."""
    capacity: i8
    """Items that its buffers have room for."""
    filled: i8
    """Items in them: the position at which the next one goes."""
    before: i8
    """Items in them before the record at hand."""
    left: i8
    """Items to come of the block at hand."""
    must: i8
    """Where the block at hand must end; 0: it does not say."""


class Decoding:
    """Records of a batch, the program that reads them, and what it fills."""

    base: i8
    """Where their bytes lie."""
    offsets: Span
    """int32, records + 1: where each begins and ends."""
    wanted: i8
    """Id of the schema that the program is of."""
    program: Span
    buffers: Span
    """int64, by number: where they lie."""
    scopes: Span
    """Of Scope; the first holds the records."""
    full: i8
    """The scope that has too little room."""
    need: i8
    """How many items it must have room for."""


class Written:
    """A buffer of a column that is written."""

    values: i8
    """Where its values, offsets or bits lie; 0 where there is no validity, for all are present."""
    data: i8
    """Where the bytes of a text column lie."""
    first_bit: i8
    """Which bit is the first, of validity and of booleans."""


class Encoding:
    """Columns of a batch, and the program that writes them."""

    rows: i8
    number: i8
    """Id of the schema, for the headers."""
    program: Span
    buffers: Span
    """Of Written, by number."""
    scopes: i8
    """How many there are."""


INSTRUCTION, SCOPE = kind_of(Instruction), kind_of(Scope)
DECODING, ENCODING, WRITTEN = kind_of(Decoding), kind_of(Encoding), kind_of(Written)
