"""Whether a ledger is whole: as it was written, and with all that its sources have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass

from headrace.domain.ledger.entry import BEGINNING, LedgerEntry, digest_of


@dataclass(frozen=True, slots=True)
class LedgerFault:
    """Something that cannot have been written so.

    Attributes:
        offset: of the record on the ledger's topic; None where there is none.
        number: of the entry, as it says; None where there is none.
        kind: `changed`, `dropped`, `repeated`, `reordered`, `begun late`, `missing`, `invented`,
            `cut off`.
        what: in a sentence.
    """

    offset: int | None
    number: int | None
    kind: str
    what: str


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """A record of a topic that the ledger is about.

    Attributes:
        digest: of its content.
        title: what it is, for people.
    """

    source: str
    partition: int
    offset: int
    digest: str
    title: str


def broken_links(pipeline: str, entries: Iterable[tuple[int, LedgerEntry]]) -> Iterator[LedgerFault]:
    """What is wrong with entries as such, (offset, entry) in the topic's order.

    The last entries of a ledger can be cut off without a trace in what is left: `gaps` holds it against its sources.
    """
    before, seen, number = BEGINNING, dict[str, int](), 0
    told = list(entries)
    numbers = {entry.number for _, entry in told}
    for offset, entry in told:
        for kind, what in _wrong(pipeline, entry, number, before, seen, numbers):
            yield LedgerFault(offset, entry.number, kind, what)
        seen.setdefault(entry.hash, entry.number)
        number, before = entry.number, entry.hash


def _wrong(
    pipeline: str, entry: LedgerEntry, number: int, before: str, seen: Mapping[str, int], numbers: Set[int]
) -> Iterator[tuple[str, str]]:
    if entry.pipeline != pipeline:
        yield "changed", f"it is of {entry.pipeline}, and the ledger of {pipeline}"
    if entry.digest != digest_of(entry.content):
        yield "changed", "its content is not what its digest was made of"
    elif entry.hash != entry.computed():
        yield "changed", "its fields are not what its hash was made of"
    if entry.hash in seen:
        yield "repeated", f"entry {seen[entry.hash]} stands here once more"
    elif entry.number == number + 1:
        if entry.previous != before:
            yield "changed", f"it was not written behind this entry {number}: that one is another now"
    elif entry.number <= number or any(number < each < entry.number for each in numbers):
        yield "reordered", f"it stands behind entry {number}" if number else "it stands first"
    elif not number:
        yield "begun late", f"the ledger begins with entry {entry.number}: those before it are gone"
    else:
        yield "dropped", f"behind entry {number} {_entries(number + 1, entry.number - 1)} missing"


def _entries(first: int, last: int) -> str:
    return f"entry {first} is" if first == last else f"entries {first} to {last} are"


@dataclass(frozen=True, slots=True)
class Gaps:
    """What a ledger lacks of its sources.

    Attributes:
        faults: records without an entry, though later ones of their topic have theirs, and entries without a record.
        behind: records behind all that have an entry: nobody wrote them down yet, or the end of the ledger is gone.
    """

    faults: Sequence[LedgerFault]
    behind: Sequence[SourceRecord]


def gaps(entries: Sequence[LedgerEntry], records: Sequence[SourceRecord], compacted: frozenset[str]) -> Gaps:
    """Hold a ledger against its sources.

    Args:
        records: of all sources, each topic in its order.
        compacted: sources that keep the newest record alone: entries of others are right without one.
    """
    placed: dict[tuple[str, int, int], list[LedgerEntry]] = {}
    for entry in entries:
        if entry.source_offset is not None:
            placed.setdefault((entry.source, entry.source_partition, entry.source_offset), []).append(entry)
    own = Counter((entry.source, entry.digest) for entry in entries if entry.source_offset is None)
    last: dict[str, int] = {}
    unknown: list[SourceRecord] = []
    faults: list[LedgerFault] = []
    for record in records:
        here = placed.pop((record.source, record.partition, record.offset), [])
        if here:
            last[record.source] = record.offset
            faults += _held(record, here)
        elif own[record.source, record.digest]:
            own[record.source, record.digest] -= 1
            last[record.source] = record.offset
        else:
            unknown.append(record)
    for record in unknown:
        if record.offset < last.get(record.source, -1):
            what = f"{record.source}@{record.offset} has no entry: {record.title}"
            faults.append(LedgerFault(None, None, "missing", what))
    for (source, _, offset), several in placed.items():
        if source not in compacted:
            what = f"there is no {source}@{offset}, of which it tells"
            faults += [LedgerFault(None, entry.number, "invented", what) for entry in several]
    faults += [
        LedgerFault(None, None, "invented", f"{count} entries tell of a record that {source} does not have: {digest}")
        for (source, digest), count in own.items()
        if count
    ]
    behind = [record for record in unknown if record.offset > last.get(record.source, -1)]
    return Gaps(faults, behind)


def _held(record: SourceRecord, entries: Sequence[LedgerEntry]) -> Iterator[LedgerFault]:
    where = f"{record.source}@{record.offset}"
    for entry in entries:
        if entry.digest != record.digest:
            yield LedgerFault(None, entry.number, "changed", f"{where} says something else now: {record.title}")
    for entry in entries[1:]:
        yield LedgerFault(None, entry.number, "repeated", f"{where} has entry {entries[0].number} already")
