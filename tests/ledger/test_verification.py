"""A ledger that was changed is found out, and the first bad entry is named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.domain.ledger.chain import LedgerChain
from headrace.domain.ledger.entry import LedgerEntry, LedgerRecord, canonical, digest_of, read_entry
from headrace.domain.ledger.ledger_end import LedgerProgress, cut_off
from headrace.domain.ledger.sources import COMPACTED
from headrace.domain.ledger.verification import Gaps, SourceRecord, broken_links, gaps

Entries = list[tuple[int, LedgerEntry]]


def ledger(count: int = 6) -> Entries:
    """Entries of control events; each has its number as offset on the topic, and at its source."""
    chain = LedgerChain("p")
    return [(at, chain.append(record(at))) for at in range(1, count + 1)]


def record(at: int, offset: int | None = None) -> LedgerRecord:
    """A record of the control topic."""
    content = canonical({"event_id": f"e{at}", "evidence": {"n": str(at)}})
    return LedgerRecord("found", 1_000 * at, "drift", "control", 0, at if offset is None else offset, content)


def kinds(entries: Entries) -> list[tuple[int | None, str]]:
    """(number, kind) of what is wrong."""
    return [(fault.number, fault.kind) for fault in broken_links("p", entries)]


def forged(entry: LedgerEntry, **fields: object) -> LedgerEntry:
    """An entry with other fields, and the digest and hash that these give."""
    changed = replace(entry, **fields)  # type: ignore[arg-type]  # any field
    changed = replace(changed, digest=digest_of(changed.content))
    return replace(changed, hash=changed.computed())


def test_what_was_written_is_whole() -> None:
    """Nothing is wrong with it, and an empty one."""
    assert kinds(ledger()) == kinds([]) == []


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        (lambda log: replaced(log, 2, replace(log[2][1], content="{}")), [(3, "changed")]),
        (lambda log: replaced(log, 2, replace(log[2][1], actor="bob")), [(3, "changed")]),
        (lambda log: replaced(log, 2, replace(log[2][1], time=7)), [(3, "changed")]),
        (lambda log: replaced(log, 2, forged(log[2][1], actor="bob")), [(4, "changed")]),
        (lambda log: log[:2] + log[3:], [(4, "dropped")]),
        (lambda log: log[2:], [(3, "begun late")]),
        (lambda log: [*log[:3], log[2], *log[3:]], [(3, "repeated")]),
        (lambda log: [*log[:2], log[3], log[2], *log[4:]], [(4, "reordered"), (3, "reordered"), (5, "reordered")]),
        (lambda log: [log[-1], *log[:-1]], [(6, "reordered"), (1, "reordered")]),
    ],
    ids=[
        "another content",
        "another actor",
        "another time",
        "another actor, hashed anew",
        "one dropped",
        "the first ones dropped",
        "one twice",
        "two in another order",
        "the last one first",
    ],
)
def test_a_change_is_found(change: Callable[[Entries], Entries], wrong: list[tuple[int, str]]) -> None:
    """The first one that is named is the first that is wrong, or that follows it."""
    assert kinds(change(ledger())) == wrong


def replaced(log: Entries, at: int, entry: LedgerEntry) -> Entries:
    """With another entry at a place."""
    return [*log[:at], (log[at][0], entry), *log[at + 1 :]]


@given(st.data())
def test_whatever_is_changed_of_any_entry_is_found(data: st.DataObject) -> None:
    """In any field, to any value that it can have, though its own hash be made anew."""
    log = ledger()
    at = data.draw(st.integers(0, len(log) - 1))
    entry = log[at][1]
    values: dict[str, st.SearchStrategy[object]] = {
        "number": st.integers(),
        "time": st.integers(),
        "source_offset": st.none() | st.integers(),
        **{
            name: st.text() for name in ("pipeline", "type", "actor", "source", "content", "digest", "previous", "hash")
        },
    }
    name = data.draw(st.sampled_from(sorted(values)))
    value = data.draw(values[name].filter(lambda value: value != getattr(entry, name)))
    changed = replace(entry, **{name: value})  # type: ignore[arg-type]  # any field
    if data.draw(st.booleans()) and name not in ("digest", "hash"):
        changed = forged(changed)
        if at == len(log) - 1 and name not in ("number", "previous", "pipeline"):
            return  # Nothing is bound to the last one yet: its source says what it was.
    faults = list(broken_links("p", replaced(log, at, changed)))
    assert faults
    assert faults[0].offset is not None
    assert faults[0].offset <= log[at][0] + 1


@given(st.lists(st.integers(0, 5), unique=True))
def test_whatever_is_left_out_is_found(left_out: list[int]) -> None:
    """But for the last ones, whose sources tell."""
    log = ledger()
    kept = [each for at, each in enumerate(log) if at not in left_out]
    cut = [number for number in range(1, 7) if number <= len(kept)]
    assert bool(kinds(kept)) == ([entry.number for _, entry in kept] != cut)


@given(st.permutations(range(6)))
def test_any_other_order_is_found(order: list[int]) -> None:
    """All entries are there."""
    log = ledger()
    assert bool(kinds([log[at] for at in order])) == (order != list(range(6)))


def test_an_entry_survives_its_record() -> None:
    """As columns have it."""
    entry = ledger()[0][1]
    assert read_entry(entry.row()) == entry


# ---- against its sources ---------------------------------------------------------------------------------------------


def source(at: int, what: int | None = None, topic: str = "control") -> SourceRecord:
    """The record of an offset."""
    return SourceRecord(topic, 0, at, record(what or at).digest, f"record {at}")


def held(log: Entries, records: list[SourceRecord]) -> Gaps:
    """A ledger against records."""
    return gaps([entry for _, entry in log], records, COMPACTED)


def test_all_that_its_sources_have_is_there() -> None:
    """Offsets may have gaps, where transactions ended."""
    found = held(ledger(), [source(at) for at in range(1, 7)])
    assert (found.faults, found.behind) == ([], [])


def test_a_record_without_an_entry_is_missing_once_later_ones_have_theirs() -> None:
    """The last ones may be on their way; the end of the ledger may be gone as well."""
    found = held(ledger(), [source(at) for at in (0, 1, 2, 3, 4, 5, 6, 7, 8)])
    assert [(fault.kind, fault.what) for fault in found.faults] == [("missing", "control@0 has no entry: record 0")]
    assert [record.offset for record in found.behind] == [7, 8]


def test_a_source_that_says_something_else_is_found() -> None:
    """Whichever of the two was changed."""
    found = held(ledger(), [source(at, 9 if at == 4 else at) for at in range(1, 7)])
    assert [(fault.number, fault.kind) for fault in found.faults] == [(4, "changed")]


def test_an_entry_without_its_record_is_found() -> None:
    """But for plans, of which the newest is kept."""
    found = held(ledger(), [source(at) for at in range(2, 7)])
    assert [(fault.number, fault.kind) for fault in found.faults] == [(1, "invented")]
    chain = LedgerChain("p")
    plans = [(at, chain.append(replace(record(at), source="plans"))) for at in range(3)]
    assert held(plans, [source(2, 2, "plans")]).faults == []


def test_a_record_with_two_entries_is_found() -> None:
    """Though the chain be whole."""
    chain = LedgerChain("p")
    log = [(at, chain.append(record(offset))) for at, offset in enumerate((1, 2, 2, 3))]
    found = held(log, [source(at) for at in (1, 2, 3)])
    assert [(fault.number, fault.kind) for fault in found.faults] == [(3, "repeated")]


def test_a_decision_is_known_by_its_digest() -> None:
    """It had no offset yet when its entry was written; it counts once."""
    chain = LedgerChain("p")
    own = replace(record(2), source_offset=None)
    log = [(0, chain.append(record(1))), (1, chain.append(own))]
    assert held(log, [source(1), source(2)]) == Gaps([], [])
    twice = [*log, (2, chain.append(own))]
    assert [fault.kind for fault in held(twice, [source(1), source(2)]).faults] == ["invented"]
    assert [record.offset for record in held(log, [source(1), source(2), source(5, 2)]).behind] == [5]


# ---- its end ---------------------------------------------------------------------------------------------------------


def test_records_that_were_taken_in_and_have_no_entry_are_cut_off() -> None:
    """Those that are not in order yet, or stand among the parts that wait, are behind."""
    late = held(ledger(), [source(at) for at in range(1, 12)]).behind
    progress = LedgerProgress({("control", 0): 10}, {("control", 0, 9)})
    assert [fault.what.partition(" was")[0] for fault in cut_off(late, progress)] == ["control@7", "control@8"]
    assert list(cut_off(late, LedgerProgress({}, set()))) == []


def test_nothing_is_cut_off_while_a_plan_is_on_its_way() -> None:
    """What came before it waits for it in the state of the service, without an entry."""
    plan = source(20, 20, "plans")
    late = held(ledger(), [source(at) for at in range(1, 9)] + [plan]).behind
    on_its_way = LedgerProgress({("control", 0): 10, ("plans", 0): 20}, set())
    assert list(cut_off(late, on_its_way)) == []
    taken = LedgerProgress({("control", 0): 10, ("plans", 0): 21}, set())
    assert [fault.kind for fault in cut_off(late, taken)] == ["cut off"] * 3
