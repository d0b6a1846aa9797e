"""Records that can never be processed, written whole to the dead-letter topic, and the limit that stops a bad deploy.

A dead letter keeps the record's key, headers and timestamp, and says what happened twice: in an Avro value (with the
record's own bytes inside), and in headers named after Kafka Connect's (`__connect.errors.topic` ...), under our prefix.

A topic bounds the compressed size of what strangers write, so a record may be larger than any dead letter can be. Then
its value is left out, or all of it where that does not help, and the detail says so: it must not stop the others.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa

from headrace.errors import HeadraceError
from headrace.streaming.kafka.bindings import Wiring
from headrace.streaming.kafka.message import Headers, Message, headers, place
from headrace.streaming.records.batch import Reject
from headrace.streaming.task.transactions import Parcel

PREFIX = "__headrace.errors."
MOST_BYTES = 7_500_000
"""Of a dead letter, less what we say ourselves: a producer of ours sends no message of more than 8 MB."""
WINDOW = 10_000
LEAST = 1_000


class DeadLetterLimit(HeadraceError):
    """Too large a share of recent records was refused: stopping loses nothing, going on drains the topic."""


def parcel(wiring: Wiring, rejects: Sequence[Reject], records: Iterable[Message], now: float) -> Parcel:
    """The dead letters for refused records, which are among `records`."""
    by_place = {(wiring.number(each.topic(), each.partition()), place(each)[1]): each for each in records}
    rows, keys, said_beside, timestamps = [], [], [], []
    for reject in rejects:
        record = by_place[reject.partition, reject.offset]
        channel, partition = wiring.input(reject.partition)
        key, value, carried, note = _kept(record)
        detail = reject.detail + note
        timestamp = max(record.timestamp()[1], 0)
        rows.append(
            {
                "topic": channel.name,
                "partition": partition,
                "offset": reject.offset,
                "timestamp": timestamp,
                "key": key,
                "value": value,
                "headers": [{"key": name, "value": content} for name, content in carried],
                "reason": reject.reason,
                "detail": detail,
                "service": wiring.service,
                "group": wiring.group,
                "code_version": wiring.code_version,
                "time": int(now * 1000),
            }
        )
        said = {
            "topic": channel.name,
            "partition": partition,
            "offset": reject.offset,
            "exception.class.name": "InvalidRecord",
            "exception.message": f"{reject.reason}: {detail}",
            "consumer.group": wiring.group,
            "code.version": wiring.code_version,
        }
        keys.append(key)
        said_beside.append([*carried, *((PREFIX + name, str(word).encode()) for name, word in said.items())])
        timestamps.append(timestamp)
    letters = wiring.dead_letters
    columns = pa.RecordBatch.from_pylist(rows, schema=letters.codec.reader.arrow)
    source = np.array([reject.partition for reject in rejects], np.int32)
    return Parcel(letters.name, keys, letters.codec.encode(columns), source, headers=said_beside, timestamps=timestamps)


def _kept(record: Message) -> tuple[bytes | None, bytes | None, Headers, str]:
    """Key, value and headers of a record as far as they fit into a dead letter, and what to say of the rest."""
    key, value, carried = record.key(), record.value(), headers(record)
    note = "" if carried is not None else "; its headers have names that are no text, and are not kept here"
    carried = carried or []
    # Key and headers are in the dead letter twice: as its own, and in its value.
    around = 2 * (len(key or b"") + sum(len(name.encode()) + len(content or b"") + 20 for name, content in carried))
    if around + len(value or b"") <= MOST_BYTES:
        return key, value, carried, note
    note += f"; its value of {len(value or b'')} bytes is too large to be kept here"
    if around <= MOST_BYTES:
        return key, None, carried, note
    return None, None, [], f"{note}, as are key and headers"


class RejectShare:
    """The share of refused records among the last 10,000, judged once there are 1,000."""

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self._batches: deque[tuple[int, int]] = deque()
        self.records = 0
        self.refused = 0

    def note(self, records: int, refused: int) -> None:
        """Count a batch; DeadLetterLimit when the share is over the limit."""
        self._batches.append((records, refused))
        self.records += records
        self.refused += refused
        while self._batches and self.records - self._batches[0][0] >= WINDOW:
            old_records, old_refused = self._batches.popleft()
            self.records -= old_records
            self.refused -= old_refused
        if self.limit < 1 and self.records >= LEAST and self.refused > self.limit * self.records:
            raise DeadLetterLimit(
                f"{self.refused} of the last {self.records} records were refused, more than {self.limit:.0%}: stopped "
                "before they are committed; look at their reasons, then raise HEADRACE_DEAD_LETTER_LIMIT or mend the "
                "cause"
            )
