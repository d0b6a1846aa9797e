"""Avro schemas as values: loaded, found safe to read from strangers, and known by ids."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from headrace.columnar.avro.compatibility import incompatibilities
from headrace.columnar.avro.parser import parse
from headrace.columnar.avro.types import Record, arrow_field
from headrace.errors import ConfigurationError, ContractError

REMEDY = "run `headrace schemas register PIPELINE`"


@dataclass(frozen=True, slots=True)
class Schema:
    """One version of a record type.

    Two schemas are equal when their canonical forms are: the documentation may change without a new version.

    Attributes:
        name: full name, `headrace.dead_letter`.
        definition: the Avro definition, as written.
        canonical: the definition without documentation, keys sorted, without spaces; this is what is registered.
        fingerprint: sha256 of the canonical form, hexadecimal.
        arrow: the Arrow schema of its columns; fields are nullable where the union says so.
        record: the parsed type.
    """

    name: str
    definition: dict[str, Any] = field(compare=False, repr=False)
    canonical: str
    fingerprint: str
    arrow: pa.Schema = field(compare=False, repr=False)
    record: Record = field(compare=False, repr=False)

    def __hash__(self) -> int:
        return hash(self.fingerprint)


def load_schema(source: Path | str | Mapping[str, Any]) -> Schema:
    """The schema of an `.avsc` file or of a definition.

    Raises:
        ConfigurationError: the file is not there, or is not JSON.
        ContractError: the schema is not accepted for consumption; names every reason.
    """
    return _schema(*_read(source), strangers=False)


def load_writer(definition: Mapping[str, Any]) -> Schema:
    """The schema that records were written with, by whomever: what we cannot read of it is stepped over.

    Raises:
        ContractError: it is not safe to read; names every reason.
    """
    return _schema(*_read(definition), strangers=True)


def _schema(where: str, definition: dict[str, Any], *, strangers: bool) -> Schema:
    record, problems = parse(definition, strangers=strangers)
    if problems or record is None:
        raise ContractError(f"{where}: " + "; ".join(problems))
    canonical = json.dumps(_undocumented(definition), sort_keys=True, separators=(",", ":"))
    return Schema(
        name=record.name,
        definition=definition,
        canonical=canonical,
        fingerprint=hashlib.sha256(canonical.encode()).hexdigest(),
        arrow=pa.schema([arrow_field(member.name, member.type) for member in record.members]),
        record=record,
    )


def unsafe(definition: object) -> list[str]:
    """Why a schema is not accepted for consumption; an empty list when it is."""
    return parse(definition)[1]


def undocumented(schema: Schema) -> list[str]:
    """Places in the schema that lack a `doc`: the record itself and every field, nested ones too."""
    return [where for where in _undocumented_places(schema.definition, "") if where]


class SchemaIds(Protocol):
    """Where the ids in the wire format come from. A subject is a topic's name on the broker with `-value`."""

    def id_of(self, subject: str, schema: Schema) -> int:
        """The id to write; ContractError when the schema is not registered for the subject."""
        ...

    def writers(self, subject: str) -> Mapping[int, Schema | str]:
        """The ids of the subject with the schemas that they stand for, or why one cannot be read."""
        ...


class PinnedIds:
    """Ids from a file under version control, so that no registry is needed at run time.

    The file maps a subject to its versions, oldest first: `{"id": 3, "fingerprint": "...", "schema": {...}}`.

    Raises:
        ConfigurationError: the file is not there or is not JSON.
        ContractError: an entry is not what it claims to be.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._pins = read_pins(self.path)

    def id_of(self, subject: str, schema: Schema) -> int:
        """As `SchemaIds.id_of`."""
        for number, pinned in self._pins.get(subject, {}).items():
            if pinned == schema:
                return number
        raise ContractError(f"{schema.name} has no id for subject {subject} in {self.path}; {REMEDY}")

    def writers(self, subject: str) -> Mapping[int, Schema]:
        """As `SchemaIds.writers`; never changes."""
        return dict(self._pins.get(subject, {}))


Pins = dict[str, dict[int, Schema]]


def read_pins(path: Path) -> Pins:
    """The pins of a file, each checked against its fingerprint; see `PinnedIds`."""
    pins: Pins = {}
    owners: dict[int, str] = {}
    for subject, versions in _load(path).items():
        pins[subject] = {}
        each: list[Any] = versions if isinstance(versions, list) else [None]
        for version in each:
            if not _is_version(version):
                raise ContractError(
                    f'{path}: {subject}: no list of {{"id": 1, "fingerprint": "...", "schema": {{...}}}}: restore the '
                    "file from your repository"
                )
            schema = load_writer(version["schema"])
            number = version["id"]
            if version["fingerprint"] != schema.fingerprint:
                raise ContractError(f"{path}: {subject} id {number}: the schema was edited; pins are only ever added")
            if owners.setdefault(number, schema.fingerprint) != schema.fingerprint:
                raise ContractError(f"{path}: id {number} stands for two schemas")
            pins[subject][number] = schema
    return pins


def _is_version(version: object) -> bool:
    if not isinstance(version, dict):
        return False
    kinds = {"id": int, "fingerprint": str, "schema": dict}
    return all(isinstance(version.get(name), kind) for name, kind in kinds.items())


def pinned(pins: Pins, schemas: Mapping[str, Schema]) -> tuple[Pins, list[tuple[str, int]]]:
    """Pins with the schemas added that are new, and what was added: (subject, id).

    The same pins and schemas give the same ids: subjects are taken in alphabetical order, and a new schema gets the
    least id above all given so far. One schema has one id in all subjects, as in a registry.
    """
    result: Pins = {subject: dict(versions) for subject, versions in pins.items()}
    numbers = {schema.fingerprint: number for versions in pins.values() for number, schema in versions.items()}
    added: list[tuple[str, int]] = []
    for subject, schema in sorted(schemas.items()):
        number = numbers.setdefault(schema.fingerprint, max(numbers.values(), default=0) + 1)
        if number not in result.setdefault(subject, {}):
            result[subject][number] = schema
            added.append((subject, number))
    return result, added


def breaks(pins: Pins, schemas: Mapping[str, Schema]) -> list[str]:
    """Why the schemas could not take the place of the pinned ones: records on the topics that they could not read.

    A schema is held against the versions of its subject, and of every subject that has one of its name.
    """
    found: dict[str, None] = {}
    for subject, schema in sorted(schemas.items()):
        for other, versions in pins.items():
            for number, writer in versions.items():
                if other == subject or writer.name == schema.name:
                    for why in incompatibilities(writer.record, schema.record):
                        found[f"{subject}: cannot read id {number} of {other}: {why}"] = None
    return list(found)


def write_pins(path: Path, pins: Pins) -> None:
    """Write the file whole or not at all; ids ascend, so that an addition is an addition in the diff."""
    document = {
        subject: [
            {"id": number, "fingerprint": schema.fingerprint, "schema": json.loads(schema.canonical)}
            for number, schema in versions.items()
        ]
        for subject, versions in sorted(pins.items())
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(f".{os.getpid()}.draft")
    draft.write_text(json.dumps(document, indent=1) + "\n")
    draft.replace(path)


def _read(source: Path | str | Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    if isinstance(source, Mapping):
        return str(source.get("name", "schema")), dict(source)
    return str(source), _load(Path(source))


def _load(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ConfigurationError(f"{path} is not there") from None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path} is not UTF-8 at byte {error.start}: save it as UTF-8") from None
    except RecursionError:
        raise ConfigurationError(f"{path} is nested too deeply") from None
    except ValueError as error:
        raise ConfigurationError(f"{path} is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise ConfigurationError(f"{path} must hold a JSON object")
    try:
        json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ConfigurationError(f"{path} holds half of a character (a lone surrogate, \\ud800 to \\udfff)") from None
    return document


def _undocumented(definition: Any) -> Any:
    """The definition without `doc`, at every level where Avro reads one."""
    match definition:
        case {"type": _}:
            kept = {key: value for key, value in definition.items() if key != "doc"}
            for key in ("type", "items", "values", "fields"):
                if key in kept:
                    kept[key] = _undocumented(kept[key])
            return kept
        case list():
            return [_undocumented(part) for part in definition]
        case _:
            return definition


def _undocumented_places(definition: Any, place: str) -> list[str]:
    match definition:
        case {"type": "record", "name": name, "fields": fields}:
            where = place or name
            lacking = [] if definition.get("doc") or place else [where]
            for part in fields:
                inner = f"{where}.{part['name']}"
                lacking += [] if part.get("doc") else [inner]
                lacking += _undocumented_places(part["type"], inner)
            return lacking
        case {"type": "array", "items": inner} | {"type": "map", "values": inner} | {"type": dict() | list() as inner}:
            return _undocumented_places(inner, place)
        case list():
            return [where for branch in definition for where in _undocumented_places(branch, place)]
        case _:
            return []
