"""Packages held against all that a pipeline asks of them, and put into the store when they are good."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from headrace.domain.models.checks.verification import PackageCheck, verify
from headrace.domain.models.package import FILES, ModelPackage, load
from headrace.domain.models.store import ModelStore
from headrace.domain.pipeline.wiring import Contracts
from headrace.errors import ConfigurationError
from headrace.operations.models.store_access import copied, store_at
from headrace.operations.plan_changes.lookup import choose, is_digest
from headrace.operations.progress import Say


@dataclass(frozen=True, slots=True)
class PackageFolder:
    """What is checked; see `domain.models.verification.verify`."""

    name: str
    folder: Path
    digest: str | None = None
    title: str | None = None
    earlier: Path | None = None


@dataclass(frozen=True, slots=True)
class VerifiedPackage:
    """A package and how its checks went."""

    package: str
    passed: bool
    checks: Sequence[PackageCheck]


@dataclass(frozen=True, slots=True)
class CheckedPackage:
    """A package that was offered to the store."""

    checks: Sequence[PackageCheck]
    added: bool


@dataclass(frozen=True, slots=True)
class AddedPackage(CheckedPackage):
    """One that is stored now, as `name@version`."""

    model: str
    digest: str
    uri: str


@contextmanager
def package_folder(model: str, models: str) -> Iterator[PackageFolder]:
    """The package that a person means: a directory, or one of the store, which is then copied past the cache.

    Raises:
        ConfigurationError: there is none; says what there is.
    """
    path = Path(model)
    if path.is_dir() and ("/" in model or any((path / name).exists() for name in FILES)):
        # A package's folder in a model store is named after its digest; other folders promise nothing.
        folder = path.resolve()
        yield PackageFolder(model, folder, f"sha256:{folder.name}" if is_digest(folder.name) else None)
        return
    store = store_at(models)
    try:
        stored = choose(store.packages(), model)
    except ConfigurationError as error:
        raise ConfigurationError(f"{error} (and there is no directory {model})") from None
    with copied(store, stored) as folder:
        yield PackageFolder(stored.title, folder, stored.digest, stored.title, store.fetched(stored.digest))


def verify_package(
    model: str, models: str, contracts: Contracts | None, begun: Say, tell: Callable[[PackageCheck], None]
) -> VerifiedPackage:
    """Check a package that a person names, as it lies there.

    Args:
        model: a directory, or one of the model store `models`.
        contracts: of a pipeline that it is held to, where one is given.
        begun: told the package's name.
        tell: told each check as it is done: some take seconds.

    Raises:
        ConfigurationError: there is no such package; says what there is.
    """
    checks = []
    with package_folder(model, models) as package:
        begun(package.name)
        for check in checks_of(package, contracts):
            checks.append(check)
            tell(check)
    return VerifiedPackage(package.name, passed(checks), checks)


def checks_of(package: PackageFolder, contracts: Contracts | None) -> Iterator[PackageCheck]:
    """Each check as it is done, against a pipeline where one is given."""
    features = None if contracts is None else contracts.channel("features").codec.reader.arrow
    if contracts is None:
        return verify(package.folder, package.digest, package.title, None, package.earlier)
    model = contracts.pipeline.model
    return verify(
        package.folder, package.digest, package.title, features, package.earlier, model.output, classes=model.classes
    )


def passed(checks: Sequence[PackageCheck]) -> bool:
    """Whether none of them failed."""
    return not any(one.state == "failed" for one in checks)


def add_package(directory: Path, store: ModelStore, contracts: Contracts | None) -> CheckedPackage:
    """Check a package that was made elsewhere and put it into the store as it is; nothing is stored when a check fails.

    Raises:
        ConfigurationError: there is no such directory, or another package of that name and version is stored already.
    """
    if not directory.is_dir():
        raise ConfigurationError(f"there is no directory {directory}: name one with model.onnx and model.yaml")
    checks = list(checks_of(PackageFolder(str(directory), directory), contracts))
    if not passed(checks):
        return CheckedPackage(checks, added=False)
    package = load(directory)
    return AddedPackage(checks, True, package.title, package.digest, put_package(package, store))


def put_package(package: ModelPackage, store: ModelStore) -> str:
    """Put a checked package into the store, as it is; its uri. One that is there already stays.

    Raises:
        ConfigurationError: another package of that name and version is stored already.
    """
    others = [one for one in store.packages() if one.title == package.title and one.digest != package.digest]
    if others:
        raise ConfigurationError(
            f"another {package.title} is in the model store already ({others[0].digest[:15]}): give this one a "
            "version of its own in model.yaml"
        )
    return store.put(package)
