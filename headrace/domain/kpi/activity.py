"""What was written to predictions and dead letters, by spans of ten seconds, and how far both are read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from headrace.domain.kpi.figure_point import FigurePoint
from headrace.domain.pipeline import units
from headrace.domain.pipeline.kpi.section import LONGEST_WITHIN, STEP
from headrace.domain.pipeline.kpi.spec import MINUTE, KpiRule
from headrace.domain.pipeline.units import moment
from headrace.domain.quality.statistics.quantiles import Buckets

PREDICTIONS, LETTERS = "predictions", "dead-letters"
SETTLED = 5_000
"""Milliseconds: what was written longer ago than everything read is there, transactions and all."""
STALE = MINUTE
"""Milliseconds behind the clock from which on figures are not those of now."""
FURTHEST = 24 * 60 * MINUTE
"""Milliseconds: of a longer time that nobody looked at, the newest part is judged."""


@dataclass(slots=True)
class RecordSpan:
    """What was written within ten seconds.

    Attributes:
        counts: records by topic.
        newest: time of the newest prediction, milliseconds; 0 without any.
        latency: live predictions by the bucket of their latency, see `Buckets`.
        zeros: those without any.
    """

    counts: dict[str, int] = field(default_factory=dict)
    newest: int = 0
    latency: dict[int, int] = field(default_factory=dict)
    zeros: int = 0

    def add(self, topic: str, said: list[Any]) -> None:
        """Add what a part tells of some records of a topic."""
        count, newest, latency, zeros = said
        self.counts[topic] = self.counts.get(topic, 0) + count
        self.newest = max(self.newest, newest if topic == PREDICTIONS else 0)
        for bucket, number in latency:
            self.latency[bucket] = self.latency.get(bucket, 0) + number
        self.zeros += zeros

    def plain(self) -> list[Any]:
        """As JSON has it."""
        return [self.counts, self.newest, [*self.latency.items()], self.zeros]


@dataclass(slots=True)
class Activity:
    """A fold of what was read, and of the clock.

    Figures are judged at every tenth second of the clock once all that was written before it is read, whenever that is:
    they are those of that moment, and follow from the records alone.

    Attributes:
        spans: by their number since the epoch.
        before: time of the newest prediction in spans that were dropped.
        read: by topic and partition, up to when all that was written is read, milliseconds.
        judged: the last moment that was, milliseconds; None: none was.
    """

    spans: dict[int, RecordSpan] = field(default_factory=dict)
    before: int = 0
    read: dict[tuple[str, int], int] = field(default_factory=dict)
    judged: int | None = None

    def take(self, topic: str, partition: int, spans: Mapping[str, list[Any]], until: int) -> None:
        """Take up records of a partition that were written until a time; none, where its end was seen then."""
        place = topic, partition
        self.read[place] = max(self.read.get(place, 0), until)
        for number, said in spans.items():
            if self.judged is not None and int(number) * STEP < self.judged - LONGEST_WITHIN:
                self.before = max(self.before, said[1] if topic == PREDICTIONS else 0)
            else:
                self.spans.setdefault(int(number), RecordSpan()).add(topic, said)

    def complete(self, topics: Mapping[str, int], names: tuple[str, ...]) -> int | None:
        """Up to when all partitions of some topics are read; None while one is not known of.

        `topics`: how many partitions each has.
        """
        read = [self.read.get((name, part)) for name in names for part in range(topics.get(name, 0))]
        known = [until for until in read if until is not None]
        return min(known) if known and len(known) == len(read) else None

    def moments(self, topics: Mapping[str, int], now: int) -> Iterator[int]:
        """Moments that are to be judged, in their order; the clock says `now`, milliseconds."""
        if self.judged is None:
            self.judged = now // STEP * STEP
        until = self.complete(topics, (PREDICTIONS, LETTERS))
        if until is None:
            return
        until = min(until, now) - SETTLED
        self.judged = max(self.judged, (until - FURTHEST) // STEP * STEP)
        while self.judged + STEP <= until:
            self.judged += STEP
            yield self.judged
        self._forget()

    def _forget(self) -> None:
        assert self.judged is not None
        for old in [number for number in self.spans if number * STEP < self.judged - LONGEST_WITHIN]:
            self.before = max(self.before, self.spans.pop(old).newest)

    def behind(self, topics: Mapping[str, int], now: int) -> str | None:
        """Why figures of now are not known; None: they are."""
        until = self.complete(topics, (PREDICTIONS, LETTERS))
        if until is not None and now - until <= STALE:
            return None
        there = "not all partitions" if until is None else f"up to {moment(until)}"
        return f"kpi has read {PREDICTIONS} and {LETTERS}: {there}, until it has caught up"

    def figure(self, rule: KpiRule, at: int) -> FigurePoint | str:
        """A rule's figure at a moment that is judged, or why there is none, and until when."""
        end = at // STEP
        if rule.figure == "age_of_last_prediction_seconds":
            newest = max([self.before, *(span.newest for number, span in self.spans.items() if number < end)])
            if not newest:
                return f"{PREDICTIONS} have had no record since they are watched, until one comes"
            return FigurePoint(at, (at - newest) / 1000)
        within = units.duration(rule.within)
        spans = [self.spans[number] for number in range(end - rule.within // STEP, end) if number in self.spans]
        predictions, letters = (sum(span.counts.get(topic, 0) for span in spans) for topic in (PREDICTIONS, LETTERS))
        if rule.figure == "predictions_per_minute":
            return FigurePoint(at, predictions * MINUTE / rule.within, predictions)
        if rule.figure == "dead_letters_per_minute":
            return FigurePoint(at, letters * MINUTE / rule.within, letters)
        if rule.figure == "dead_letters_share":
            if not predictions + letters:
                return (
                    f"within {within} before {moment(at)} was neither a prediction nor a dead letter, until one comes"
                )
            return FigurePoint(at, letters / (predictions + letters), predictions + letters)
        latency: dict[int, int] = {}
        for span in spans:
            for bucket, number in span.latency.items():
                latency[bucket] = latency.get(bucket, 0) + number
        numbers = np.array(sorted(latency), np.int64)
        counts = np.array([latency[number] for number in numbers.tolist()], np.int64)
        found = Buckets(numbers, counts, sum(span.zeros for span in spans))
        value = found.quantile(0.99)
        if value is None:
            return f"within {within} before {moment(at)} was no live prediction, until one comes"
        return FigurePoint(at, value, found.rows)

    def plain(self) -> list[Any]:
        """As JSON has it."""
        spans = [[number, span.plain()] for number, span in self.spans.items()]
        read = [[topic, partition, until] for (topic, partition), until in self.read.items()]
        return [spans, self.before, read, self.judged]

    def restore(self, said: list[Any]) -> None:
        """Become what `plain` said."""
        spans, self.before, read, self.judged = said
        self.spans = {}
        for number, (counts, newest, latency, zeros) in spans:
            self.spans[number] = RecordSpan(dict(counts), newest, dict(latency), zeros)
        self.read = {(topic, partition): until for topic, partition, until in read}
