"""The model store: packages in a directory or an object store, fetched into a local cache by digest."""

from __future__ import annotations

import errno
import os
import re
import shutil
import tempfile
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fsspec
import structlog
from fsspec.core import split_protocol, url_to_fs
from fsspec.implementations.local import LocalFileSystem

from headrace.domain.models import plain_yaml
from headrace.domain.models.card import LARGEST_CARD, ModelCard, parse_card
from headrace.domain.models.package import (
    CARD,
    FILES,
    LARGEST,
    MANIFEST,
    OPTIONAL,
    Manifest,
    ModelPackage,
    files_of,
    load,
    parse,
)
from headrace.errors import ConfigurationError, ContractError, Transient
from headrace.streaming.process.settings import NO_PASSWORD, holds_password

_log = structlog.get_logger()  # a proxy: configured by the time it is first used


@dataclass(frozen=True, slots=True)
class Stored:
    """A package as the store lists it; nothing of it was read.

    Attributes:
        name, version, digest: what its place in the store says that it is.
        uri: its place.
        files: those of a package that are there; all of them unless somebody took one away.
        stored: when the oldest of them was written, milliseconds since the epoch; 0 where the store does not say.
    """

    name: str
    version: str
    digest: str
    uri: str
    files: tuple[str, ...]
    stored: int

    @property
    def title(self) -> str:
        """`name@version`."""
        return f"{self.name}@{self.version}"


class ModelStore:
    """Packages under one root, reachable through fsspec.

    Layout: `<root>/<name>/<version>/<digest hex>/{model.onnx, model.yaml}`, and `profile.json` and `sample.bin` where
    there are such.
    Packages are never changed or removed, so putting one again is harmless and a fetched copy is good for ever.

    Args:
        root: a directory, or a URL that fsspec knows (`s3://bucket/models`, `gs://...`).
        cache: local directory of fetched packages, shared by processes; made when missing.

    Raises:
        ConfigurationError: the URL's protocol is unknown or its library is not installed.
    """

    def __init__(self, root: str, cache: Path) -> None:
        if holds_password(root):
            raise ConfigurationError(f"HEADRACE_MODELS: {NO_PASSWORD}")
        try:
            self._files, self._root = url_to_fs(root)
        except (ImportError, ValueError) as error:
            raise ConfigurationError(f"model store {root}: {error}; use a directory, or install its library") from error
        self._root = self._root.rstrip("/")
        self._cache = cache

    def place(self, name: str, version: str, digest: str) -> str:
        """The uri of a package, whether it is there or not. ContractError for a digest that is none."""
        if not _DIGEST.fullmatch(digest.removeprefix("sha256:")):
            raise ContractError(f"{digest!r} is no digest of a model package")
        return str(self._files.unstrip_protocol("/".join((self._root, name, version, _hex(digest)))))

    def package(self, name: str, version: str, digest: str) -> ModelPackage:
        """A package by its identity, verified. Raises what `place`, `fetch` and `load` do."""
        return load(self.fetch(self.place(name, version, digest), digest), digest)

    def put(self, package: ModelPackage) -> str:
        """Store the package and return its uri; a package that is already there stays as it is."""
        at = "/".join((self._root, package.manifest.name, package.manifest.version, _hex(package.digest)))
        try:
            self._files.makedirs(at, exist_ok=True)
            # Graph before manifest: a reader that finds the manifest finds a whole package.
            for name, content in files_of(package).items():
                if not self._files.exists(f"{at}/{name}"):
                    self._write(f"{at}/{name}", content)
        except OSError as error:
            raise Transient(f"model store: cannot write {at}: {error}") from error
        return str(self._files.unstrip_protocol(at))

    def fetch(self, uri: str, digest: str) -> Path:
        """A local directory with exactly this package; downloaded into the cache unless a whole copy lies there.

        A copy that was damaged meanwhile (a full disk, somebody's hand) is fetched again, and the log says so.

        Raises:
            ContractError: the uri lies outside this store, nothing is there, or its digest is another one.
            Transient: the store does not answer.
        """
        local = self._cache / _hex(digest)
        damage = self._damage(digest)
        if damage is None:
            return local
        at = self._inside(uri)
        self._cache.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=".fetching-", dir=self._cache))
        try:
            for name in (*FILES, *(name for name in OPTIONAL if self._has(f"{at}/{name}"))):
                self._copy(f"{at}/{name}", partial / name)
            load(partial, digest)
            if damage:
                _log.warning("damaged copy of a model package replaced", path=str(local), damage=damage)
                self._set_aside(local)
            # The rename is the commit: nobody ever sees half a package, and whoever comes second finds it done.
            try:
                partial.rename(local)
            except OSError:
                if self._damage(digest) is not None:
                    raise
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return local

    def _damage(self, digest: str) -> str | None:
        """What is wrong with the copy in the cache: an empty text when there is none, None when it is whole."""
        local = self._cache / _hex(digest)
        if not local.exists():
            return ""
        try:
            load(local, digest)
        except (ContractError, OSError) as fault:
            return str(fault)
        return None

    def _set_aside(self, local: Path) -> None:
        with tempfile.TemporaryDirectory(prefix=".damaged-", dir=self._cache) as aside, suppress(FileNotFoundError):
            local.rename(Path(aside) / local.name)

    def packages(self) -> list[Stored]:
        """Every package of the store, whole or not, by name and by the time at which it was stored.

        Raises:
            ConfigurationError: it is no directory, or may not be read.
            Transient: the store does not answer.
        """
        try:
            if isinstance(self._files, LocalFileSystem):
                _check_readable(self._root)
            found: dict[str, dict[str, Any]] = self._files.find(self._root, maxdepth=4, detail=True)
        except FileNotFoundError:
            found = {}
        except (PermissionError, NotADirectoryError) as error:
            where = error.filename or self._root
            raise ConfigurationError(f"model store: {where} cannot be read: {error.strerror or error}") from error
        except OSError as error:
            raise Transient(f"model store: cannot list {self._root}: {error}") from error
        folders: dict[tuple[str, ...], dict[str, int]] = defaultdict(dict)
        for path, told in found.items():
            *folder, name = str(path).removeprefix(self._root).strip("/").split("/")
            if len(folder) == 3 and name in (*FILES, *OPTIONAL) and _DIGEST.fullmatch(folder[2]):
                folders[tuple(folder)][name] = _written(told)
        packages = [
            Stored(
                name,
                version,
                f"sha256:{digest}",
                str(self._files.unstrip_protocol("/".join((self._root, name, version, digest)))),
                tuple(sorted(files)),
                min(files.values()),
            )
            for (name, version, digest), files in folders.items()
        ]
        return sorted(packages, key=lambda stored: (stored.name, stored.stored, _counted(stored.version)))

    def manifest(self, stored: Stored) -> Manifest:
        """What a package says of itself; its digest is not checked, for that takes the whole package.

        Raises:
            ContractError: it has no `model.yaml`, or one that does not hold.
            Transient: the store does not answer.
        """
        at = f"{self._inside(stored.uri)}/{MANIFEST}"
        try:
            size = int(self._files.size(at) or 0)
            if size > plain_yaml.LARGEST:
                raise ContractError(f"{at} has {size:,} bytes; {plain_yaml.LARGEST:,} are allowed")
            text = self._files.cat_file(at)
        except FileNotFoundError:
            raise ContractError(f"{stored.uri}: {MANIFEST} is missing") from None
        except OSError as error:
            raise Transient(f"model store: cannot read {at}: {error}") from error
        return parse(text, stored.uri)

    def card(self, stored: Stored) -> ModelCard | None:
        """What a package says beyond its manifest; None where nothing. Its digest is not checked.

        Raises:
            ContractError: its `card.json` does not hold.
            Transient: the store does not answer.
        """
        if CARD not in stored.files:
            return None
        at = f"{self._inside(stored.uri)}/{CARD}"
        try:
            size = int(self._files.size(at) or 0)
            text = self._files.cat_file(at) if size <= LARGEST_CARD else b" " * (LARGEST_CARD + 1)
        except OSError as error:
            raise Transient(f"model store: cannot read {at}: {error}") from error
        return parse_card(text, at)

    def copy(self, stored: Stored, into: Path) -> None:
        """Copy what is there of a package into a directory, past the cache and unverified: for whoever looks at damage.

        Raises:
            ContractError: a file is too large.
            Transient: the store does not answer.
        """
        at = self._inside(stored.uri)
        for name in stored.files:
            self._copy(f"{at}/{name}", into / name)

    def fetched(self, digest: str) -> Path | None:
        """The copy of a package that was fetched earlier, if the cache has one that is whole."""
        return self._cache / _hex(digest) if self._damage(digest) is None else None

    def _inside(self, uri: str) -> str:
        # A plan may name any string; this process reads its model store, not any address that somebody wrote.
        if "\x00" in uri:
            raise ContractError(f"{uri!r} is no place in a model store")
        protocol, _ = split_protocol(uri)
        known = self._files.protocol if isinstance(self._files.protocol, tuple) else (self._files.protocol,)
        at = self._files._strip_protocol(uri) if (protocol or "file") in known else ""
        if ".." in at.split("/") or not at.startswith(self._root + "/"):
            raise ContractError(f"{uri} lies outside the model store {self._files.unstrip_protocol(self._root)}")
        return str(at)

    def _has(self, remote: str) -> bool:
        try:
            return bool(self._files.exists(remote))
        except OSError as error:
            raise Transient(f"model store: cannot look for {remote}: {error}") from error

    def _copy(self, remote: str, local: Path) -> None:
        try:
            size = int(self._files.size(remote) or 0)
            if size > LARGEST:
                raise ContractError(f"{remote} has {size} bytes; a model package file has {LARGEST} at most")
            self._files.get_file(remote, str(local))
        except FileNotFoundError:
            raise ContractError(f"the model store has no {remote}, which was named by a plan or a command") from None
        except OSError as error:
            raise Transient(f"model store: cannot read {remote}: {error}") from error

    def _write(self, remote: str, content: bytes) -> None:
        if isinstance(self._files, fsspec.get_filesystem_class("file")):
            # Object stores show whole objects only; a directory needs the rename for the same promise.
            with tempfile.NamedTemporaryFile(dir=Path(remote).parent, delete=False) as partial:
                partial.write(content)
            Path(partial.name).replace(remote)
        else:
            self._files.pipe_file(remote, content)


def _check_readable(root: str) -> None:
    """OSError when a directory below a root, or the root itself, may not be listed: `find` would leave it out."""
    place = Path(root)
    if (place.is_symlink() or place.exists()) and not place.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), root)

    def refuse(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            raise error

    for _ in os.walk(root, onerror=refuse):
        pass


def _written(told: dict[str, Any]) -> int:
    """When a file was written, ms; each file system tells it under a name of its own."""
    time = next((told[name] for name in ("mtime", "LastModified", "updated", "created") if told.get(name)), 0)
    if isinstance(time, str):
        time = datetime.fromisoformat(time)
    if isinstance(time, datetime):
        time = (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
    return int(time * 1000)


_DIGEST = re.compile("[0-9a-f]{64}")


def _counted(version: str) -> list[tuple[int, str]]:
    """A version by which 10 comes after 9."""
    return [(int(part) if part.isdecimal() else -1, part) for part in re.split(r"(\d+)", version)]


def _hex(digest: str) -> str:
    kind, _, value = digest.partition(":")
    if kind != "sha256" or not _DIGEST.fullmatch(value):
        raise ContractError(f"{digest!r} is no model digest; it reads sha256: and 64 hex digits")
    return value
