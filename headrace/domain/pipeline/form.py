"""Reads a mapping of the file entry by entry: each getter answers a value of the right type, or notes a problem.

A getter that noted a problem answers None, so that reading goes on and all mistakes are found at once; what is built
from such answers is thrown away.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from math import isfinite

from headrace.domain.pipeline import units
from headrace.domain.pipeline.document import Node, Problems, Scalar, closest

_NAME = re.compile(r"[a-z][a-z0-9_]*", re.ASCII)
_LONGEST_NAME = 100


class Form:
    """One mapping of the file, with the keys that may stand in it (None: any name).

    Args:
        node: what stands in the file, of any kind; None where the section is missing.
        known: allowed keys.
        example: how the section is written, shown where it is something else.
    """

    def __init__(self, node: Node | None, problems: Problems, known: Sequence[str] | None, example: str) -> None:
        self.problems = problems
        self.node = node if node is not None else Node("", 1, 1)
        self.entries = self.node.entries or {}
        if node is not None and node.entries is None:
            problems.add(node, f"should be a mapping, not {node.kind}", f"write {example}")
        for key in self.entries if known is not None else ():
            if known is not None and key not in known:
                problems.add(self.node.keys[key], f"unknown key {key}", closest(key, known))

    def __contains__(self, key: str) -> bool:
        return key in self.entries

    def node_of(self, key: str) -> Node:
        """Where to show a problem with an entry: itself, or the whole mapping where it is missing."""
        return self.entries.get(key, self.node)

    def require(self, key: str, remedy: str) -> Node | None:
        """An entry that must be there."""
        if key not in self.entries and self.node.entries is not None:
            self.problems.add(self.node, f"{key} is missing", remedy)
        return self.entries.get(key)

    def text(self, key: str) -> str | None:
        """A word or sentence."""
        node = self.entries.get(key)
        return text(node, self.problems) if node is not None else None

    def name(self, key: str) -> str | None:
        """A name: lower-case letters, digits and underscores."""
        found = self.text(key)
        return found if found is not None and legal_name(self.entries[key], found, self.problems) else None

    def choice(self, key: str, choices: Sequence[str]) -> str | None:
        """One of a few words."""
        found = self.text(key)
        if found is None or found in choices:
            return found
        self.problems.add(self.entries[key], f"{key} cannot be {found}", closest(found, choices))
        return None

    def number(self, key: str, low: float = -1e300, high: float = 1e300) -> float | None:
        """A finite number within bounds, both included."""
        node = self.entries.get(key)
        return number(node, self.problems, low, high) if node is not None else None

    def whole(self, key: str, low: int, high: int = 2**53) -> int | None:
        """A whole number within bounds, both included."""
        found = self.number(key, low, high)
        if found is None or found == int(found):
            return None if found is None else int(found)
        self.problems.add(self.entries[key], f"{key} should be a whole number", f"write {int(found)}")
        return None

    def flag(self, key: str) -> bool | None:
        """True or false."""
        node = self.entries.get(key)
        if node is None or isinstance(node.value, bool):
            return None if node is None else bool(node.value)
        self.problems.add(node, f"{key} should be true or false, not {node.kind}", "write true or false")
        return None

    def duration(self, key: str, least: int = 0) -> int | None:
        """Milliseconds, written `10m`."""
        node = self.entries.get(key)
        return duration(node, self.problems, least) if node is not None else None

    def items(self, key: str, example: str) -> tuple[Node, ...]:
        """The entries of a list; none where it is missing or no list."""
        node = self.entries.get(key)
        return items(node, self.problems, example) if node is not None else ()

    def named(self) -> Iterator[tuple[str, Node]]:
        """The entries of a mapping from names, but for those whose name is not legal."""
        for key, node in self.entries.items():
            if legal_name(self.node.keys[key], key, self.problems):
                yield key, node


def text(node: Node, problems: Problems) -> str | None:
    """A scalar as it is written: `1`, `on` and `no` are texts too."""
    if node.text is None or node.value is None or node.text == "":
        problems.add(node, f"should be a text, not {node.kind}", "write a word, in quotes if it holds : or #")
        return None
    return node.text


def legal_name(node: Node, name: str, problems: Problems) -> bool:
    """Whether a name can be part of a topic, an Avro record and a column; notes a problem otherwise."""
    if _NAME.fullmatch(name) and len(name) <= _LONGEST_NAME:
        return True
    legal = re.sub(r"[^a-z0-9_]+", "_", name.lower()).strip("_")[:_LONGEST_NAME]
    example = f", such as {legal}" if _NAME.fullmatch(legal) else ""
    problems.add(node, f"{name!r} is not a legal name", f"use a-z, 0-9 and _, a letter first{example}")
    return False


def number(node: Node, problems: Problems, low: float = -1e300, high: float = 1e300) -> float | None:
    """A finite number within bounds, both included."""
    value = node.value
    if isinstance(value, bool) or not isinstance(value, int | float):
        problems.add(node, f"should be a number, not {node.kind}", f"write a number{_bounds(low, high)}")
        return None
    if not (low <= value <= high) or not isfinite(value):
        problems.add(node, f"{node.text} is out of bounds", f"write a number{_bounds(low, high)}")
        return None
    return value


def _bounds(low: float, high: float) -> str:
    if high < 2**53:
        return f" between {low:g} and {high:g}"
    return f" of at least {low:g}" if low > -1e300 else ", such as 0.5"


def duration(node: Node, problems: Problems, least: int = 0) -> int | None:
    """Milliseconds, written `10m`."""
    written = text(node, problems)
    if written is None:
        return None
    try:
        length = units.milliseconds(written)
    except ValueError as error:
        problems.add(node, f"{written} is not a duration", str(error))
        return None
    if length < least:
        problems.add(node, f"{written} is too short", f"write at least {units.duration(least)}")
        return None
    return length


def share(node: Node, problems: Problems) -> float | None:
    """A fraction, written `25%`."""
    written = text(node, problems)
    if written is None:
        return None
    try:
        return units.share(written)
    except ValueError as error:
        problems.add(node, f"{written} is not a percentage", str(error))
        return None


def items(node: Node, problems: Problems, example: str) -> tuple[Node, ...]:
    """The entries of a list; none where it is no list."""
    if node.items is None:
        problems.add(node, f"should be a list, not {node.kind}", f"write {example}")
        return ()
    return node.items


def scalar(node: Node, problems: Problems) -> Scalar:
    """A number, text or boolean; None with a problem for anything else."""
    if node.value is None:
        problems.add(node, f"should be a single value, not {node.kind}", "write a number, a text, true or false")
    return node.value
