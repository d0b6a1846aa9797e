"""The ledger's topic, read whole."""

from __future__ import annotations

from headrace.domain.ledger.ledger_topic import LedgerRecords, read_ledger
from headrace.domain.pipeline.wiring import Contracts
from headrace.streaming.process.settings import Settings


def ledger_records(settings: Settings, contracts: Contracts) -> LedgerRecords:
    """The whole ledger. Raises Transient when Kafka does not answer, ContractError when there is no such topic."""
    return read_ledger(settings.connection, contracts)
