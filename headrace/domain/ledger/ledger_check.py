"""Whether the ledger of a pipeline is whole, by itself and against the topics that it is about."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from headrace.domain.ledger.entry import digest_of
from headrace.domain.ledger.ledger_end import LedgerProgress, cut_off
from headrace.domain.ledger.ledger_topic import read_ledger
from headrace.domain.ledger.sources import COMPACTED, SOURCES, record_of, rows_told
from headrace.domain.ledger.verification import LedgerFault, SourceRecord, broken_links, gaps
from headrace.domain.pipeline.wiring import Contracts
from headrace.streaming.kafka.admin import committed
from headrace.streaming.kafka.connection import Connection
from headrace.streaming.kafka.reader import ranges, read

SETTLED_S = 2.0
CUT_OFF = "cut off"


@dataclass(frozen=True, slots=True)
class LedgerCheck:
    """What was found.

    Attributes:
        entries: how many there are.
        head: hash of the last one; whoever keeps it elsewhere can tell later that nothing before it was changed.
        faults: what is wrong, the first first.
        behind: records that have no entry yet, each in a few words.
    """

    pipeline: str
    entries: int
    head: str | None
    faults: Sequence[LedgerFault]
    behind: Sequence[str]

    @property
    def whole(self) -> bool:
        """Whether nothing is wrong."""
        return not self.faults


def check_ledger(connection: Connection, contracts: Contracts, parts: str) -> LedgerCheck:
    """Read ledger, control events and plans whole, and hold them against one another.

    Args:
        parts: logical name of the topic on which the service that writes the ledger has all in one order.

    Raises:
        Transient: Kafka does not answer.
    """
    found = _checked(connection, contracts, parts)
    if any(fault.kind == CUT_OFF for fault in found.faults):
        # Of a transaction that was committed just now one topic may be readable a moment before another.
        time.sleep(SETTLED_S)
        found = _checked(connection, contracts, parts)
    return found


def _checked(connection: Connection, contracts: Contracts, parts: str) -> LedgerCheck:
    # The sources first: what comes meanwhile would be missing in the other order; and how far the service had come.
    progress = _progress(connection, contracts, parts)
    records = [record for source in SOURCES for record in _records(connection, contracts, source)]
    found = read_ledger(connection, contracts)
    every = [entry for _, entry in found.entries]
    unreadable = [LedgerFault(offset, None, "changed", f"it cannot be read: {why}") for offset, why in found.unreadable]
    links = [*broken_links(contracts.pipeline.name, found.entries), *unreadable]
    beside = gaps(every, records, COMPACTED)
    links.sort(key=lambda fault: fault.offset or 0)
    gone = [*cut_off(beside.behind, progress)]
    faults = [*links, *beside.faults, *gone]
    late = [record for record in beside.behind if not (gone and progress.taken(record))]
    behind = [f"{record.source}@{record.offset}: {record.title}" for record in late]
    return LedgerCheck(contracts.pipeline.name, len(every), every[-1].hash if every else None, faults, behind)


def _progress(connection: Connection, contracts: Contracts, parts_name: str) -> LedgerProgress:
    """How far `release` has come."""
    parts = contracts.channel(parts_name)
    names = {contracts.channel(source).name: source for source in (*SOURCES, parts_name)}
    asked = [(name, part.partition) for name in names for part in ranges(connection, name)]
    done = committed(connection, f"{contracts.pipeline.name}.release", asked)
    ends = ranges(connection, parts.name)  # after the offsets: all that is in order by then stands among the parts
    rest = [replace(e, start=max(e.start, min(done.get((parts.name, e.partition), 0), e.stop))) for e in ends]
    waiting = set()
    for intake in read(connection, parts, rest):
        rows = intake.batch.columns.select(["source", "source_partition", "next_offset"]).to_pylist()
        waiting |= {(row["source"], row["source_partition"], row["next_offset"] - 1) for row in rows}
    ordered = {(names[name], number): offset for (name, number), offset in done.items() if name in names}
    return LedgerProgress(ordered, waiting)


def _records(connection: Connection, contracts: Contracts, source: str) -> Iterator[SourceRecord]:
    channel = contracts.channel(source)
    for intake in read(connection, channel, ranges(connection, channel.name)):
        batch = intake.batch
        places = zip(batch.partition.tolist(), batch.offset.tolist(), strict=True)
        for (partition, offset), row in zip(places, rows_told(batch.columns), strict=True):
            record = record_of(source, partition, offset, row)
            yield SourceRecord(source, partition, offset, digest_of(record.content), f"{record.type} by {record.actor}")
