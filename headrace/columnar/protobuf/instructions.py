"""What is looked for in Protobuf messages, and what becomes of each message."""

from __future__ import annotations

from headrace.columnar.structs import Span, i8, kind_of

UNSET, SET = 0, 2
"""What stands where a value is due."""
SIGNED, UNSIGNED, ZIGZAG, SIGNED32, UNSIGNED32, ZIGZAG32, BOOL, FIXED64, SFIXED64, DOUBLE, FIXED32, SFIXED32, FLOAT, \
    TEXT, STAMP, MESSAGE = range(16)  # fmt: skip  # one list
"""How a field is written; `STAMP` is a google.protobuf.Timestamp, read as milliseconds."""
GOOD, TRUNCATED, MALFORMED, WIRE, RANGE, DEPTH = range(6)
"""What became of a message."""
DEEPEST = 64
"""Levels of messages and groups."""
WIRES: dict[int, int] = {
    SIGNED: 0, UNSIGNED: 0, ZIGZAG: 0, SIGNED32: 0, UNSIGNED32: 0, ZIGZAG32: 0, BOOL: 0, FIXED64: 1, SFIXED64: 1,
    DOUBLE: 1, TEXT: 2, STAMP: 2, MESSAGE: 2, FIXED32: 5, SFIXED32: 5, FLOAT: 5,
}  # fmt: skip  # one table
"""The wire type of each."""


class MessageField:
    """A field that is looked for, in the message of a node."""

    number: i8
    slot: i8
    """The column of its value; -1 where it is a message that is looked into."""
    node: i8
    """The node of that message; -1 where it is a value."""
    kind: i8
    wire: i8
    implicit: i8
    """1: not written means 0, or an empty text, where its message is there."""
    choice: i8
    """Of the fields of one number here only the last that is written is set; -1: it is of none."""


class MessageParse:
    """The messages of a batch, what is looked for in them, and what was found."""

    base: i8
    offsets: Span
    """int32, messages + 1: where each begins and ends."""
    fields: Span
    """Of MessageField, those of a node side by side."""
    nodes: Span
    """int64, nodes + 1: where the fields of each begin."""
    behind: Span
    """int64, by node: the first that is neither it nor beneath it; nodes are in the order of a walk, top down."""
    states: Span
    """uint8 [columns, messages]."""
    values: Span
    """int64 [columns, messages]: the integer, the bits of the number, or where a text begins << 32 | its length."""


FIELD, PARSING = kind_of(MessageField), kind_of(MessageParse)
