"""What is looked for in JSON texts, and what becomes of each text."""

from __future__ import annotations

from headrace.columnar.structs import Span, i8, kind_of

ABSENT, NULL, THERE, ESCAPED, WHOLE = range(5)
"""What stands where a value is due; `ESCAPED` is a string with backslashes in it, `WHOLE` a number without fraction."""
INTEGER, NUMBER, STRING, BOOLEAN, ANY = range(5)
"""Kinds of values that are due; `ANY` is an object, of which nothing is read but that it is there."""
GOOD, SYNTAX, TEXT, DEPTH, TWICE, KIND, FRACTION, RANGE, NO_OBJECT, TRAILING, EMPTY = range(11)
"""What became of a text: read, or why not."""
DEEPEST = 64
"""Levels of objects and arrays: deeper texts are refused."""


class Key:
    """A key that is looked for, in the object of a node."""

    start: i8
    """Where its bytes lie among those of all keys."""
    size: i8
    slot: i8
    """The column of its value; -1 where it is an object that is looked into."""
    node: i8
    """The node of that object; -1 where it is a value."""
    kind: i8
    """Of the value that is due."""


class Scanning:
    """The texts of a batch, what is looked for in them, and what was found."""

    base: i8
    """Where the texts lie."""
    offsets: Span
    """int32, texts + 1: where each begins and ends."""
    letters: Span
    """The bytes of all keys."""
    keys: Span
    """Of Key, those of a node side by side."""
    nodes: Span
    """int64, nodes + 1: where the keys of each begin."""
    behind: Span
    """int64, by node: the first that is neither it nor beneath it; nodes are in the order of a walk, top down."""
    states: Span
    """uint8 [columns, texts]."""
    values: Span
    """int64 [columns, texts]: the integer or boolean, or where a text or number begins << 32 | its length."""
    marks: Span
    """int64: by column, then by node, the last text that had it, from 1."""
    scratch: Span
    """Room for a key without its escapes."""


KEY, SCANNING = kind_of(Key), kind_of(Scanning)
