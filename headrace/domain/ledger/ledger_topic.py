"""The ledger's topic, read whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from headrace.domain.ledger.entry import LedgerEntry, read_entry
from headrace.domain.ledger.sources import rows_told
from headrace.domain.pipeline.wiring import Contracts
from headrace.streaming.kafka.connection import Connection
from headrace.streaming.kafka.reader import ranges, read


@dataclass(frozen=True, slots=True)
class LedgerRecords:
    """What is on the topic.

    Attributes:
        entries: (offset, entry), in the topic's order.
        unreadable: (offset, why) of records that are no entry.
    """

    entries: Sequence[tuple[int, LedgerEntry]]
    unreadable: Sequence[tuple[int, str]]


def read_ledger(connection: Connection, contracts: Contracts) -> LedgerRecords:
    """The whole ledger. Raises Transient when Kafka does not answer, ContractError when there is no such topic."""
    channel = contracts.channel("ledger")
    entries: list[tuple[int, LedgerEntry]] = []
    unreadable: list[tuple[int, str]] = []
    for intake in read(connection, channel, ranges(connection, channel.name)):
        rows = map(read_entry, rows_told(intake.batch.columns))
        entries += zip(intake.batch.offset.tolist(), rows, strict=True)
        unreadable += [(bad.offset, bad.detail) for bad in intake.rejects]
    return LedgerRecords(sorted(entries, key=lambda one: one[0]), unreadable)
