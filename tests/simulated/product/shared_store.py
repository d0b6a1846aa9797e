"""The online store that all members of a schedule have, and each process's way to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from headrace.errors import Transient
from headrace.stores.online import Asked, Found, MemoryStore, Publication, Values
from tests.simulated.process import Process
from tests.simulated.scene import Store


class SharedStore(MemoryStore):
    """The store that all members have. It may lose what it holds of a partition.

    Args:
        faults: when it does.
        shelves: the keys that there are now, each with its partition.
    """

    def __init__(self, faults: Store, shelves: Callable[[], Sequence[tuple[int, bytes]]]) -> None:
        super().__init__()
        self._faults = faults
        self._keys = shelves

    def open(self) -> None:
        """A call comes: it is answered or not, by what there is now. Raises Transient."""
        if self._faults.slow():
            raise Transient("the store does not answer")
        for partition, key in self._keys():
            if self._faults.lacks(partition):
                self.shelves.pop(key, None)


class ProcessStore:
    """The shared store as one process calls it: others go on before and after a call, and a dead process makes none."""

    def __init__(self, process: Process, shared: SharedStore) -> None:
        self._process = process
        self._shared = shared

    def _open(self) -> SharedStore:
        self._process.point("store")
        self._shared.open()
        return self._shared

    def read(self, asked: Asked) -> Found:
        """See `headrace.stores.online.Store`."""
        found = self._open().read(asked)
        self._process.point("store answered")
        return found

    def offsets(self, shelves: Sequence[bytes]) -> list[int | None]:
        """As `read`."""
        found = self._open().offsets(shelves)
        self._process.point("store answered")
        return found

    def publish(
        self, shelf: bytes, offset: int, values: Values, previous: int | None = None, anew: bool = False
    ) -> Publication:
        """As `read`."""
        found = self._open().publish(shelf, offset, values, previous, anew)
        self._process.point("store answered")
        return found

    def drop(self, shelf: bytes, offset: int) -> bool:
        """As `read`."""
        found = self._open().drop(shelf, offset)
        self._process.point("store answered")
        return found

    def keys(self, prefix: bytes) -> Iterator[list[bytes]]:
        """As `read`."""
        yield from self._open().keys(prefix)

    def delete(self, keys: Sequence[bytes]) -> None:
        """Take keys away."""
        shared = self._open()
        for key in keys:
            shared.shelves.pop(key, None)
