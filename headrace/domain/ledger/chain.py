"""Where the ledger of a pipeline has come to, and what is entered next."""

from __future__ import annotations

from dataclasses import dataclass, replace

from headrace.domain.ledger.entry import BEGINNING, LedgerEntry, LedgerRecord


@dataclass(slots=True)
class LedgerChain:
    """The end of a ledger.

    Attributes:
        number: of entries.
        head: hash of the last one.
    """

    pipeline: str
    number: int = 0
    head: str = BEGINNING

    def append(self, record: LedgerRecord) -> LedgerEntry:
        """The next entry.

        >>> chain = LedgerChain("p")
        >>> first = chain.append(LedgerRecord("plan", 0, "ann", "plans", 0, 7, "{}"))
        >>> first.number, first.previous == BEGINNING, first.hash == first.computed() == chain.head
        (1, True, True)
        """
        entry = LedgerEntry(
            self.pipeline,
            self.number + 1,
            record.type,
            record.time,
            record.actor,
            record.source,
            record.source_partition,
            record.source_offset,
            record.content,
            record.digest,
            self.head,
        )
        entry = replace(entry, hash=entry.computed())
        self.number, self.head = entry.number, entry.hash
        return entry
