"""Schemas of a pipeline's topics and their ids: from a file of pins, or from a registry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from headrace.errors import ContractError
from headrace.streaming.contracts.schemas import (
    Pins,
    Schema,
    breaks,
    load_schema,
    pinned,
    read_pins,
    undocumented,
    write_pins,
)


@dataclass(frozen=True, slots=True)
class CheckedSchemas:
    """Subjects that were checked, and what is wrong with them."""

    schemas: Sequence[str]
    problems: Sequence[str]


@dataclass(frozen=True, slots=True)
class RegisteredSchemas:
    """Every subject's id, and the subjects that got a new one; None where a registry gives them."""

    ids: Mapping[str, int]
    added: Sequence[str] | None


def check_schemas(pipeline: str | None, folder: Path | None, pins: Path | None) -> CheckedSchemas:
    """Check that schemas are safe and documented, their examples hold, and they read what older ones wrote.

    Args:
        pipeline: its derived schemas too.
        folder: of schema files; None for that of the project.
        pins: the file of ids; None for the folder's own.
    """
    from headrace.streaming.contracts.examples import sweep  # only here: it brings the compiled codec

    folder = folder or schema_folder(pipeline)
    problems = sweep(folder)
    wanted = {path.stem: load_schema(path) for path in sorted(folder.glob("*.avsc"))} if not problems else {}
    if pipeline is not None:
        derived = derived_schemas(pipeline)
        problems += [f"{subject}: {at} has no doc" for subject, one in derived.items() for at in undocumented(one)]
        wanted |= derived
    problems += breaks(pins_at(pins or folder / "ids.json"), wanted)
    return CheckedSchemas(sorted(wanted), problems)


def register_schemas(pipeline: str, pins: Path | None, registry: str | None) -> RegisteredSchemas:
    """Give each schema of a pipeline's topics an id, unless it has one: from a registry, else in the file of pins.

    Raises:
        ContractError: a schema could not read what an older version of it wrote.
    """
    wanted = derived_schemas(pipeline)
    if registry is not None:
        return RegisteredSchemas(register_with(registry, wanted), None)
    return RegisteredSchemas(*pin(pins or schema_folder(pipeline) / "ids.json", wanted))


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
