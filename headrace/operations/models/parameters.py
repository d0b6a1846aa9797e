"""Parameters of a trainer's library as a person writes them on a command line."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence

from headrace.errors import ConfigurationError

WORDS: Mapping[str, bool | None] = {"true": True, "false": False, "none": None, "null": None}


def parameters_of(given: Sequence[str]) -> dict[str, object]:
    """Parameters of a command line: numbers, texts, true, false, none, and Python's lists and mappings of these.

    >>> parameters_of(["max_depth=2", "learning_rate=1e-2", "criterion=gini", "bootstrap=false", "max_features=none"])
    {'max_depth': 2, 'learning_rate': 0.01, 'criterion': 'gini', 'bootstrap': False, 'max_features': None}

    Raises:
        ConfigurationError: one is no `key=value`, or a key is given twice.
    """
    found: dict[str, object] = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise ConfigurationError(f"--param {text}: write a name and a value, such as --param max_depth=2")
        if key in found:
            raise ConfigurationError(f"--param {key} is given twice")
        found[key] = _value(value)
    return found


def _value(text: str) -> object:
    if text.lower() in WORDS:
        return WORDS[text.lower()]
    try:
        value = ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text
    return value if isinstance(value, bool | int | float | str | list | dict) else text
