"""Whether the end of a ledger is still to come, or was there and is gone.

The service commits, in the transaction of the entries, how far it has read. So a record that it had taken in has an
entry, or had one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass

from headrace.domain.ledger.sources import PLANS
from headrace.domain.ledger.verification import LedgerFault, SourceRecord


@dataclass(frozen=True, slots=True)
class LedgerProgress:
    """How far the service that writes a ledger has come, as the offsets of its group say.

    Attributes:
        ordered: by source and partition, the offset before which all records stand among the parts; nothing of those
            of which none does.
        waiting: (source, partition, offset) of the records among the parts that are not taken in yet.
    """

    ordered: Mapping[tuple[str, int], int]
    waiting: Set[tuple[str, int, int]]

    def taken(self, record: SourceRecord) -> bool:
        """Whether the service has taken a record in."""
        place = (record.source, record.partition, record.offset)
        return record.offset < self.ordered.get(place[:2], 0) and place not in self.waiting


def cut_off(behind: Sequence[SourceRecord], progress: LedgerProgress) -> Iterator[LedgerFault]:
    """Entries that were there, of records that have none behind the last ones that have.

    While a plan is on its way nothing is said: until the service has seen it, what came before it may wait for its
    entry although it was taken in (`release` has an attempt to change the plan open).

    >>> late, early = (SourceRecord("control", 0, at, "", f"event {at}") for at in (9, 4))
    >>> [fault.what for fault in cut_off([early, late], LedgerProgress({("control", 0): 8}, set()))]
    ['control@4 was entered, and its entry is gone from the end of the ledger: event 4']
    """
    if any(record.source == PLANS and not progress.taken(record) for record in behind):
        return
    for record in behind:
        if progress.taken(record):
            what = f"{record.source}@{record.offset} was entered, and its entry is gone from the end of the ledger"
            yield LedgerFault(None, None, "cut off", f"{what}: {record.title}")
