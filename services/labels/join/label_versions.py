"""The different reports of one event, the one that holds first, and what views are told when one is added.

Of two reports the one with the newer label time holds more; of the same time the one whose source ranks higher, then
the larger value. So what holds does not depend on the order in which reports came, and what held at any moment u is the
first whose label time is not after u.
"""

from __future__ import annotations

from headrace.columnar.jit import kernel
from headrace.columnar.structs import I8, at
from services.labels.join.arena import REPORT_SIZE, allot, event_at, report_at, set_time, time_of
from services.labels.join.layout import (
    CHANGE,
    CONFLICTING,
    FLAG_BITS,
    IS_REPORT,
    MOST_REPORTS,
    EventRecord,
    Memory,
    Report,
)


@kernel
def source_of(report: Report) -> int:
    """The number of the source of a report."""
    return report.head >> 2


@kernel
def holds_more(join: Memory, time: int, source: int, value: float, other: Report) -> bool:
    """Whether a report that is none yet holds more than another one."""
    if time != time_of(other):
        return time > time_of(other)
    mine, theirs = at(join.ranks, source, I8), at(join.ranks, source_of(other), I8)
    if mine != theirs:
        return mine < theirs
    return value > other.value


@kernel
def known(join: Memory, event: EventRecord, time: int, source: int, value: float) -> bool:
    """Whether the event has this very report already."""
    address = event.reports
    while address != 0:
        report = report_at(join, address)
        if time_of(report) == time and source_of(report) == source and report.value == value:
            return True
        address = report.next
    return False


@kernel
def count(event: EventRecord) -> int:
    """How many different reports the event has."""
    return event.flags >> FLAG_BITS


@kernel
def add(join: Memory, event: EventRecord, time: int, source: int, value: float) -> None:
    """Put a report in its place. When there are too many, the one that holds least makes room, or the new one does."""
    before, after = 0, event.reports
    while after != 0 and not holds_more(join, time, source, value, report_at(join, after)):
        before = after
        after = report_at(join, after).next
    if count(event) >= MOST_REPORTS:
        if after == 0:
            return
        address = _take_out_last(join, event)
        if address == after:
            after = 0
    else:
        address = allot(join, REPORT_SIZE, IS_REPORT)
        event.flags += 1 << FLAG_BITS
    report = report_at(join, address)
    report.head = source << 2 | IS_REPORT
    report.next = after
    report.value = value
    set_time(report, time)
    _link(join, event, before, address)


@kernel
def _take_out_last(join: Memory, event: EventRecord) -> int:
    """Unlink the report that holds least; returns its address."""
    before, last = 0, event.reports
    while report_at(join, last).next != 0:
        before = last
        last = report_at(join, last).next
    _link(join, event, before, 0)
    return last


@kernel
def _link(join: Memory, event: EventRecord, before: int, address: int) -> None:
    """Set what follows a report; 0 stands for the event itself."""
    if before == 0:
        event.reports = address
    else:
        report_at(join, before).next = address


@kernel
def drop_late(join: Memory, event: EventRecord, last: int) -> int:
    """Take out the reports with a label time after `last`; returns how many. They stand first."""
    gone, address = 0, event.reports
    while address != 0 and time_of(report_at(join, address)) > last:
        gone += 1
        address = report_at(join, address).next
    event.reports = address
    event.flags -= gone << FLAG_BITS
    return gone


@kernel
def weigh(join: Memory, event: EventRecord) -> None:
    """Set the event's flag: do the newest reports of different sources disagree?"""
    event.flags &= ~CONFLICTING
    if event.reports == 0:
        return
    value = report_at(join, event.reports).value
    address = event.reports
    while address != 0:
        report = report_at(join, address)
        if report.value != value and _newest_of_its_source(join, event, address):
            event.flags |= CONFLICTING
            return
        address = report.next


@kernel
def _newest_of_its_source(join: Memory, event: EventRecord, address: int) -> bool:
    source, other = source_of(report_at(join, address)), event.reports
    while other != address and source_of(report_at(join, other)) != source:
        other = report_at(join, other).next
    return other == address


@kernel
def tell_change(join: Memory, row: int, address: int, time: int, source: int, value: float) -> None:
    """Tell views what changes when this report, not yet among the event's, is added.

    From `time` to the next label time known, it replaces what held at `time`; what held there before is taken back at
    that next time.
    """
    place, after = event_at(join, address).reports, 0
    while place != 0 and time_of(report_at(join, place)) > time:
        after = place
        place = report_at(join, place).next
    new, former = 1, 0.0
    if place != 0:
        held = report_at(join, place)
        if time_of(held) == time and not holds_more(join, time, source, value, held):
            return
        new, former = 0, held.value
        if former == value:
            return
    _tell(join, row, address, time, new, value, former)
    if after != 0:
        _tell(join, row, address, time_of(report_at(join, after)), -new, former, value)


@kernel
def tell_all(join: Memory, row: int, address: int) -> None:
    """Tell views all that is known of an event's label, for the first time."""
    place = event_at(join, address).reports
    while place != 0:
        report = report_at(join, place)
        time = time_of(report)
        below = report.next
        while below != 0 and time_of(report_at(join, below)) == time:
            below = report_at(join, below).next
        if below == 0:
            _tell(join, row, address, time, 1, report.value, 0.0)
        elif report_at(join, below).value != report.value:
            _tell(join, row, address, time, 0, report.value, report_at(join, below).value)
        place = below


@kernel
def changes_lack(join: Memory, more: int) -> bool:
    """Whether there is too little room to tell so many more."""
    return join.told_changes + more > join.changes.length


@kernel
def _tell(join: Memory, row: int, address: int, known_from: int, new: int, value: float, former: float) -> None:
    change = at(join.changes, join.told_changes, CHANGE)
    change.row, change.event, change.known, change.new = row, address, known_from, new
    change.value, change.former = value, former
    join.told_changes += 1
