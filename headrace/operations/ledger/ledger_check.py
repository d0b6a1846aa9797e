"""Whether the ledger of a pipeline is whole, by itself and against the topics that it is about."""

from __future__ import annotations

from headrace.domain.ledger import ledger_check
from headrace.domain.ledger.ledger_check import LedgerCheck
from headrace.domain.pipeline.wiring import Contracts
from headrace.domain.records.release_parts import PARTS
from headrace.streaming.process.settings import Settings


def check_ledger(settings: Settings, contracts: Contracts) -> LedgerCheck:
    """Read ledger, control events and plans whole, and hold them against one another.

    Raises:
        Transient: Kafka does not answer.
    """
    return ledger_check.check_ledger(settings.connection, contracts, PARTS)
