"""Control events and plans in, the ledger out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from headrace.columnar import packing
from headrace.domain.ledger.chain import LedgerChain
from headrace.domain.ledger.entry import LedgerEntry, LedgerRecord, canonical
from headrace.domain.ledger.sources import SOURCES, record_of, rows_told
from headrace.domain.records.release_parts import PARTS, content_of, record_part
from headrace.errors import ContractError
from headrace.streaming.records.batch import Admission, Batch, Emit, Output, Reject, slot, unslot
from headrace.streaming.task.service import Service
from services.release.metrics import ReleaseMetrics


class Releases(Service):
    """The service `release` for one pipeline.

    Stage one puts control events and plans, whoever wrote them, into one order; stage two has them in that order. What
    it does follows from them alone, so members may come and go, and a replay finds the same.

    Args:
        pipeline: its name.
        parts, ledger: schemas of the topics written.
        figures: metrics.
    """

    inputs = (*SOURCES, PARTS)
    stateful = (PARTS,)
    answers = ("ledger",)

    def __init__(self, pipeline: str, parts: pa.Schema, ledger: pa.Schema, figures: ReleaseMetrics) -> None:
        self._parts = parts
        self._ledger = ledger
        self._figures = figures
        self._pipeline = pipeline
        self._chain: LedgerChain | None = None

    @property
    def _here(self) -> int:
        """The partition of parts, as batches number it."""
        return slot(self.inputs.index(PARTS), 0)

    # ---- rows come in --------------------------------------------------------------------------------------------

    def admit(self, batch: Batch, now: float) -> Admission:
        """Refuse parts that nobody of ours wrote."""
        if batch.topic != PARTS:
            return Admission(batch)
        good, rejects = np.ones(len(batch), bool), []
        for at, part in enumerate(batch.columns.to_pylist()):
            try:
                _record(part)
            except ContractError as error:
                good[at] = False
                rejects.append(Reject(int(batch.partition[at]), int(batch.offset[at]), "payload", str(error)))
        return Admission(batch.take(good), rejects=tuple(rejects))

    def process(self, batch: Batch, now: float) -> Output:
        """Put records into one order, or take up what is in it."""
        if batch.topic != PARTS:
            return Output(tuple(self._told(batch.slice(rows), partition) for partition, rows in batch.runs()))
        entries = self._fold(batch)
        for entry in entries:
            self._figures.entries.labels(entry.source).inc()
            self._figures.number.set(entry.number)
        return Output(self._entered(entries))

    def replay(self, batch: Batch) -> None:
        """Fold without telling anything."""
        if batch.topic == PARTS:
            self._fold(batch)

    def _told(self, batch: Batch, partition: int) -> Emit:
        """Records of one partition, at their place among all others."""
        place, number = unslot(partition)
        rows = [
            record_part(self.inputs[place], number, offset, canonical(row))
            for row, offset in zip(rows_told(batch.columns), batch.offset.tolist(), strict=True)
        ]
        columns = pa.RecordBatch.from_pylist(rows, schema=self._parts)
        keys = pa.array([f"{self.inputs[place]}/{number}"] * len(rows))
        zeros = np.zeros(len(rows), np.int32)
        return Emit(PARTS, columns, keys, np.full(len(rows), partition, np.int32), zeros)

    def _fold(self, batch: Batch) -> list[LedgerEntry]:
        """Take up what happened, in its order."""
        assert self._chain is not None, "rows come after `restore`"
        return [self._chain.append(_record(part)) for part in batch.columns.to_pylist()]

    def _entered(self, entries: list[LedgerEntry]) -> tuple[Emit, ...]:
        if not entries:
            return ()
        columns = pa.RecordBatch.from_pylist([entry.row() for entry in entries], schema=self._ledger)
        return (Emit("ledger", columns, columns["pipeline"], np.full(len(entries), self._here, np.int32)),)

    # ---- state comes and goes ------------------------------------------------------------------------------------

    def restore(self, partition: int, snapshot: bytes | None, end: int | None = None) -> None:
        """See `Service`."""
        self._chain = LedgerChain(self._pipeline)
        if snapshot is not None:
            said = packing.json_of(packing.unpack(snapshot)["said"])
            self._chain = LedgerChain(self._pipeline, said["number"], said["head"])

    def snapshot(self, partition: int) -> bytes:
        """See `Service`."""
        assert self._chain is not None
        said = {"number": self._chain.number, "head": self._chain.head}
        return packing.pack({"said": packing.json_column(said)})

    def drop(self, partition: int) -> None:
        """See `Service`."""
        if partition == self._here:
            self._chain = None


def _record(part: Mapping[str, Any]) -> LedgerRecord:
    """What a part tells of. Raises ContractError where nobody of ours wrote it."""
    source = part["source"]
    if source not in SOURCES:
        raise ContractError(f"it tells of {source}")
    content = content_of(part)
    try:
        return record_of(source, part["source_partition"], part["next_offset"] - 1, content)
    except KeyError as missing:
        raise ContractError(f"a record of {source} has no {missing}") from None
