"""Packages that were registered."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RegisteredPackage:
    """A package that is to be judged.

    Attributes:
        event: that registered it.
        model: `name@version`.
        digest, uri: its identity, and where it is.
        run: the training that made it; empty where a person did.
    """

    event: str
    model: str
    digest: str
    uri: str
    run: str
