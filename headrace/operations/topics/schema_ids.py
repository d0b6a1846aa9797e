"""Schemas of a pipeline's topics and their ids: from a file of pins, or from a registry."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from headrace.errors import ContractError
from headrace.streaming.contracts.schemas import Pins, Schema, breaks, load_schema, pinned, read_pins, write_pins


def pin(path: Path, wanted: Mapping[str, Schema]) -> tuple[dict[str, int], list[str]]:
    """Pin what is new; returns every subject's id and the subjects that got a new one.

    Raises:
        ContractError: a schema could not read what an older version of it wrote; nothing is written.
    """
    known = pins_at(path)
    if problems := breaks({subject: versions for subject, versions in known.items() if subject in wanted}, wanted):
        raise ContractError("; ".join(problems))
    result, added = pinned(known, wanted)
    if added:
        write_pins(path, result)
    ids = {
        subject: next(number for number, pinned_schema in result[subject].items() if pinned_schema == schema)
        for subject, schema in wanted.items()
    }
    return ids, [subject for subject, _ in added]


def register_with(url: str, wanted: Mapping[str, Schema]) -> dict[str, int]:
    """Register with a registry, all or none where it can be told before; returns every subject's id.

    Raises:
        ContractError: the registry finds a schema incompatible with its last version.
    """
    from headrace.streaming.contracts.registry import RegistryIds

    ids = RegistryIds(url)
    refused = [subject for subject, schema in sorted(wanted.items()) if not ids.compatible(subject, schema)]
    if refused:
        raise ContractError(f"{ids.url} finds these incompatible with their last version: {', '.join(refused)}")
    return {subject: ids.register(subject, schema) for subject, schema in sorted(wanted.items())}


def derived_schemas(pipeline: str) -> dict[str, Schema]:
    """The schemas of a pipeline's topics, by subject."""
    from headrace.domain.pipeline.check import load
    from headrace.domain.pipeline.contracts import schemas
    from headrace.domain.pipeline.workspace import Workspace, resolve

    path = resolve(pipeline, Path.cwd())
    workspace = Workspace.of(path)
    return {subject: load_schema(found) for subject, found in schemas(load(path, workspace), workspace).items()}


def schema_folder(pipeline: str | None) -> Path:
    """The schemas of the pipeline's project; without a pipeline, of the project here, else those of headrace."""
    from headrace.domain.pipeline.workspace import Workspace, builtin, resolve

    if pipeline is not None:
        return Workspace.of(resolve(pipeline, Path.cwd())).roots[0] / "schemas"
    own = Path.cwd() / "schemas"
    return own if own.is_dir() else builtin() / "schemas"


def pins_at(path: Path) -> Pins:
    """What is pinned in a file; nothing where there is none."""
    return read_pins(path) if path.exists() else {}
