"""What enrich asks of the online store, and what it makes of a store that has lost some of it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa

from headrace.columnar.partitioner import partitions_of
from headrace.domain.features.entities import entities_in_view
from headrace.domain.features.event_gate import text_of
from headrace.domain.features.store_keys import fields_of
from headrace.domain.features.window_pool import Ints
from headrace.domain.pipeline.spec import View
from headrace.stores.online import Asked, Found, Store
from headrace.streaming.process.logs import logger
from headrace.streaming.records.batch import Batch
from services.enrich.metrics import EnrichMetrics

log = logger("enrich")


@dataclass(frozen=True, slots=True)
class AskedEntities:
    """The distinct entities of a batch, those of each partition of a view together.

    Attributes:
        which: for each row the place of its own, their number where it has none.
        fields: by partition, the fields of their timelines.
    """

    which: Ints
    fields: list[list[bytes]]


def entities_in(batch: Batch, view: View, partitions: int) -> AskedEntities:
    """The entities that a batch names of a view with so many partitions."""
    coded = entities_in_view(batch.columns, view).dictionary_encode()
    rows = coded.indices.fill_null(len(coded.dictionary)) if coded.null_count else coded.indices
    names = text_of(coded.dictionary)
    count, chosen = len(names), partitions_of(names, partitions)
    order = np.argsort(chosen, kind="stable")
    place = np.empty(count + 1, np.int64)
    place[order], place[count] = np.arange(count), count
    fields, ends = fields_of(names.take(pa.array(order))), np.cumsum(np.bincount(chosen, minlength=partitions))
    parts = [fields[start:stop] for start, stop in pairwise([0, *ends.tolist()])]
    return AskedEntities(place[rows.to_numpy(zero_copy_only=False).astype(np.int64)], parts)


class Reader:
    """Reads shelves, and counts those that were there and are no longer, or no longer whole.

    Parameters:
        store: where they are.
        figures: where losses are counted.

    Attributes:
        lost: the shelves that are lost now.
    """

    def __init__(self, store: Store, figures: EnrichMetrics) -> None:
        self.lost: set[bytes] = set()
        self._store = store
        self._figures = figures
        self._seen: set[bytes] = set()

    def read(self, asked: Asked, whole: bool = True) -> Found:
        """See `Store.read`. Not `whole`: only marks are asked for, which do not show that entities are there again."""
        found = self._store.read(asked)
        there = {shelf for (shelf, _), part in zip(asked, found, strict=True) if part is not None}
        lost = self._seen - there if whole else self._seen - there | self.lost
        for shelf in lost - self.lost:
            self._figures.lost.inc()
            log.warning("waiting", reason=f"the online store lost {shelf.decode()}; views writes it again")
        self.lost = lost
        self._seen |= there
        return found
