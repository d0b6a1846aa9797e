"""A YAML file as a tree that knows its lines, and the list of what is wrong with it.

Only plain data passes: no tags, no anchors, no second document, no key twice. Everything wrong is collected, so a
person reads all of it at once.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

Scalar = str | int | float | bool | None

LARGEST = 1 << 18
"""Bytes; a pipeline file is a page of text, and one of a thousand features some pages."""
MOST = 200
"""Mistakes that are looked for: nobody reads more of them at once."""
_LONGEST_QUOTE = 400
_LONGEST_NUMBER = 40
_LONGEST_WORD = 100
_MANY = 1_000
_DEEPEST = 12
_OCTAL = re.compile(r"[-+]?0[0-9_]+")
_LOADER: Any = getattr(
    yaml, "CSafeLoader", yaml.SafeLoader
)  # libyaml's takes a tenth of the time, where it is built in


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One mistake in a file: where (line and column from 1), in which entry (`views.customer.key`), what to do."""

    line: int
    column: int
    path: str
    message: str
    remedy: str

    def __str__(self) -> str:
        where = f"{self.line}:{self.column}: " + (f"{self.path}: " if self.path else "")
        return f"{where}{self.message} ({self.remedy})"


@dataclass(frozen=True, slots=True)
class Node:
    """An entry of the file: a scalar (`value`, and `text` as written), a list (`items`) or a mapping (`entries`).

    `keys` are the places of the keys themselves, where a mistake in a key is shown.
    """

    path: str
    line: int
    column: int
    value: Scalar = None
    text: str | None = None
    items: tuple[Node, ...] | None = None
    entries: dict[str, Node] | None = None
    keys: dict[str, Node] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """What it is, for a message."""
        if self.entries is not None:
            return "a mapping"
        if self.items is not None:
            return "a list"
        names: dict[type, str] = {bool: "a boolean", int: "a number", float: "a number", str: "a text"}
        return names.get(type(self.value), "empty")


class TooMany(Exception):
    """There are more mistakes than anybody reads: the file is not looked at any further."""


@dataclass(slots=True)
class Problems:
    """Collects what is wrong."""

    found: list[Problem] = field(default_factory=list)

    def add(self, node: Node, message: str, remedy: str) -> None:
        """Note a mistake at a node. After the last of `MOST`, TooMany: whoever reads a file ends with it."""
        message, remedy, path = (_cut(text) for text in (message, remedy, node.path))
        self.found.append(Problem(node.line, node.column, path, message, remedy))
        if len(self.found) >= MOST:
            more = f"that makes {MOST} mistakes: the rest of the file was not looked at"
            self.found.append(Problem(node.line, node.column, "", more, "mend these first"))
            raise TooMany


def _cut(text: str) -> str:
    """What is told of a file is short, whatever stands in it."""
    if len(text) <= _LONGEST_QUOTE:
        return text
    half = _LONGEST_QUOTE // 2
    return f"{text[:half]} ... {text[-half:]}"


def closest(word: str, known: Iterable[str]) -> str:
    """A remedy for an unknown word: the known one nearest to it, or all of them."""
    names = list(known)
    near = difflib.get_close_matches(word[:_LONGEST_WORD], names[:_MANY], n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]}?"
    more = f" and {len(names) - _MANY} more" if len(names) > _MANY else ""
    return f"known are {', '.join(names[:_MANY])}{more}" if names else "none are known here"


def read(path: Path, problems: Problems) -> Node | None:
    """The tree of a YAML file, or None (and problems) where there is none to be had."""
    top = Node("", 1, 1)
    try:
        content = path.read_bytes()
    except OSError as error:
        problems.add(top, f"cannot be read: {error.strerror}", "name a pipeline file that exists")
        return None
    if len(content) > LARGEST:
        problems.add(top, f"has {len(content)} bytes", f"keep it under {LARGEST} bytes")
        return None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        problems.add(top, f"is not UTF-8 at byte {error.start}", "save it as UTF-8")
        return None
    return parse(text, problems)


def parse(text: str, problems: Problems) -> Node | None:
    """The tree of a YAML text, or None where it is not YAML, is empty, or holds what plain data does not need."""
    before = len(problems.found)
    _find_tabs(text, problems)
    if len(problems.found) > before:
        return None  # the scanner would stop at the first of them, with a message about tokens
    try:
        safe = _find_unsafe(text, problems)
        root = yaml.compose(text, Loader=_LOADER) if safe else None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Node("", mark.line + 1, mark.column + 1) if mark else Node("", 1, 1)
        problems.add(place, f"not YAML: {error.problem or error.context}", "look at brackets, colons and indentation")
        return None
    except yaml.YAMLError as error:
        problems.add(Node("", 1, 1), f"not YAML: {error}", "remove characters that are not text")
        return None
    if root is None:
        if safe:
            problems.add(Node("", 1, 1), "is empty", "start with pipeline: NAME")
        return None
    return _node(root, "", problems)


def _find_tabs(text: str, problems: Problems) -> None:
    for number, line in enumerate(text.splitlines(), start=1):
        indent = line[: len(line) - len(line.lstrip())]
        if "\t" in indent and line.strip():
            problems.add(Node("", number, indent.index("\t") + 1), "a tab in the indentation", "indent with spaces")


def _find_unsafe(text: str, problems: Problems) -> bool:
    """Look through the flat events before a tree is built: nesting and aliases are what make YAML explode."""
    before = len(problems.found)
    depth = documents = 0
    for event in yaml.parse(text, Loader=_LOADER):
        mark = event.start_mark
        assert mark is not None, "the parser marks every event"
        place = Node("", mark.line + 1, mark.column + 1)
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents == 2:
                problems.add(place, "a second document", "keep one pipeline a file, without ---")
        elif isinstance(event, yaml.AliasEvent):
            problems.add(place, f"an alias, *{event.anchor}", "write the value out")
        elif isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _DEEPEST:
                problems.add(place, "nested too deeply", "follow the shape in the documentation")
                return False
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if isinstance(event, yaml.ScalarEvent) and any("\ud800" <= letter <= "\udfff" for letter in event.value):
            problems.add(
                place, "half of a character (a lone surrogate)", "write the character itself, or \\U and 8 digits"
            )
        if isinstance(event, yaml.CollectionStartEvent | yaml.ScalarEvent) and event.tag is not None:
            problems.add(place, f"a tag, {event.tag}", "write plain values: tags could run code and are not read")
    return len(problems.found) == before


def _node(node: yaml.Node, path: str, problems: Problems) -> Node:
    line, column = node.start_mark.line + 1, node.start_mark.column + 1
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, path, problems)
    if isinstance(node, yaml.SequenceNode):
        items = tuple(_node(item, f"{path}[{i}]", problems) for i, item in enumerate(node.value))
        return Node(path, line, column, items=items)
    assert isinstance(node, yaml.ScalarNode), "a node is a mapping, a list or a scalar"
    return Node(path, line, column, value=_scalar(node, path, problems), text=node.value)


def _mapping(node: yaml.MappingNode, path: str, problems: Problems) -> Node:
    entries: dict[str, Node] = {}
    keys: dict[str, Node] = {}
    for key, value in node.value:
        line, column = key.start_mark.line + 1, key.start_mark.column + 1
        if not isinstance(key, yaml.ScalarNode):
            problems.add(Node(path, line, column), "a key that is not a word", "write name: value")
            continue
        # Keys are taken as written: YAML 1.1 would read `on` and `no` as booleans.
        inner = f"{path}.{key.value}" if path else key.value
        place = Node(inner, line, column, value=key.value, text=key.value)
        if key.value in entries:
            first = keys[key.value].line
            problems.add(place, f"{key.value} is written twice, first on line {first}", "keep one of them")
            continue
        keys[key.value] = place
        entries[key.value] = _node(value, inner, problems)
    return Node(path, node.start_mark.line + 1, node.start_mark.column + 1, entries=entries, keys=keys)


def _scalar(node: yaml.ScalarNode, path: str, problems: Problems) -> Scalar:
    """The value of a scalar. A number that YAML reads otherwise than a person would is a mistake."""
    kind = node.tag.rpartition(":")[2]
    text = str(node.value)
    if kind in ("int", "float"):
        place = Node(path, node.start_mark.line + 1, node.start_mark.column + 1)
        if len(text) > _LONGEST_NUMBER:
            problems.add(place, f"a number of {len(text)} characters", "write it with fewer digits")
            return 0
        if ":" in text:
            return text  # YAML 1.1 counts it in sixties: 1:30 would be 90.
        if _OCTAL.fullmatch(text):
            problems.add(place, f"{text} begins with 0, which YAML counts in eights", "leave the leading 0 out")
            return 0
    loader = yaml.constructor.SafeConstructor()
    try:
        if kind == "int":
            return int(loader.construct_yaml_int(node))
        if kind == "float":
            return float(loader.construct_yaml_float(node))
    except ValueError:
        return text
    if kind == "bool":
        return bool(loader.construct_yaml_bool(node))
    return None if kind == "null" else text
