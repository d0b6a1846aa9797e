"""The model store as commands on this machine reach it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from headrace.domain.models.store import ModelStore, Stored
from headrace.operations.local.home import home


def store_at(models: str) -> ModelStore:
    """The model store, with the cache that the services on this machine share."""
    return ModelStore(models, home() / "models")


@contextmanager
def copied(store: ModelStore, stored: Stored) -> Iterator[Path]:
    """A package as the store has it now, past the cache, in a directory of its own."""
    with tempfile.TemporaryDirectory() as folder:
        store.copy(stored, Path(folder))
        yield Path(folder)
