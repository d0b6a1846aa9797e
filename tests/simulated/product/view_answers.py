"""What the views of an event deserve to say, reckoned from all events and labels: row by row, in plain Python."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from math import isclose
from typing import Any

from tests.watermarks import NEVER, Backfill

Row = Mapping[str, Any]
Windows = Mapping[str, int]
SECOND = 1_000
LATENESS, DELAY, IDLE_AFTER = 2 * SECOND, 4 * SECOND, 2 * SECOND
OWN: Windows = {"1m": 60 * SECOND}


@dataclass(frozen=True, slots=True)
class Report:
    """A label of an event: what it says, since when it is known, when it was written; whether another one stands
    before it in its partition that is known only later, is for `after`: the latest time of those.
    """

    value: float
    time: int
    stamp: int
    after: int


@dataclass(slots=True)
class Entry:
    """An event that passed.

    Attributes:
        place: partition and offset.
        stamp: when it was written, ms.
        told: whether other views are told of it: it did not come too late for those who wait for its partition.
        own: what the view of its own entity says.
    """

    place: tuple[int, int]
    row: Row
    stamp: int
    told: bool
    own: Row
    reports: Sequence[Report] = ()

    @property
    def time(self) -> int:
        """When it happened, ms."""
        return int(self.row["sent_at"])

    @property
    def backfill(self) -> bool:
        """Whether it was written long after it happened."""
        return self.stamp - self.time > LATENESS + IDLE_AFTER

    def behind(self, other: Entry) -> bool:
        """Whether it comes behind another one of its partition: the first of a backfill wait for no such (ADR 18)."""
        return self.place[0] == other.place[0] and self.place[1] > other.place[1]

    @property
    def seen_from(self) -> int:
        """What was written before that time is seen by it, unless it has an age."""
        return self.stamp + IDLE_AFTER if self.backfill else self.time - DELAY + LATENESS + 1


Sound = Sequence[tuple[int, int, Row]]
"""The events of a partition that are sound: (offset, when it was written, what it says)."""


class Passed:
    """The events that pass.

    Attributes:
        entries: by id.
        late: the places of those that come too late: (partition, offset).
    """

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.late: set[tuple[int, int]] = set()
        self._clocks: list[Backfill] = []
        self._before: dict[str, list[Row]] = defaultdict(list)

    def take(self, parts: Sequence[Sound]) -> None:
        """Take up the next events of every partition. Where there are more partitions than before, the time of all is
        that of the one that was least far.
        """
        if len(parts) > len(self._clocks):
            least = min(self._clocks, key=lambda clock: clock.firm, default=Backfill(LATENESS))
            self._clocks = [deepcopy(least) for _ in parts]
        for number, (part, clock) in enumerate(zip(parts, self._clocks, strict=True)):
            for offset, stamp, row in part:
                if row["parcel"] not in self.entries:
                    self._pass(clock, (number, offset), stamp, row)

    def _pass(self, clock: Backfill, place: tuple[int, int], stamp: int, row: Row) -> None:
        time = row["sent_at"]
        if clock.firm != NEVER and time < clock.firm - LATENESS:
            self.late.add(place)
            return
        told = clock.credible == NEVER or time >= clock.credible - LATENESS
        clock.take(time)
        mine = self._before[row["customer"]]
        mine.append(row)
        self.entries[row["parcel"]] = Entry(place, row, stamp, told, dict(_sums(time, mine, OWN)))


def _sums(until: int, rows: Sequence[Row], windows: Windows) -> Iterator[tuple[str, float]]:
    """What is asked of windows that end at a time."""
    for name, duration in windows.items():
        weights = [each["weight"] for each in rows if until - duration < each["sent_at"] <= until]
        yield f"sent_{name}", len(weights)
        yield f"kilos_{name}", sum(weights)


def faults(
    entry: Entry, entries: Iterable[Entry], found: Row, age: int, windows: Windows, labels: bool
) -> Iterator[str]:
    """In what an answer about a depot is another than it may be.

    All that happened a while before the event is in it; without what is younger than that by no more than the age.
    """
    until = entry.time - DELAY
    may = [each for each in entries if each.told and each.row["depot"] == entry.row["depot"] and each.time <= until]
    must = [
        each
        for each in may
        if each.time <= until - age and each.stamp < entry.seen_from - age and not each.behind(entry)
    ]
    most, least = (dict(_sums(until, [each.row for each in some], windows)) for some in (may, must))
    for name in most:
        if not least[name] <= found[name] <= most[name]:
            yield f"{name} {found[name]}, which is {least[name]} to {most[name]}"
    if not labels:
        return
    certain = {id(each) for each in must}
    for name, duration in windows.items():
        inside = [each for each in may if until - duration < each.time]
        bounds = [_bounds(each, id(each) in certain, entry, age) for each in inside]
        for what in ("told", "lost"):
            low, high = (sum(each[f"{end} {what}"] for each in bounds) for end in ("least", "most"))
            if not low <= found[f"{what}_{name}"] <= high:
                yield f"{what}_{name} {found[f'{what}_{name}']}, which is {low} to {high}"
        sent, lost = found[f"sent_{name}"], found[f"lost_{name}"]
        if not isclose(found[f"risk_{name}"], lost / sent if sent else 0.0, rel_tol=1e-12):
            yield f"risk_{name} {found[f'risk_{name}']}, with {lost} lost of {sent}"


def _bounds(each: Entry, certain: bool, entry: Entry, age: int) -> Mapping[str, float]:
    """What an entry may add to the number and sum of labels that an event finds."""
    known = [report for report in each.reports if report.time <= entry.time]
    sure = [report for report in known if certain and _sure(report, each, entry, age)]
    since = max((report.time for report in sure), default=NEVER)
    values = [report.value for report in known if report.time >= since]
    if not sure:
        values.append(0.0)
    return {
        "least told": bool(sure), "most told": bool(known), "least lost": min(values), "most lost": max(values),
    }  # fmt: skip  # one line's worth


def _sure(report: Report, each: Entry, entry: Entry, age: int) -> bool:
    """Whether an event that has an age finds a label."""
    if entry.backfill:  # It waits for labels up to its own time; those in order are told by then.
        return report.time <= entry.time - age and report.after < entry.time and report.stamp < entry.seen_from - age
    return max(report.stamp, each.stamp) < entry.time - age
