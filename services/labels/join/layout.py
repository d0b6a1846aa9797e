"""How a join's memory is laid out: records in blocks, the tables that find them, what the fold reads and tells.

A join holds millions of events for months, so they are no objects but records in blocks of bytes, reached by addresses.
An address has 32 bits: the slot of its block, and its place there in units of two bytes; 0 is nowhere. Blocks are
filled and given up in the order of arrival. A record never moves, and points only to records younger than itself, but
for the links among the events of a bucket.

Every record in a block begins with a head: size << 2 | what it is. Fields follow one another without gaps, so that an
event takes 30 bytes and its id. Times are milliseconds; those of 48 bits reach 4,000 years either way.

References:
    The layout of records in segments that are dropped whole follows M. Rosenblum, J. Ousterhout: The design and
    implementation of a log-structured file system, ACM TOCS 10(1), 1992, without its cleaner: what is old may go.
"""

from __future__ import annotations

from typing import Protocol

from headrace.columnar.structs import Span, f8, i2, i4, i8, kind_of, u2, u4

NEVER = -(2**62)
"""A time before all times, far enough from the edge of int64 to subtract durations from."""
ADDED = NEVER + 1
"""When a source was heard of that came after the state began and was not heard of: nothing waits for it until it is."""

BLOCK_BYTES = 1 << 20
"""Bytes of a block, but for one that holds a single larger record."""
SLOTS = 1 << 12
"""Most blocks of a join: 4 GiB."""
SLOT_BITS = 19
"""An address is slot << SLOT_BITS | byte / 2."""
START = 8
"""Where the first record of a block begins, so that no address is 0."""

# ---- records in blocks ----------------------------------------------------------------------------------------------

IS_ENTITIES, IS_EVENT, IS_PREDICTION, IS_REPORT = range(4)
"""What a record is, by the lowest two bits of its head."""


class Head:
    """What every record begins with. Of a report it is source << 2 | IS_REPORT: all reports are of one size."""

    head: u4


class Entities(Head):
    """Whom an event belongs to, as Avro, which follows."""


class Timed(Protocol):
    """A record with a time, of 48 bits."""

    time_low: u4
    time_high: i2


class EventRecord:
    """An event, that of which only labels are known too: then it is UNDATED. Its id follows."""

    head: u4
    first: u4
    """Address of its first prediction."""
    reports: u4
    """Address of its reports, the one that holds first."""
    next: u4
    """Address of the next event of the same bucket."""
    entities: u4
    """Address of its entities."""
    time_low: u4
    time_high: i2
    flags: u2
    """Flags | number of reports << FLAG_BITS."""
    id_size: u2
    """Bytes of the id."""


class Prediction:
    """A prediction. What it says of classes follows (`answer`); behind an event's first what all share, as Avro."""

    head: u4
    next: u4
    """Address of the next prediction of the same event."""
    code: u4
    """Number of the model that made it | decision << 31."""
    time_low: u4
    time_high: i2
    """When it was made."""
    revision: u2
    """Number of its next outcome."""
    score: f8


class Report:
    """A label: who said what, known since when."""

    head: u4
    """Number of the source << 2 | IS_REPORT."""
    next: u4
    """Address of the next report of the same event, one that holds less."""
    time_low: u4
    time_high: i2
    value: f8


HEAD = kind_of(Head)
ENTITIES = kind_of(Entities)
EVENT = kind_of(EventRecord)
PREDICTION = kind_of(Prediction)
REPORT = kind_of(Report)

UNDATED = -(1 << 47)
"""Event time of an event of which only labels are known, as it is kept."""
FLAG_BITS = 4
MATURED, QUEUED, CONFLICTING = 1, 2, 4
"""Flags of an event: its time has passed; it stands in a bucket or the heap; the newest reports disagree."""

MOST_PREDICTIONS = 1_000
"""Of one event; more come from no plan."""
MOST_REPORTS = 1_000
"""Different reports kept of one event; beyond, those that hold least are forgotten."""
MOST_REVISIONS = 65_535
"""Of one prediction; whoever corrects a label more often is not heard."""
MOST_MATURED = 4_096
"""Events that mature by one record of the exchange, so that no batch of answers outgrows memory; others by the next."""
LEAST_TIME, MOST_TIME = -62_135_596_800_000, 1 << 46
"""Times that are kept: from the year 1 to the year 4199, milliseconds."""

# ---- what finds them ------------------------------------------------------------------------------------------------


class Block:
    """A block of records."""

    place: i8
    """Where it lies."""
    used: i8
    """Bytes, up to the end of its last record."""
    newest_event: i8
    """Newest event time in it; NEVER without any, as the next two."""
    newest_label: i8
    """Newest label time of events of which only labels are known."""
    newest_arrival: i8
    """When the newest came, by the clock."""


class Entry:
    """A place of the table that finds events by their ids; both are 0 where it is free."""

    event: u4
    tag: u4
    """32 bits of a hash of the id."""


class Bucket:
    """Events of a short span of time that wait for maturity: a list."""

    number: i8
    """Of the span: event time // State.width."""
    event: u4
    """Address of the first."""
    events: u4
    """How many."""


class Due:
    """An event whose bucket's time has come, in a heap."""

    time: i8
    event: i8


class SourceMark:
    """How far a source partition is."""

    progress: i8
    """Largest time seen; NEVER: no record yet."""
    idle: i8
    """When it was last seen at its end; NEVER: it is not there."""
    heard: i8
    """When it was last heard of; NEVER: it was not."""


BLOCK = kind_of(Block)
ENTRY = kind_of(Entry)
BUCKET = kind_of(Bucket)
DUE = kind_of(Due)
SOURCE = kind_of(SourceMark)
UNSEEN = LEAST_TIME
"""Progress that is told of a source in which no record was seen; 0 says so, too."""

# ---- what the fold tells --------------------------------------------------------------------------------------------

NONE, LABELLED, PRESUMED, UNKNOWN, AGAIN = range(5)
"""States of an outcome; UNKNOWN is written `unlabelled`. AGAIN is none: it tells a prediction that was there before."""


class Outcome:
    """What became of a prediction."""

    row: i8
    """Of the record of the exchange that led to it."""
    event: i8
    prediction: i8
    """Addresses; of AGAIN the number of the prediction among those folded."""
    revision: i4
    state: i4
    value: f8
    """The label."""
    time: i8
    """Label time."""
    source: i4
    """Number of the label's source."""
    reports: i4
    """How many different ones there are."""
    conflicting: i4
    former: i4
    """State before."""
    former_value: f8
    as_of: i8
    """Up to when labels had been read."""
    before: i8
    """All events of this join that happened before this were answered."""


class LabelChange:
    """A label for views: from `known` on there are `new` (-1, 0, 1) labels more, and it is `value`, not `former`."""

    row: i8
    event: i8
    known: i8
    new: i8
    value: f8
    former: f8
    """0 for none."""


OUTCOME = kind_of(Outcome)
CHANGE = kind_of(LabelChange)

# ---- what the fold works on -----------------------------------------------------------------------------------------


class JoinState:
    """Numbers that a checkpoint holds, in this order; those from `matched` on are counted since the state began."""

    events: i8
    width: i8
    """Of a bucket's span of time, milliseconds."""
    first: i8
    """Slot of the oldest block."""
    tail: i8
    """Slot of the block that is being filled; -1 without any."""
    tail_room: i8
    """Bytes of that block."""
    bucket_first: i8
    bucket_count: i8
    heap_count: i8
    clock: i8
    maturity: i8
    as_of: i8
    labels_at: i8
    predictions_at: i8
    """Clocks, see `watermarks`."""
    predictions: i8
    matched: i8
    early: i8
    duplicate: i8
    correcting: i8
    conflict: i8
    outdated: i8
    late: i8
    orphaned: i8
    repeated: i8
    grown: i8
    """Events with predictions that have matured."""
    grown_labelled: i8
    """Those of them that were labelled, before or after."""


class Memory(JoinState):
    """All that a join is, for its kernels."""

    blocks: Span
    """SLOTS of Block."""
    table: Span
    """Of Entry."""
    buckets: Span
    """Of Bucket: those from `bucket_first` on, `bucket_count` of them, are in use."""
    heap: Span
    """Of Due: the first `heap_count` are in use."""
    sources: Span
    """Of Source, one a source partition."""
    proofs: Span  # Of `proofs.SourceProof`, as many.
    suffixes: Span
    """int64: by number of a model, what its predictions' ids end with."""
    ranks: Span
    """int64: by number of a label source, less is better."""
    outcomes: Span  # Room for Outcome.
    changes: Span  # Room for Change.
    next_maturity: i8  # Where time goes once it is proven, see `watermarks`.
    next_as_of: i8
    next_written: i8
    told_outcomes: i8  # How many of them are told.
    told_changes: i8
    need: i8  # How much is needed, see `DONE`.
    matures: i8
    expires: i8  # Milliseconds after an event, both.
    presumes: i8  # Whether events that nobody labelled have a label all the same.
    unlabelled: f8
    """Which."""
    answer: i8  # Bytes behind a prediction: float64 chances of classes, and the place of the one decided on.
    label_sources: i8
    prediction_sources: i8
    """How many source partitions are of labels, which come first, and of predictions, which follow."""


STATE = kind_of(JoinState)
MEMORY = kind_of(Memory)
DONE, NEED_BLOCK, NEED_TABLE, NEED_BUCKETS, NEED_HEAP, NEED_OUTCOMES, NEED_CHANGES = range(7)
"""Why the fold returned: it is at the end, or somebody must make room (or take what it told) and call again."""


class Cursor:
    """Where the fold stands: next record, and next of each list (over all records)."""

    record: i8
    prediction: i8
    label: i8
    event: i8
    matured: i8
    """Events that matured by this record."""
    marked: i8
    """Whether its mark has been taken up."""


CURSOR = kind_of(Cursor)

# ---- what the fold reads --------------------------------------------------------------------------------------------


class Texts:
    """A column of texts or bytes as Arrow keeps it: offsets (int32, rows + 1) into the bytes."""

    ends: Span
    data: Span


class PredictionRows:
    """Predictions of some records; `ends` (int32, records + 1): which are of which record."""

    ends: Span
    ids: Texts
    times: Span
    codes: Span
    made: Span
    scores: Span
    answers: Span  # Bytes of what follows each.
    shared: Texts


class LabelRows:
    """Labels of some records."""

    ends: Span
    ids: Texts
    times: Span
    sources: Span
    values: Span


class EventRows:
    """Events of some records."""

    ends: Span
    ids: Texts
    times: Span
    entities: Texts


class Records:
    """Some records of the exchange: of each its source, what it says of that, and what it tells. int64, scores and
    values float64.
    """

    kinds: Span
    partitions: Span
    progress: Span
    idle: Span
    clocks: Span
    predictions: PredictionRows
    labels: LabelRows
    events: EventRows


RECORDS = kind_of(Records)
HEADER = 5
"""Bytes before each Avro record that the codec writes and reads; they are not kept."""
