"""YAML of strangers, read within bounds: plain data, every value as it is written, and errors of ours.

YAML is a language: ten lines can stand for a billion entries, a number can take minutes, brackets can be deeper than a
stack, and tags make objects. A description of a model needs none of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, ClassVar

import yaml

from headrace.errors import ContractError

LARGEST = 4 << 20
"""Bytes of a file."""
DEEPEST = 16
"""Lists and mappings within each other."""
MOST = 250_000
"""Values of a file."""
LONGEST = 40
"""Digits of a number."""
_WHOLE = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_PLAIN = "tag:yaml.org,2002:"


def read(text: bytes, where: str) -> Any:
    """What a text says: mappings, lists, texts, numbers, true, false, null. Dates are texts.

    Args:
        text: UTF-8, one document.
        where: what is read, for messages.

    Raises:
        ContractError: with the line, and what to write instead.
    """
    if len(text) > LARGEST:
        raise ContractError(f"{where} has {len(text):,} bytes; {LARGEST:,} are allowed")
    try:
        told = text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ContractError(f"{where} is not UTF-8 at byte {error.start}: save it as UTF-8") from None
    try:
        _measure(told)
        return yaml.load(told, Loader=_PlainLoader)  # our own loader makes plain data alone
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f"line {mark.line + 1}: " if mark else ""
        raise ContractError(f"{where} is not plain YAML: {line}{_brief(error.problem or error.context)}") from None
    except yaml.YAMLError as error:
        raise ContractError(f"{where} is not YAML: {_brief(error)}") from None


def _measure(text: str) -> None:
    """Raise where a text is deeper or longer than it may be, or repeats itself, before anything is made of it."""
    depth = 0
    for count, event in enumerate(yaml.parse(text, Loader=yaml.CSafeLoader)):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise _fault(event, f"lists and mappings stand within each other more than {DEEPEST} deep")
        if count > 2 * MOST:
            raise _fault(event, f"there are more than {MOST:,} values")
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise _fault(event, "anchors and aliases are not read: write the value out at every place")


def _fault(at: Any, problem: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=at.start_mark)


class _PlainLoader(yaml.CSafeLoader):
    """Knows plain data alone."""

    yaml_constructors: ClassVar[dict[Any, Callable[..., Any]]] = {}


def _mapping(loader: Any, node: yaml.Node) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    if not isinstance(node, yaml.MappingNode):
        raise _fault(node, "a mapping is expected")
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise _fault(key, "a list or a mapping cannot be a name: write a text")
        name = loader.construct_object(key)
        if name in found:
            raise _fault(key, f"{_brief(name)} stands there twice: write it once")
        found[name] = loader.construct_object(value, deep=True)
    return found


def _list(loader: Any, node: yaml.Node) -> list[Any]:
    if not isinstance(node, yaml.SequenceNode):
        raise _fault(node, "a list is expected")
    return [loader.construct_object(value, deep=True) for value in node.value]


def _text(loader: Any, node: yaml.Node) -> str:
    text = _scalar(node)
    if not all(c.isprintable() or c in "\n\t" for c in text):
        raise _fault(node, "a text has characters that cannot be shown: take them away")
    return text


def _integer(loader: Any, node: yaml.Node) -> int:
    text = _scalar(node)
    if len(text) > LONGEST:
        raise _fault(node, f"a number of {len(text):,} digits: write it in quotes if it is a text")
    if not _WHOLE.fullmatch(text):
        raise _fault(node, f"{text} may be read in two ways: write a decimal number, or a text in quotes")
    return int(text)


def _float(loader: Any, node: yaml.Node) -> float:
    text = _scalar(node)
    if len(text) > LONGEST:
        raise _fault(node, f"a number of {len(text):,} digits: write it in quotes if it is a text")
    if ":" in text or "_" in text:
        raise _fault(node, f"{_brief(text)} may be read in two ways: write a decimal number, or a text in quotes")
    try:
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    except ValueError:
        raise _fault(node, f"{_brief(text)} is no number") from None


def _boolean(loader: Any, node: yaml.Node) -> bool | str:
    """True and false; yes, no, on and off are texts, as they are written: somebody's classes may be called so."""
    text = _scalar(node)
    if text.lower() not in yaml.constructor.SafeConstructor.bool_values:
        raise _fault(node, f"{_brief(text)} is neither true nor false")
    return text.lower() == "true" if text.lower() in ("true", "false") else text


def _null(loader: Any, node: yaml.Node) -> None:
    _scalar(node)


def _unknown(loader: Any, node: yaml.Node) -> Any:
    tag = str(node.tag).replace(_PLAIN, "!!")
    raise _fault(node, f"{_brief(tag)} is not read: write texts, numbers, lists and mappings alone")


def _scalar(node: yaml.Node) -> str:
    if not isinstance(node, yaml.ScalarNode):
        raise _fault(node, "a single value is expected")
    return str(node.value)


def _brief(told: object) -> str:
    text = "".join(c if c.isprintable() else "?" for c in str(told))
    return text if len(text) <= 200 else f"{text[:200]}..."


for _kind, _maker in {
    "map": _mapping,
    "seq": _list,
    "str": _text,
    "int": _integer,
    "float": _float,
    "bool": _boolean,
    "null": _null,
    "timestamp": _text,
}.items():
    _PlainLoader.yaml_constructors[_PLAIN + _kind] = _maker
_PlainLoader.yaml_constructors[None] = _unknown
