"""Whether the ledger of a pipeline is whole, by itself and against the topics that it is about."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from headrace.domain.ledger.entry import digest_of
from headrace.domain.ledger.sources import COMPACTED, SOURCES, record_of, rows_told
from headrace.domain.ledger.verification import LedgerFault, SourceRecord, broken_links, gaps
from headrace.domain.pipeline.wiring import Contracts
from headrace.operations.ledger.ledger_topic import ledger_records
from headrace.streaming.kafka.reader import ranges, read
from headrace.streaming.process.settings import Settings


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


def check_ledger(settings: Settings, contracts: Contracts) -> LedgerCheck:
    """Read ledger, control events and plans whole, and hold them against one another.

    Raises:
        Transient: Kafka does not answer.
    """
    # The sources first: what comes meanwhile would be missing in the other order.
    records = [record for source in SOURCES for record in _records(settings, contracts, source)]
    found = ledger_records(settings, contracts)
    every = [entry for _, entry in found.entries]
    unreadable = [LedgerFault(offset, None, "changed", f"it cannot be read: {why}") for offset, why in found.unreadable]
    links = [*broken_links(contracts.pipeline.name, found.entries), *unreadable]
    beside = gaps(every, records, COMPACTED)
    links.sort(key=lambda fault: fault.offset or 0)
    behind = [f"{record.source}@{record.offset}: {record.title}" for record in beside.behind]
    return LedgerCheck(
        contracts.pipeline.name, len(every), every[-1].hash if every else None, [*links, *beside.faults], behind
    )


def _records(settings: Settings, contracts: Contracts, source: str) -> Iterator[SourceRecord]:
    channel = contracts.channel(source)
    for intake in read(settings.connection, channel, ranges(settings.connection, channel.name)):
        batch = intake.batch
        places = zip(batch.partition.tolist(), batch.offset.tolist(), strict=True)
        for (partition, offset), row in zip(places, rows_told(batch.columns), strict=True):
            record = record_of(source, partition, offset, row)
            yield SourceRecord(source, partition, offset, digest_of(record.content), f"{record.type} by {record.actor}")
