"""`headrace down --forget`: what a home directory holds of pipelines is deleted, and what is not is named."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from headrace.operations.local.home import DEMO_ENV, DEMO_MORE, SUPERVISOR

LOCKS = ("up.lock", "parts.lock")
"""They stay: whoever waits for one holds the file."""
PARTS = ("kafka", "redis", "registry")
"""Directories of the parts, which `devparts` deletes."""
URL = "://"


@dataclass(frozen=True, slots=True)
class Leftovers:
    """What became of a home directory's files.

    Attributes:
        deleted: what was deleted, a few words each.
        stays: what was not, with its place, a sentence each.
    """

    deleted: Sequence[str]
    stays: Sequence[str]


def forget(home: Path, models: str, elsewhere: Sequence[Path] = ()) -> Leftovers:
    """Delete what pipelines left in a home directory, once nothing runs in it and its parts are gone.

    Of a demo's directory all goes: it made all that is there. Of another one what trainings noted, and the cache of
    models. The model store and logs are people's: they stay, and are named, as everything else is that nobody here
    wrote.

    Args:
        home: the directory.
        models: the model store of commands here, a directory or a url.
        elsewhere: directories that services here were told to use; what lies outside of the home stays.
    """
    outside = [path.absolute() for path in elsewhere if path.is_dir() and not path.absolute().is_relative_to(home)]
    if not home.is_dir():
        return Leftovers((), (*_store(models), *map(str, outside)))
    if all((home / name).is_file() for name in (DEMO_ENV, DEMO_MORE)):
        return Leftovers(_all_of(home), (*_store(models), *map(str, outside)))
    deleted = []
    store = None if URL in models else Path(models).absolute()
    cache, trainings = home / "models", home / "trainings"
    if cache.is_dir() and store != cache:
        _delete(cache)
        deleted.append("the cache of models")
    if trainings.is_dir():
        _delete(trainings)
        deleted.append("orders and logs of trainings")
    return Leftovers(deleted, (*_store(models), *map(str, outside), *_others(home, store)))


def _all_of(home: Path) -> tuple[str, ...]:
    there = sorted(path for path in home.iterdir() if path.name not in LOCKS)
    for path in there:
        _delete(path)
    return (f"all that the demo made in {home}: {', '.join(path.name for path in there)}",) if there else ()


def _store(models: str) -> tuple[str, ...]:
    """What to say of the model store, where it is left."""
    if URL in models:
        return (f"the model store {models}",)
    place = Path(models).absolute()
    found = [path.parent for path in place.glob("*/*/*/model.yaml")] if place.is_dir() else []
    if not found:
        return ()
    return (f"the model store {place}: {len(found):,} models (headrace models list)",)


def _others(home: Path, store: Path | None) -> tuple[str, ...]:
    told = []
    for path in sorted(home.iterdir()):
        if path.name in (*LOCKS, *PARTS) or path == store:
            continue
        if path.name == "logs" or path.name.startswith(SUPERVISOR):
            told.append(f"logs: {path}")
        elif path.name == "demo":
            told.append(f"what a demo left: HEADRACE_HOME={path} headrace down --forget")
        else:
            told.append(str(path))
    return tuple(told)


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
