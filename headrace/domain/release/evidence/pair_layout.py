"""How the table of events that wait is laid out: records that kernels share, and what they tell."""

from __future__ import annotations

from headrace.columnar.structs import Span, f8, i4, i8, kind_of, u4

NOWHERE = -1
"""In the place of a slot: none."""
LOOK = -1
"""In the place of a pair: stream time reached a look."""
LAST = 2**63 - 1
"""Behind all progress."""
STEPS = 64
"""Of `patience`, in which events are given up."""
MOST_LOOKS = 100_000
"""A step of stream time over more looks than this is taken at once."""
DONE, FULL, CROWDED = range(3)
"""What `walk` tells: all is taken in; what is told has no room for more; there are as many events as slots."""


class OutcomeRow:
    """A first outcome of a model that is asked about: see `OutcomeRows`."""

    progress: i8
    offset: i8
    key: i8
    time: i8
    score: f8
    label: f8
    source: i4
    model: i4


class RowPart:
    """Rows of one partition that are told and not taken in, in the order of their offsets."""

    rows: Span
    at: i8
    """The first of them that is not taken in."""
    source: i8
    answers: Span
    """float64: the chances of several classes of each row; nothing of others."""


class RowLane:
    """Where a partition stands."""

    part: i8
    """The part that its next row is in."""
    progress: i8
    """Of that row; LAST where it has none whose turn it is."""


class ModelPair:
    """Two models by their numbers, -1 where there is no pair, and the event time from which events count."""

    candidate: i8
    baseline: i8
    since: i8


class WaitingEvent:
    """An event. Three fields have a bit a pair: whether a row of its candidate, of its baseline, came that counts for
    it, and whether it was taken, or can never be.
    """

    key: i8
    time: i8
    label: f8
    source: i4
    candidates: u4
    baselines: u4
    taken: u4
    mature: u4
    code: u4
    """Its hash."""


class EventPlace:
    """Of the table by hash: an event's slot, NOWHERE for none, and its hash."""

    slot: i4
    code: u4


class EventDue:
    """Of the heap: an event's slot, and when it was, so that most comparisons need not look into slots."""

    time: i8
    slot: i8


class PairStep:
    """What follows from rows: a pair is known, and has no label yet (NaN), or an event of it is taken in; or LOOK."""

    pair: i8
    time: i8
    """Of the event; of a look that which stream time reached."""
    candidate: f8
    champion: f8
    label: f8


class WholeItem:
    """An item of a span of integers, to be set."""

    value: i8


class RealItem:
    """An item of a span of numbers, to be set."""

    value: f8


class PairTally:
    """What is counted of a pair."""

    late: i8
    unlabelled: i8
    alone: i8
    baseline_alone: i8
    unusable: i8


class EventTable:
    """All of it.

    Spans: the pairs, and from which offset on rows count, by pair and partition, and what is counted of each; the rows;
    the events, the score of each model at each, or its chances of all classes, and what finds them; offsets after the
    newest row by partition; what is told, chances of classes there, candidate and champion, which of it are looks, and
    the counts of pairs and the offsets there.
    """

    pairs: Span
    begins: Span
    tallies: Span
    parts: Span
    lanes: Span
    slots: Span
    scores: Span
    places: Span
    heap: Span
    ring: Span
    spare: Span
    offsets: Span
    steps: Span
    answers: Span
    looks_at: Span
    tallies_then: Span
    offsets_then: Span
    used: i8
    """Pairs, up to the last one that is asked for."""
    models: i8
    width: i8
    """Numbers of a score: as many as there are classes, else 1."""
    every: i8
    patience: i8
    most: i8
    """Events at once."""
    chances: i8
    heap_count: i8
    ring_at: i8
    ring_count: i8
    spare_count: i8
    lane_count: i8
    lane: i8
    """The lane whose row is next, NOWHERE where none has its turn."""
    rival: i8
    """The lane that would be next, were there no further rows in the former; `rival_progress`: of its row."""
    rival_progress: i8
    told: i8
    """Steps that are told; `looks`: how many of them are looks."""
    looks: i8
    recent: i8
    """The slot of the row before: rows of an event mostly follow one another."""
    expires: i8
    """Stream time from which on further events are given up."""
    reached: i8
    """Stream time."""
    boundary: i8
    """The next look."""
    twice: i8
    """Rows of a model that was there."""
    disagreed: i8
    """Rows whose label is not their event's first."""
    crowded: i8
    """Rows that found no room."""
    begun: i8
    """Whether looks have begun."""


ROW, PART, LANE, PAIR = kind_of(OutcomeRow), kind_of(RowPart), kind_of(RowLane), kind_of(ModelPair)
EVENT, PLACE, DUE, PAIR_STEP, TALLY = (
    kind_of(WaitingEvent),
    kind_of(EventPlace),
    kind_of(EventDue),
    kind_of(PairStep),
    kind_of(PairTally),
)
WHOLE, REAL, TABLE = kind_of(WholeItem), kind_of(RealItem), kind_of(EventTable)
