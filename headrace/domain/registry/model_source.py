"""Where a model of MLflow is, as MLflow itself writes it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from headrace.errors import ConfigurationError

WAYS = "write models:/NAME@ALIAS, models:/NAME/VERSION, runs:/RUN/PATH, or the directory that a model was saved in"
_ALIAS = re.compile(r"models:/+([^/:@]+)@([A-Za-z0-9_-]+)")
_VERSION = re.compile(r"models:/+([^/:@]+)/([0-9]+)")
_RUN = re.compile(r"runs:/+([A-Za-z0-9]+)/(.+)")


@dataclass(frozen=True, slots=True)
class AliasSource:
    """`models:/name@alias`: whatever version the alias names when one looks."""

    model: str
    alias: str

    def __str__(self) -> str:
        return f"models:/{self.model}@{self.alias}"


@dataclass(frozen=True, slots=True)
class VersionSource:
    """`models:/name/7`."""

    model: str
    version: int

    def __str__(self) -> str:
        return f"models:/{self.model}/{self.version}"


@dataclass(frozen=True, slots=True)
class RunSource:
    """`runs:/RUN/PATH`: what a run logged."""

    run: str
    path: str

    def __str__(self) -> str:
        return f"runs:/{self.run}/{self.path}"


ModelSource = AliasSource | VersionSource | RunSource


def read_source(text: str) -> ModelSource:
    """What a person wrote.

    >>> read_source("models:/fraud@challenger"), read_source("models:/fraud/7"), read_source("runs:/0f3a/model")
    (AliasSource(model='fraud', alias='challenger'), VersionSource(model='fraud', version=7), RunSource(run='0f3a', \
path='model'))

    Raises:
        ConfigurationError: it is none of these.
    """
    if found := _ALIAS.fullmatch(text):
        return AliasSource(found[1], found[2])
    if found := _VERSION.fullmatch(text):
        return VersionSource(found[1], int(found[2]))
    if found := _RUN.fullmatch(text):
        return RunSource(found[1], found[2])
    raise ConfigurationError(f"{text} names no model of MLflow: {WAYS}")
