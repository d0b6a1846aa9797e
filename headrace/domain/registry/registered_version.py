"""A version of a registered model, and what it is called here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from headrace.domain.registry.model_source import VersionSource

LONGEST_USER = 100


@dataclass(frozen=True, slots=True)
class RegisteredVersion:
    """A version of a model in a registry; what it was made of never changes.

    Attributes:
        model, version: its name and number there.
        run: that made it; empty where none did.
        source: where its files are, as the registry says.
        created: milliseconds since the epoch.
        user: who registered it, as the registry says; empty where it does not.
        ready: whether its files are there.
        tags: what people and programs wrote about it; they change.
    """

    model: str
    version: int
    run: str
    source: str
    created: int
    user: str = ""
    ready: bool = True
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def uri(self) -> str:
        """As MLflow writes it."""
        return f"models:/{self.model}/{self.version}"

    @property
    def source_of(self) -> VersionSource:
        """By which its files are asked for."""
        return VersionSource(self.model, self.version)

    @property
    def identity(self) -> str:
        """The same for the same version and no other, also where a registry was emptied and begun anew.

        >>> RegisteredVersion("fraud", 7, "0f3a", "s3://m", 1_700_000_000_000).identity
        'mlflow/fraud/7/0f3a/1700000000000'
        """
        return f"mlflow/{self.model}/{self.version}/{self.run or 'no-run'}/{self.created}"

    @property
    def package_version(self) -> str:
        """The version of its package: the number there, and enough of the identity to tell it from another 7.

        >>> RegisteredVersion("fraud", 7, "0f3a", "s3://m", 1_700_000_000_000).package_version
        'mlflow-7-634e539e'
        """
        return f"mlflow-{self.version}-{sha256(self.identity.encode()).hexdigest()[:8]}"


def origin_of(version: RegisteredVersion) -> dict[str, Any]:
    """What the package of a version says of where it came from, plain values."""
    return {
        "model": version.model,
        "version": version.version,
        "run": version.run,
        "source": version.source,
        "created": version.created,
        "identity": version.identity,
    }


_IDENTITY = re.compile(r"mlflow/([^/]+)/([0-9]+)/([^/]+)/([0-9]+)")


def version_named(identity: str) -> tuple[str, int] | None:
    """(model, version) of the identity of a version; None where it is none.

    >>> version_named("mlflow/fraud/7/0f3a/1700000000000"), version_named("person/ada/model_registered/1")
    (('fraud', 7), None)
    """
    found = _IDENTITY.fullmatch(identity)
    return None if found is None else (found[1], int(found[2]))
