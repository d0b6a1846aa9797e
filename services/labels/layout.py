"""Where things lie in the memory of a join: records in blocks, registers, and what the walk is given.

A join holds millions of events for months, so they are no objects but records in blocks of bytes, reached by addresses.
An address has 32 bits: the slot of its block, and its place there in units of four bytes; 0 is nowhere. Blocks are
filled and given up in the order of arrival. A record never moves, and points only to records younger than itself, but
for the links among the events of a bucket.

A record begins with a head of four bytes, size << 2 | kind. Times are int64 milliseconds; numbers are the bits of a
float64.

References:
    The layout of records in segments that are dropped whole follows M. Rosenblum, J. Ousterhout: The design and
    implementation of a log-structured file system, ACM TOCS 10(1), 1992, without its cleaner: what is old may go.
"""

from __future__ import annotations

NEVER = -(2**62)
"""A time before all times, far enough from the edge of int64 to subtract durations from."""

BLOCK = 1 << 20
"""Bytes of a block, but for one that holds a single larger record."""
SLACK = 8
"""Bytes behind a block, so that its last fields may be read as part of a longer word."""
SLOTS = 1 << 12
"""Most blocks of a join: 4 GiB."""
SLOT_BITS = 19
"""An address is slot << SLOT_BITS | byte / 2."""
START = 8
"""Where the first record of a block begins, so that no address is 0."""

ENTITIES, EVENT, PREDICTION, REPORT = range(4)
"""Kinds of records."""

# An event: its id follows the fields. Times of 48 bits reach 4,000 years either way.
E_FIRST = 4  # u32, its first prediction
E_REPORTS = 8  # u32, its reports, the one that holds first
E_BUCKET = 12  # u32, next event of the same bucket
E_ENTITIES = 16  # u32, its entities
E_TIME = 20  # i48, event time; UNDATED while only labels are known
E_FLAGS = 26  # u16, flags | number of reports << FLAG_BITS
E_KEY = 28  # u16, bytes of the id
E_SIZE = 30

# A prediction: the first of an event carries what all share, as Avro.
P_NEXT = 4  # u32, next prediction of the same event
P_CODE = 8  # u32, number of the model that made it | decision << 31
P_TIME = 12  # i48, when it was made
P_REVISION = 18  # u16, number of its next outcome
P_SCORE = 20  # float64
P_SIZE = 28

# A report: who, when, what. Its head is source << 2 | REPORT.
R_NEXT = 4  # u32, next report of the same event, one that holds less
R_TIME = 8  # i48, label time
R_VALUE = 14  # float64
R_SIZE = 22

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

REGISTERS = (
    # Where arrays lie; set anew whenever one is replaced.
    "TABLE", "BLOCKS", "USED", "TIMES", "LABEL_TIMES", "ARRIVALS", "BUCKETS", "HEAP", "SOURCES", "SUFFIXES", "RANKS",
    # The question.
    "MATURES", "EXPIRES", "PRESUMES", "UNLABELLED", "LABEL_SOURCES", "PREDICTION_SOURCES",
    # How much there is.
    "TABLE_SIZE", "BUCKET_ROOM", "HEAP_ROOM", "OUTCOME_ROOM", "ENTRY_ROOM", "OUTCOMES", "ENTRIES", "NEED",
    # The state.
    "EVENTS", "WIDTH", "FIRST", "TAIL", "TAIL_ROOM", "BUCKET_FIRST", "BUCKET_COUNT", "HEAP_COUNT",
    "CLOCK", "MATURITY", "AS_OF", "LABELS_AT", "PREDICTIONS_AT", "PREDICTIONS",
    # Counted since the state began.
    "MATCHED", "EARLY", "DUPLICATE", "CORRECTING", "CONFLICT", "OUTDATED", "LATE", "ORPHANED", "REPEATED", "GROWN",
    "GROWN_LABELLED",
)  # fmt: skip  # by what they are
"""Names of the registers of a join, int64 each."""
(
    TABLE, BLOCKS, USED, TIMES, LABEL_TIMES, ARRIVALS, BUCKETS, HEAP, SOURCES, SUFFIXES, RANKS,
    MATURES, EXPIRES, PRESUMES, UNLABELLED, LABEL_SOURCES, PREDICTION_SOURCES,
    TABLE_SIZE, BUCKET_ROOM, HEAP_ROOM, OUTCOME_ROOM, ENTRY_ROOM, OUTCOMES, ENTRIES, NEED,
    EVENTS, WIDTH, FIRST, TAIL, TAIL_ROOM, BUCKET_FIRST, BUCKET_COUNT, HEAP_COUNT, CLOCK, MATURITY, AS_OF,
    LABELS_AT, PREDICTIONS_AT, PREDICTIONS,
    MATCHED, EARLY, DUPLICATE, CORRECTING, CONFLICT, OUTDATED, LATE, ORPHANED, REPEATED, GROWN,
    GROWN_LABELLED,
) = range(0, 8 * len(REGISTERS), 8)  # fmt: skip  # as above
"""Their places, in bytes."""
FATES = slice(MATCHED // 8, GROWN_LABELLED // 8 + 1)
"""Registers that count."""

S_PROGRESS, S_IDLE, S_HEARD, S_SIZE = 0, 8, 16, 24
"""Of a source partition: largest time seen (NEVER: no record yet), when it was last seen at its end (NEVER: it is not),
when it was last heard of (NEVER: it was not)."""

DONE, NEED_BLOCK, NEED_TABLE, NEED_BUCKETS, NEED_HEAP, NEED_OUTCOMES, NEED_ENTRIES = range(7)
"""Why the walk returned: it is at the end, or somebody must make room (or take what it found) and call again."""

# What the walk is given, int64 each: addresses of columns, those of text as int32 offsets and bytes.
GIVEN = (
    "KIND", "PARTITION", "PROGRESS", "IDLE", "CLOCKS",
    "P_ENDS", "P_KEYS", "P_KEY_DATA", "P_TIMES", "P_CODES", "P_MADE", "P_SCORES", "P_SHARED", "P_SHARED_DATA",
    "L_ENDS", "L_KEYS", "L_KEY_DATA", "L_TIMES", "L_SOURCES", "L_VALUES",
    "N_ENDS", "N_KEYS", "N_KEY_DATA", "N_TIMES", "N_ENTITIES", "N_ENTITY_DATA",
)  # fmt: skip  # by list
"""Of each record: source and mark; then the predictions, labels and events in it."""
(
    G_KIND, G_PARTITION, G_PROGRESS, G_IDLE, G_CLOCKS,
    GP_ENDS, GP_KEYS, GP_KEY_DATA, GP_TIMES, GP_CODES, GP_MADE, GP_SCORES, GP_SHARED, GP_SHARED_DATA,
    GL_ENDS, GL_KEYS, GL_KEY_DATA, GL_TIMES, GL_SOURCES, GL_VALUES,
    GN_ENDS, GN_KEYS, GN_KEY_DATA, GN_TIMES, GN_ENTITIES, GN_ENTITY_DATA,
) = range(0, 8 * len(GIVEN), 8)  # fmt: skip  # as above

HEADER = 5
"""Bytes before each Avro record that the kit writes and reads; they are not kept."""

O_FIELDS = 12
(
    O_ROW, O_EVENT, O_PREDICTION, O_REVISION, O_STATE, O_VALUE, O_TIME, O_SOURCE, O_REPORTS, O_FORMER, O_FORMER_VALUE,
    O_AS_OF,
) = range(O_FIELDS)  # fmt: skip  # one line's worth
"""An outcome as the walk tells it: row of the record that led to it, addresses, and what holds. `O_REPORTS` is
number << 1 | conflicting."""
NONE, LABELLED, PRESUMED, UNKNOWN, AGAIN = range(5)
"""States of an outcome; UNKNOWN is written `unlabelled`. AGAIN is none: it tells a prediction that was there before, by
the number of its row in O_PREDICTION."""

V_FIELDS = 6
V_ROW, V_EVENT, V_KNOWN, V_NEW, V_VALUE, V_FORMER = range(V_FIELDS)
"""A label for views, as the walk tells it: from V_KNOWN on there are V_NEW (-1, 0, 1) labels more, and the value of the
label is V_VALUE where it was V_FORMER (float64 bits; the bits of 0 for none)."""

LEAST_TIME, MOST_TIME = -62_135_596_800_000, 1 << 46
"""Times that are kept: from the year 1 to the year 4199, milliseconds."""

UNSEEN = LEAST_TIME
"""Progress that is told of a source in which no record was seen; 0 says so, too."""

C_RECORD, C_PREDICTION, C_LABEL, C_EVENT, C_MATURED, C_MARKED = range(0, 48, 8)
"""Where the walk stands: next record, and next of each list (over all records); events that matured by this record."""
C_FIELDS = 6
