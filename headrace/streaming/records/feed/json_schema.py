"""JSON Schema as a shape: what the types say. Bounds, patterns and lengths are not held: rules of a pipeline are."""

from __future__ import annotations

from typing import Any

from headrace.errors import ContractError
from headrace.streaming.records.feed.shape import (
    DEEPEST,
    MOST_PARTS,
    Group,
    Kind,
    Opaque,
    Scalar,
    ShapePart,
    TimeNotation,
    group_of,
)

_KINDS: dict[str, Kind] = {"integer": "integer", "number": "number", "string": "string", "boolean": "boolean"}


def shape_of(schema: dict[str, Any], name: str) -> Group:
    """The shape of the records that a JSON Schema describes.

    Raises:
        ContractError: they are no objects with named properties.
    """
    found = _Reader(schema).type(schema, 0, ())
    if not isinstance(found[0], Group) or not found[0].parts:
        why = found[0].why if isinstance(found[0], Opaque) else "it names no properties"
        raise ContractError(f"{name}: a record must be an object with properties: {why}")
    return found[0]


class _Reader:
    def __init__(self, root: dict[str, Any]) -> None:
        self.root = root
        self.parts = 0

    def type(self, schema: object, depth: int, open_: tuple[str, ...]) -> tuple[Scalar | Group | Opaque, bool]:
        """What a schema describes, and whether null is among it."""
        self.parts += 1
        if self.parts > MOST_PARTS:
            raise ContractError(f"the schema spells more than {MOST_PARTS} parts")
        if depth > DEEPEST:
            return Opaque(f"nested deeper than {DEEPEST}"), False
        if not isinstance(schema, dict):
            return Opaque("no type is said"), True
        if "$ref" in schema:
            return self.reference(str(schema["$ref"]), depth, open_)
        for word in ("anyOf", "oneOf"):
            if isinstance(schema.get(word), list):
                return self.one_of(schema[word], depth, open_)
        if isinstance(schema.get("allOf"), list) and len(schema["allOf"]) == 1:
            return self.type(schema["allOf"][0], depth + 1, open_)
        told = schema.get("type", _implied(schema))
        words = [str(word) for word in told] if isinstance(told, list) else [str(told)]
        nullable = "null" in words
        words = [word for word in words if word != "null"]
        if set(words) == {"integer", "number"}:
            words = ["number"]
        if len(words) != 1:
            return Opaque(f"it may be {' or '.join(words) or 'null alone'}, and a column is of one type"), nullable
        return self.single(words[0], schema, depth, open_), nullable

    def single(self, word: str, schema: dict[str, Any], depth: int, open_: tuple[str, ...]) -> Scalar | Group | Opaque:
        if word in _KINDS:
            time = TimeNotation("iso") if word == "string" and schema.get("format") == "date-time" else None
            return Scalar(_KINDS[word], time)
        if word != "object":
            return Opaque(f"it is {'an array' if word == 'array' else 'of no type that is known'}")
        properties = schema.get("properties")
        required = schema.get("required")
        needed = {str(name) for name in required} if isinstance(required, list) else set()
        parts = []
        for name, inner in properties.items() if isinstance(properties, dict) else ():
            kind, nullable = self.type(inner, depth + 1, open_)
            parts.append(ShapePart(str(name), kind, nullable, name not in needed))
        return group_of(parts)

    def reference(self, text: str, depth: int, open_: tuple[str, ...]) -> tuple[Scalar | Group | Opaque, bool]:
        if text in open_:
            return Opaque("it contains itself"), False
        here: Any = self.root
        for step in text.removeprefix("#").split("/")[1:] if text.startswith("#") else ["\0"]:
            here = here.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(here, dict) else None
        if here is None:
            return Opaque(f"it refers to {text[:80]}, which is not in the file"), False
        return self.type(here, depth + 1, (*open_, text))

    def one_of(self, choices: list[Any], depth: int, open_: tuple[str, ...]) -> tuple[Scalar | Group | Opaque, bool]:
        others = [choice for choice in choices if not (isinstance(choice, dict) and choice.get("type") == "null")]
        if len(others) != 1:
            return Opaque(f"it is one of {len(others)} things, and a column is of one type"), False
        found, nullable = self.type(others[0], depth + 1, open_)
        return found, nullable or len(others) < len(choices)


def _implied(schema: dict[str, Any]) -> object:
    """The type of a schema that does not say it."""
    if "properties" in schema:
        return "object"
    values = schema.get("enum", [schema["const"]] if "const" in schema else [])
    if isinstance(values, list) and values:
        words = {_word(value) for value in values}
        return sorted(words)
    return "any"


def _word(value: object) -> str:
    match value:
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
        case None:
            return "null"
    return "other"
