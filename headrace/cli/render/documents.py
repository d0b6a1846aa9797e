"""What operations answer as JSON documents, and as pictures: one way for all commands."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from typing import Any

import typer
from pydantic import BaseModel

from headrace.errors import ConfigurationError


def json_of(value: Any) -> Any:
    """A value as JSON has it: dataclasses and models as objects with their fields in order, tuples as lists.

    A trailing underscore keeps a field's name apart from Python's words and is left out.

    >>> from headrace.operations.history.story import LostModel
    >>> json_of({"lineage": (LostModel("sha256:00", "it is gone"),)})
    {'lineage': [{'digest': 'sha256:00', 'problem': 'it is gone'}]}
    """
    if is_dataclass(value):
        return {field.name.rstrip("_"): json_of(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return {name: json_of(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [json_of(inner) for inner in value]
    return value


@contextmanager
def drawing() -> Iterator[None]:
    """Around the import of what draws, which is an extra. ConfigurationError names it where it is missing."""
    try:
        yield
    except ModuleNotFoundError as missing:
        raise ConfigurationError(
            f"--plot needs {missing.name}: install the extra that brings it (pip install 'headrace[plot]')"
        ) from missing


def print_json(value: Any, indent: int | None = None) -> None:
    """Print a value as JSON: in a line, or indented."""
    typer.echo(json.dumps(json_of(value), indent=indent))
