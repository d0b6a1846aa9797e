"""The join said slowly: one record after the other, in dicts and lists."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from headrace.domain.pipeline.spec import Labels
from services.labels.join.layout import MOST_MATURED, NEVER, UNSEEN

FOREVER = 2**62
Report = tuple[int, str, float]
"""Label time, source, value."""


@dataclass
class Event:
    """What is known of one event."""

    time: int | None = None
    predictions: dict[str, int] = field(default_factory=dict)
    reports: list[Report] = field(default_factory=list)
    terminal: str | None = None
    told: bool = False
    matured: bool = False


@dataclass
class Slow:
    """One partition of the exchange. It forgets nothing.

    Attributes:
        outcomes: (prediction id, revision, state, label, label time, source, reports, conflicting, former state, former
            label, as of, mature before) in order.
    """

    rule: Labels
    counts: Mapping[str, int]
    events: dict[str, Event] = field(default_factory=lambda: defaultdict(Event))
    outcomes: list[tuple[Any, ...]] = field(default_factory=list)
    sources: dict[tuple[str, int], tuple[int, int]] = field(default_factory=dict)
    proofs: dict[tuple[str, int], tuple[int, int, int]] = field(default_factory=dict)
    """When a source had a record, when it was seen at its end (FOREVER: it is not), up to when it is complete."""
    maturity: int = NEVER
    as_of: int = NEVER
    next: tuple[int, int, int] = (NEVER, NEVER, NEVER)
    """Maturity and `as_of` that idle sources are to prove, and up to when they are to be complete for that."""

    def rank(self, report: Report) -> tuple[int, int, str, float]:
        """The greatest of these holds: newest, most trusted, first by name, largest."""
        time, source, value = report
        listed = self.rule.sources
        place = listed.index(source) if source in listed else len(listed)
        return time, -place, "".join(chr(0x10FFFF - ord(letter)) for letter in source) + chr(0x10FFFF), value

    def winner(self, event: Event) -> Report | None:
        """The report that holds."""
        return max(event.reports, key=self.rank, default=None)

    def conflicting(self, event: Event) -> bool:
        """Whether the newest reports of different sources disagree."""
        newest: dict[str, Report] = {}
        for report in sorted(event.reports, key=self.rank):
            newest[report[1]] = report
        return len({value for _, _, value in newest.values()}) > 1

    def status(self, event: Event) -> tuple[Any, ...] | None:
        """State, label, label time, source; None while nothing is to be said."""
        held = self.winner(event)
        if held is not None:
            return ("labelled", held[2], held[0], held[1])
        if not event.matured:
            return None
        return ("unlabelled" if self.rule.unlabelled_is is None else "presumed", self.rule.unlabelled_is, None, None)

    def answer(self, event: Event, prediction: str, former: tuple[Any, ...] | None, matured: int | None = None) -> None:
        """Write an outcome; `matured`: when its event happened, where it is its turn to mature."""
        status = self.status(event)
        assert status is not None
        revision = event.predictions[prediction]
        event.predictions[prediction] += 1
        before = former[:2] if former is not None and revision else (None, None)
        flags = (len(event.reports), self.conflicting(event))
        told = max(self.as_of, UNSEEN), self.answered() if matured is None else matured
        self.outcomes.append((prediction, revision, *status, *flags, *before, *told))

    def answered(self) -> int:
        """Before which time all events were answered, while none is due."""
        return UNSEEN if self.maturity == NEVER else max(self.maturity - self.rule.matures_after + 1, UNSEEN)

    def date(self, event: Event, time: int) -> None:
        """Note when an event happened."""
        if event.time is None:
            event.time = time
            event.reports = [report for report in event.reports if report[0] <= time + self.rule.expires_after]

    def fold(self, record: Mapping[str, Any]) -> None:
        """Take one record."""
        for row in record["predictions"]:
            self.predict(row)
        for row in record["labels"]:
            self.label(row)
        told = record["events"]
        keys = told["entities"][0]["keys"] if told["entities"] else []
        for name, time, who in zip(told["event_ids"], told["times"], keys, strict=True):
            event = self.events[name]
            self.date(event, time)
            if not event.told:
                event.told, event.terminal = True, who
        self.mark(record)

    def predict(self, row: Mapping[str, Any]) -> None:
        """Take a prediction."""
        event = self.events[row["event_id"]]
        self.date(event, row["event_time"])
        if row["prediction_id"] in event.predictions:
            nothing = (None, None, None)
            told = max(self.as_of, UNSEEN), self.answered()
            self.outcomes.append((row["prediction_id"], -1, "repeated", *nothing, 0, False, None, None, *told))
            return
        event.predictions[row["prediction_id"]] = 0
        assert event.time is not None
        if event.time + self.rule.matures_after <= self.maturity:
            event.matured = True
        if self.status(event) is not None:
            self.answer(event, row["prediction_id"], None)

    def label(self, row: Mapping[str, Any]) -> None:
        """Take a label."""
        event = self.events[row["event_id"]]
        report = (row["label_time"], row["source"], row["value"])
        if event.time is not None and report[0] > event.time + self.rule.expires_after:
            return
        if report in event.reports:
            return
        former, conflicted = self.status(event), self.conflicting(event)
        held = self.winner(event)
        event.reports.append(report)
        if self.winner(event) != held or self.conflicting(event) != conflicted:
            for prediction in event.predictions:
                self.answer(event, prediction, former)

    def mark(self, record: Mapping[str, Any]) -> None:
        """Take up how far a source is; what matures by it is answered."""
        place = record["source"], record["source_partition"]
        progress, idle = self.sources.get(place, (NEVER, NEVER))
        told = record["progress"] if record["progress"] not in (0, UNSEEN) else NEVER
        back = progress != NEVER and NEVER < told < progress - self.rule.expires_after
        if back and record["source"] in ("labels", "predictions"):
            self.maturity = self.as_of = NEVER
            self.next = (NEVER, NEVER, NEVER)
            progress = told
        elif record["source"] == "events" and told != NEVER:
            progress = told
        else:
            progress = max(progress, told)
        self.sources[place] = progress, max(idle, record["time"]) if record["idle"] else NEVER
        if record["source"] in ("labels", "predictions"):
            self.prove(place, record["idle"], record["time"])
            self.move()
        self.tell()

    def prove(self, place: tuple[str, int], idle: bool, time: int) -> None:
        """Note up to when a source that is idle is complete: twice as long ago as it was seen before."""
        written, seen, until = self.proofs.get(place, (NEVER, FOREVER, FOREVER))
        if not idle:
            self.proofs[place] = time, FOREVER, FOREVER
        elif time < seen:
            self.proofs[place] = min(written, time), time, NEVER
        elif time > seen:
            self.proofs[place] = min(written, time), time, max(until, 2 * seen - time)

    def move(self) -> None:
        """Move time as far as the sources say, where those that are idle are complete enough."""
        labels, predictions = self.reached("labels"), self.reached("predictions")
        as_of = self.seen("labels") if labels == FOREVER else labels
        all_idle = labels == predictions == FOREVER
        newest = max(self.seen("labels"), self.seen("predictions"))
        maturity = newest if all_idle else min(labels, predictions)
        proven, written = (
            min(proof[2] for proof in self.proofs.values()),
            max(proof[0] for proof in self.proofs.values()),
        )
        self.next = (*self.next[:2], min(self.next[2], written))
        if proven >= written:
            self.maturity, self.as_of = max(self.maturity, maturity), max(self.as_of, as_of)
            self.next = (*self.next[:2], NEVER)
        elif proven >= self.next[2]:
            self.maturity = max(self.maturity, min(self.next[0], maturity))
            self.as_of = max(self.as_of, min(self.next[1], as_of))
            self.next = maturity, as_of, written

    def tell(self) -> None:
        """Answer what has matured."""
        due = [event for event in self.events.values() if event.predictions and not event.matured]
        limit = self.maturity - self.rule.matures_after
        due = [event for event in due if event.time is not None and event.time <= limit]
        assert len(due) <= MOST_MATURED
        for event in due:
            event.matured = True
            if not event.reports:
                for prediction in event.predictions:
                    self.answer(event, prediction, None, max(event.time or 0, UNSEEN))

    def reached(self, topic: str) -> int:
        """The time that all partitions of a source that are awake have passed; FOREVER when all are idle."""
        found = [self.sources.get((topic, partition)) for partition in range(self.counts[topic])]
        known = [each for each in found if each is not None]
        if len(known) < len(found):
            return NEVER
        return min((progress for progress, idle in known if idle == NEVER), default=FOREVER)

    def seen(self, topic: str) -> int:
        """The largest time seen in a source; NEVER before all partitions were heard of."""
        found = [self.sources.get((topic, partition)) for partition in range(self.counts[topic])]
        return NEVER if None in found else max(progress for progress, _ in filter(None, found))

    def known(self, event: Event, moment: int) -> float | None:
        """The label of an event as it was known at a moment."""
        reports = [report for report in event.reports if report[0] <= moment]
        return max(reports, key=self.rank)[2] if reports else None


def plain(rows: Sequence[Mapping[str, Any]]) -> list[tuple[Any, ...]]:
    """Outcomes as `Slow` says them."""
    return [
        (
            row["prediction_id"], row["revision"], row["state"], row["label"], row["label_time"], row["label_source"],
            row["reports"], row["conflicting"], row["former_state"], row["former_label"], row["as_of"],
            row["mature_before"],
        )
        for row in rows
    ]  # fmt: skip  # in its order
