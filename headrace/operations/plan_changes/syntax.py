"""Shares and ensembles as a person writes them on a command line."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TypeVar

from headrace.domain.models.ensembles import COMBINATIONS, MEAN, STACKING, WEIGHTED, digest_of
from headrace.domain.models.store import Stored
from headrace.domain.plans.plans import SHADOW, SINGLE, Arm, EnsembleMember
from headrace.errors import ConfigurationError

TITLE = re.compile(r"[a-z][a-z0-9_-]*@[A-Za-z0-9][A-Za-z0-9._-]*")
Number = TypeVar("Number", int, float)
ENSEMBLE = "write NAME@VERSION=mean:MODEL,MODEL or weighted:MODEL,MODEL:WEIGHT,WEIGHT or stacking:MODEL,MODEL"


def share_of(text: str) -> float:
    """A share as a person writes it, 0 to 1.

    >>> share_of("5%"), share_of("0.125")
    (0.05, 0.125)

    Raises:
        ConfigurationError: it is none.
    """
    number, percent, _ = text.strip().partition("%")
    try:
        share = float(number) / (100 if percent else 1)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise ConfigurationError(f"{text} is no share of the entities: write 5% or 0.05")
    return share


def ensemble(text: str, threshold: float, find: Callable[[str], Stored]) -> Arm:
    """The ensemble that a person describes, as `ENSEMBLE` says; its part is not settled yet.

    Args:
        text: the description.
        threshold: of an ensemble without a package.
        find: the package that a text means.

    Raises:
        ConfigurationError: it describes none.
    """
    title, _, recipe = text.partition("=")
    combination, *rest = recipe.split(":")
    if not TITLE.fullmatch(title) or len(rest) not in (1, 2) or combination not in set(COMBINATIONS) - {SINGLE}:
        raise ConfigurationError(f"{text} is no ensemble: {ENSEMBLE}")
    names = rest[0].split(",")
    try:
        weights = [float(weight) for weight in rest[1].split(",")] if len(rest) == 2 else [1.0] * len(names)
    except ValueError:
        raise ConfigurationError(f"{text}: {rest[1]} are no weights: {ENSEMBLE}") from None
    if len(weights) != len(names) or len(names) < 2:
        raise ConfigurationError(f"{text}: {len(names)} models and {len(weights)} weights: {ENSEMBLE}")
    if len(rest) == 2 and combination == MEAN:
        combination = WEIGHTED
    found = [find(name) for name in names]
    members = tuple(
        EnsembleMember(stored.name, stored.version, stored.digest, stored.uri, weight)
        for stored, weight in zip(found, weights, strict=True)
    )
    name, _, version = title.partition("@")
    if combination == STACKING:
        own = find(title)
        return Arm(SHADOW, name, version, own.digest, own.uri, combination=combination, members=members)
    digest = digest_of(combination, members)
    return Arm(SHADOW, name, version, digest, "", threshold=threshold, combination=combination, members=members)


def numbers(option: str, texts: Sequence[str], kind: Callable[[str], Number]) -> dict[str, Number]:
    """Numbers by model, from `NAME@VERSION=NUMBER`.

    >>> numbers("threshold", ["m@1=0.5"], float)
    {'m@1': 0.5}

    Raises:
        ConfigurationError: a text is not of that form.
    """
    found = {}
    for text in texts:
        title, _, number = text.partition("=")
        try:
            found[title] = kind(number)
        except ValueError:
            raise ConfigurationError(f"--{option} {text}: write NAME@VERSION=NUMBER") from None
    return found
