"""Taking out of the store what was folded from a log that no longer exists."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from services.enrich.shelves import Shelf
from services.kit.errors import Transient
from services.kit.online_store import Publication, Store, Values
from services.kit.partitioning import partitions_of


def clear(store: Store, shelf: Shelf, partition: int, partitions: int, held: int) -> None:
    """Forget one of a view's `partitions`, whose guard holds the offset `held`.

    Progress goes first, so that readers wait, and the guard last, so that a clearing that was cut short is found again.
    Raises Transient when somebody else writes meanwhile, or the store is out of reach; the same call again goes on.
    """
    guard = shelf.guard(partition)
    _delete(store, guard, held, {shelf.progress(partition): None})
    for keys in store.keys(shelf.entities):
        entities = pa.array([key.removeprefix(shelf.entities) for key in keys], pa.binary())
        own = np.flatnonzero(partitions_of(entities, partitions) == partition)
        _delete(store, guard, held, dict.fromkeys(keys[at] for at in own.tolist()))
    if not store.reset(guard, held):
        raise Transient(_DISTURBED)


def _delete(store: Store, guard: bytes, held: int, values: Values) -> None:
    if store.publish(guard, held, values, held) is not Publication.WRITTEN:
        raise Transient(_DISTURBED)


_DISTURBED = "online store: another member writes what is being cleared"
