"""`headrace models add` of a model of MLflow: a version, what a run logged, or a directory becomes a stored package."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from headrace.domain.models.store import ModelStore
from headrace.domain.pipeline.registry.spec import ModelRegistry
from headrace.domain.pipeline.wiring import Contracts
from headrace.domain.registry.logged_model import MLMODEL, pickle_in
from headrace.domain.registry.model_source import AliasSource, ModelSource, RunSource, read_source
from headrace.domain.registry.registered_version import origin_of
from headrace.errors import ConfigurationError, ContractError
from headrace.operations.models.verification import put_package
from headrace.operations.progress import ProgressView
from headrace.operations.registry.intake import understand
from headrace.operations.registry.mlflow_door import LARGEST_MODEL, MOST_FILES, MlflowRegistry

SCHEMES = ("models:", "runs:")


@dataclass(frozen=True, slots=True)
class AddedModel:
    """A model of MLflow that is stored now.

    Attributes:
        source: as it was asked for; of an alias the version that it named.
        model: `name@version` of its package.
        digest, uri: of the package.
        notes: what was understood, a sentence each.
    """

    source: str
    model: str
    digest: str
    uri: str
    notes: Sequence[str]


def mlflow_source(source: str) -> ModelSource | Path | None:
    """What a person means by a source; None: a package of ours, or nothing that is there.

    Raises:
        ConfigurationError: it begins as an address of MLflow does, and is none.
    """
    if source.startswith(SCHEMES):
        return read_source(source)
    folder = Path(source)
    return folder if (folder / MLMODEL).is_file() else None


def add_model(
    source: ModelSource | Path,
    contracts: Contracts,
    store: ModelStore,
    registry: Callable[[], MlflowRegistry],
    progress: ProgressView,
    rules: ModelRegistry | None = None,
    *,
    unpickle: bool = False,
) -> AddedModel:
    """Fetch a model of MLflow, hold it against a pipeline, convert it, check it and put it into the store.

    It plays no part then, and nobody is told. The version of its package follows from what it is: of a registered
    version it is the one that `RegistryFollower` gives it, else it has a digest of the source and of all files. So the
    same model comes to the same package, and another one to another.

    Args:
        source: what is added.
        contracts: of the pipeline whose features feed it.
        store: that takes it.
        registry: asked for where the source is not a directory.
        progress: told what is done.
        rules: which features feed it, and what is yes; None: those of the pipeline file.
        unpickle: whether a pickle may be read, which runs it.

    Raises:
        ContractError: it does not fit, or fails a check, with the remedy; nothing is stored.
        ConfigurationError: there is none, it may not be read, or another package has its name and version.
        Transient: MLflow or the model store does not answer.
    """
    with tempfile.TemporaryDirectory() as folder:
        with progress.stage(f"fetching {source}"):
            files, version, origin, named = _fetched(source, registry, Path(folder))
        if not unpickle and (pickled := pickle_in(files)) is not None:
            raise ConfigurationError(
                f"{named} keeps {pickled}, a pickle, and reading it runs whatever its author put into it: say "
                "--unpickle where you trust that, or log the model by mlflow.onnx or with serialization_format='skops'"
            )
        with progress.stage(f"reading and converting {named}"):
            rules = rules or contracts.pipeline.registry or ModelRegistry()
            made = understand(files, contracts, rules, version, origin)
    uri = put_package(made.package, store)
    return AddedModel(named, made.package.title, made.package.digest, uri, made.notes)


def _fetched(
    source: ModelSource | Path, registry: Callable[[], MlflowRegistry], into: Path
) -> tuple[Path, str, dict[str, Any], str]:
    """(its files, version of its package, where it came from, what to call it)."""
    if isinstance(source, Path):
        files = _copied(source, into / "model")
        digest = digest_of(files)
        return files, f"mlflow-saved-{digest[:8]}", {"files": digest}, str(source)
    door = registry()
    if isinstance(source, RunSource):
        try:
            files = door.download(source, into)
        except ContractError as absent:
            raise ConfigurationError(str(absent)) from None
        digest = digest_of(files)
        name = sha256(f"{source}/{digest}".encode()).hexdigest()[:8]
        return files, f"mlflow-run-{name}", {"run": source.run, "path": source.path, "files": digest}, str(source)
    found = door.version_behind(source) if isinstance(source, AliasSource) else door.version(source)
    if found is None:
        why = "names no version" if isinstance(source, AliasSource) else "is not there"
        raise ConfigurationError(f"{source} {why} at {door.address}: MLflow lists the versions of {source.model}")
    if not found.ready:
        raise ConfigurationError(f"{found.uri}: its files are not all there yet; try again when MLflow says READY")
    return door.download(found.source_of, into), found.package_version, origin_of(found), found.uri


def digest_of(folder: Path) -> str:
    """SHA-256 of the names and contents of all files below a directory, in order of names."""
    whole = sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        whole.update(f"{len(name)}:{name}:{path.stat().st_size}:".encode())
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                whole.update(chunk)
    return whole.hexdigest()


def _copied(folder: Path, into: Path) -> Path:
    """A copy that nobody changes while it is read. ContractError where it is larger than a model may be."""
    found = [path for path in folder.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in found)
    if size > LARGEST_MODEL or len(found) > MOST_FILES:
        raise ContractError(
            f"{folder} has {len(found):,} files of {size:,} bytes; {MOST_FILES:,} of {LARGEST_MODEL:,} bytes are "
            "allowed: name the directory that the model was saved in, and no other"
        )
    for path in found:
        place = into / path.relative_to(folder)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)
    return into
