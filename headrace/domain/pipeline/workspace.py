"""Where schemas, topics and pipelines are found: the user's own project first, then what comes with headrace."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headrace.domain.pipeline.document import closest
from headrace.errors import ConfigurationError, ContractError


def builtin() -> Path:
    """The folder that holds headrace's own `schemas`, `topics` and `pipelines`."""
    package = Path(__file__).resolve().parents[2]
    installed = package / "contracts"
    return installed if installed.is_dir() else package.parent


@dataclass(frozen=True, slots=True)
class Workspace:
    """Folders that are searched in turn, each with `schemas/`, `topics/` and `pipelines/`, none of them required."""

    roots: tuple[Path, ...]

    @classmethod
    def of(cls, pipeline: Path) -> Workspace:
        """The workspace of a pipeline file: its folder (or the one above `pipelines/`), then the built-in."""
        folder = pipeline.resolve().parent
        own = folder.parent if folder.name == "pipelines" else folder
        return cls(tuple(dict.fromkeys((own, builtin()))))

    def find(self, folder: str, name: str) -> Path | None:
        """The first root's file of that name, if any has it.

        ConfigurationError where something stands there that is no file, or nobody may look: another root's file of the
        same name is not what was meant.
        """
        for path in (root / folder / name for root in self.roots):
            try:
                if path.is_file():
                    return path
                path.lstat()
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None
            raise ConfigurationError(f"{path} is no file: put one there, or take it away")
        return None

    def schema_path(self, name: str) -> Path:
        """The file of a schema.

        Raises:
            ConfigurationError: there is none; says which there are.
        """
        path = self.find("schemas", f"{name}.avsc")
        if path is None:
            folders = ", ".join(str(root / "schemas") for root in self.roots)
            raise ConfigurationError(f"no schema {name} in {folders}: {closest(name, self.names('schemas', '.avsc'))}")
        return path

    def schema(self, name: str) -> dict[str, Any]:
        """An Avro schema as a dict.

        Raises:
            ConfigurationError: there is none of that name.
            ContractError: the file is not a JSON object.
        """
        path = self.schema_path(name)
        try:
            found = json.loads(path.read_text("utf-8"))
        except OSError as error:
            raise ContractError(f"{path} cannot be read: {error.strerror}") from None
        except (ValueError, RecursionError) as error:
            raise ContractError(f"{path} is not JSON: {error}") from None
        if not isinstance(found, dict):
            raise ContractError(f"{path} is not a JSON object: write an Avro record")
        return found

    def topic_folders(self) -> tuple[Path, ...]:
        """The folders with topic files, nearest first; ConfigurationError where one may not be read."""
        folders = tuple(folder for root in self.roots if (folder := root / "topics").is_dir())
        for folder in folders:
            try:
                list(folder.iterdir())  # What may not be listed looks empty to a search for files.
            except OSError as error:
                raise ConfigurationError(f"{folder} cannot be read: {error.strerror}") from None
        return folders

    def names(self, folder: str, suffix: str) -> list[str]:
        """Names of all files in a folder of any root, without their suffix, sorted."""
        found = {path.name.removesuffix(suffix) for root in self.roots for path in (root / folder).glob(f"*{suffix}")}
        return sorted(found)


def resolve(pipeline: str, cwd: Path) -> Path:
    """The file that a command line means by a pipeline: a path, or a bare name.

    `card_fraud` is `pipelines/card_fraud.yaml` below `cwd`, else the one that comes with headrace.

    Raises:
        ConfigurationError: there is no such file; says which there are.
    """
    try:
        path = cwd / pipeline
        if path.is_file():
            return path
    except OSError as error:  # a name that no file can have
        raise ConfigurationError(f"no pipeline {pipeline[:60]}: {error.strerror}") from None
    # A name, not a path: `headrace check card_fraud`.
    workspace = Workspace(tuple(dict.fromkeys((cwd, builtin()))))
    if Path(pipeline).name == pipeline:
        found = workspace.find("pipelines", f"{pipeline.removesuffix('.yaml')}.yaml")
        if found is not None:
            return found
    raise ConfigurationError(f"no pipeline {pipeline}: {closest(pipeline, workspace.names('pipelines', '.yaml'))}")
