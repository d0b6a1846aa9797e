"""A batch of the exchange as the fold takes it: spans over its columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headrace.columnar.jit import kernel
from headrace.columnar.partitioner import Keys, keys_of
from headrace.columnar.structs import array_of, span_of
from headrace.domain.pipeline.classes.columns import CLASS, SCORES, chances_of, places_of
from headrace.domain.records.exchange import KINDS
from headrace.errors import ContractError
from headrace.streaming.records.batch import Batch
from headrace.streaming.records.rows import Packed
from services.labels.join.layout import LEAST_TIME, MOST_TIME, RECORDS

arrays: Any = pa  # its stubs know too few of the overloads
kernels: Any = pc

Ints = npt.NDArray[np.int64]
IDENTITY = ("suffix", "name", "version", "digest", "arm", "plan_version", "packed")
"""What predictions of one model share: the end of their ids, what they say of it, and how they are packed."""
_NO_ENDS, _NO_BYTES = np.zeros(1, np.int32), np.zeros(0, np.uint8)


@dataclass(frozen=True, slots=True)
class Named:
    """Names of a batch, each once, and which row has which (int64)."""

    names: list[Any]
    which: Ints


class ExchangeBatch:
    """The columns of some exchange records.

    Parameters:
        batch: of the exchange.
        firsts: by source topic, the number of its first partition among all source partitions.
        counts: by source topic, how many partitions it has.
        shared: what predictions of one event share; `entities` whom events belong to, a column a view.
        classes: of the pipeline's model.

    Attributes:
        given: one `layout.Records`; codes of models and label sources are for the join to set.
        models, sources: for it to number: what predictions and labels name.
        quiet: nothing but marks.
        of_labels: by record, whether it came from labels, or from events that views fold labels of.
    """

    def __init__(
        self,
        batch: Batch,
        firsts: dict[str, int],
        counts: dict[str, int],
        shared: Packed,
        entities: Packed,
        classes: Sequence[str] = (),
    ) -> None:
        self._classes = classes
        self.given = array_of(RECORDS, 1)
        self._kept: list[Any] = []
        self._item_ends: list[npt.NDArray[np.int32]] = []
        columns = batch.columns
        self._marks(columns, firsts, counts)
        self._predictions(columns["predictions"], shared)
        self._labels(columns["labels"])
        self._events(columns["events"], entities)
        self.quiet = not len(self.models.which) and not len(self.sources.which) and not self.events

    def items(self, row: int) -> list[int]:
        """How many predictions, labels and events stand before the record of this row."""
        return [int(ends[row]) for ends in self._item_ends]

    def set(self, name: str, values: npt.NDArray[Any], of: str | None = None) -> None:
        """Enter a column of the records, or of the predictions, labels or events in them (`of`)."""
        values = np.ascontiguousarray(values)
        self._kept.append(values)
        self._rows(of)[name] = span_of(values)

    def _rows(self, of: str | None) -> npt.NDArray[Any]:
        return self.given if of is None else self.given[of]

    def _text(self, name: str, column: pa.Array, of: str) -> None:
        """Enter a text or binary column without nulls."""
        _, ends, data = column.buffers()
        first = column.offset
        offsets = np.frombuffer(ends, np.int32)[first : first + len(column) + 1] if ends is not None else _NO_ENDS
        values = np.frombuffer(data, np.uint8) if data is not None and data.size else _NO_BYTES
        self._kept.append(column)
        self._rows(of)[name] = span_of(offsets), span_of(values)

    def _ends(self, lists: pa.ListArray, of: str) -> None:
        ends = lists.offsets.to_numpy()
        self._item_ends.append((ends - ends[0]).astype(np.int32))
        self.set("ends", self._item_ends[-1], of)

    def _marks(self, columns: pa.RecordBatch, firsts: dict[str, int], counts: dict[str, int]) -> None:
        coded = columns["source"].dictionary_encode()
        names = coded.dictionary.to_pylist()
        which = coded.indices.to_numpy()
        partition = columns["source_partition"].to_numpy()
        if np.any(partition >= np.array([counts[name] for name in names])[which]):
            raise ContractError(f"the exchange tells of partitions beyond {counts}: topics grew; restart all members")
        kind = np.array([KINDS.index(name) for name in names])[which]
        self.of_labels = (kind == KINDS.index("labels")) | (kind == KINDS.index("events"))
        self.set("kinds", kind)
        self.set("partitions", np.array([firsts[name] for name in names])[which] + partition)
        self.set("progress", _numbers(columns["progress"]))
        self.set("idle", columns["idle"].to_numpy(zero_copy_only=False).astype(np.int64))
        self.set("clocks", _numbers(columns["time"]))

    def _predictions(self, lists: pa.ListArray, shared: Packed) -> None:
        rows = arrays.RecordBatch.from_struct_array(lists.flatten())
        self._ends(lists, "predictions")
        self._text("ids", rows["event_id"], "predictions")
        self.set("times", _numbers(rows["event_time"]), "predictions")
        self.set("made", _numbers(rows["predicted_time"]), "predictions")
        self.set("scores", rows["score"].to_numpy(), "predictions")
        self._text("shared", shared.pack(rows.select(list(shared.fields))), "predictions")
        if self._classes:
            decided = places_of(rows[CLASS], self._classes).astype(np.float64)
            answers = np.column_stack([chances_of(rows.select([SCORES])), decided])
            self.set("answers", np.ascontiguousarray(answers).reshape(-1).view(np.uint8), "predictions")
        model = rows["model"]
        parts = [tails(rows["event_id"], rows["prediction_id"]), *map(model.field, IDENTITY[1:4])]
        parts += [rows["arm"], rows["plan_version"]]
        told = _distinct(parts)
        self.models = Named([(*name, shared.digest) for name in told.names], told.which)
        self.decisions = rows["decision"].to_numpy(zero_copy_only=False)

    def _labels(self, lists: pa.ListArray) -> None:
        rows = arrays.RecordBatch.from_struct_array(lists.flatten())
        self._ends(lists, "labels")
        self._text("ids", rows["event_id"], "labels")
        self.set("times", _numbers(rows["label_time"]), "labels")
        # Two zeros are one value; adding 0 makes them one.
        self.set("values", rows["value"].to_numpy() + 0.0, "labels")
        coded = rows["source"].dictionary_encode()
        self.sources = Named(coded.dictionary.to_pylist(), coded.indices.to_numpy().astype(np.int64))

    def _events(self, events: pa.StructArray, entities: Packed) -> None:
        ids, told = events.field("event_ids"), events.field("entities")
        self._ends(ids, "events")
        self._text("ids", ids.flatten(), "events")
        self.set("times", np.clip(events.field("times").flatten().to_numpy(), LEAST_TIME, MOST_TIME), "events")
        self.events = len(ids.flatten())
        if not entities.fields:  # events of views that folded labels once
            self.events = 0
            self._item_ends[-1][:] = 0
            return
        each = [_keys(told, view, ids.value_lengths()) for view in entities.fields]
        packed = entities.pack(pa.RecordBatch.from_arrays(each, names=list(entities.fields)))
        self._text("entities", packed, "events")


def _keys(told: pa.ListArray, view: str, events: pa.Array) -> pa.Array:
    """The entity of a view of each event; null where a record says nothing of the view: it folds labels since then."""
    parts = told.flatten()
    of_view = kernels.equal(parts.field("view"), view)
    keys = parts.field("keys").filter(of_view).flatten()
    many = events.to_numpy(zero_copy_only=False)
    if len(keys) == many.sum():
        return keys
    says = np.zeros(len(told), np.bool_)
    says[kernels.list_parent_indices(told).filter(of_view).to_numpy(zero_copy_only=False)] = True
    known = np.repeat(says, many)
    return keys.take(pa.array(np.cumsum(known) - 1, mask=~known))


def _numbers(column: pa.Array) -> Ints:
    return column.cast(pa.int64()).to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]  # pyarrow says Any


def _distinct(columns: list[pa.Array]) -> Named:
    """The distinct rows of some columns, as tuples, and which row is which."""
    rows = len(columns[0])
    code = np.zeros(rows, np.int64)
    words = []
    for column in columns:
        coded = column.dictionary_encode()
        words.append(coded.dictionary.to_pylist())
        if len(words[-1]) > 1:
            code = code * len(words[-1]) + coded.indices.to_numpy()
    if not rows:
        return Named([], code)
    if not code.any():
        return Named([tuple(word[0] for word in words)], code)
    found, which = np.unique(code, return_inverse=True)
    names = []
    for number in found.tolist():
        parts = []
        for word in reversed(words):
            number, place = divmod(number, len(word)) if len(word) > 1 else (number, 0)
            parts.append(word[place])
        names.append(tuple(reversed(parts)))
    return Named(names, which.astype(np.int64))


def tails(heads: pa.StringArray, texts: pa.StringArray) -> pa.StringArray:
    """What follows the head and a slash in each text.

    >>> tails(pa.array(["a", "b2"]), pa.array(["a/m@1/champion", "b2/m@1/shadow"])).to_pylist()
    ['m@1/champion', 'm@1/shadow']
    """
    head, text = keys_of(heads), keys_of(texts)
    sizes = np.diff(text.ends) - np.diff(head.ends) - 1
    ends = np.zeros(len(sizes) + 1, np.int64)
    np.cumsum(sizes, out=ends[1:])
    data = np.empty(int(ends[-1]), np.uint8)
    _copy_tails(text.data, text.ends, Keys(data, ends).data, ends)
    return arrays.Array.from_buffers(
        pa.string(), len(sizes), [None, pa.py_buffer(ends.astype(np.int32)), pa.py_buffer(data)]
    )


def headed(heads: pa.StringArray, texts: pa.StringArray) -> npt.NDArray[np.bool_]:
    """Whether each text begins with its head and a slash.

    >>> headed(pa.array(["a", "b", "c"]), pa.array(["a/m", "a/m", "c"])).tolist()
    [True, False, False]
    """
    head, text = keys_of(heads), keys_of(texts)
    found = np.zeros(len(heads), np.bool_)
    _headed(head.data, head.ends, text.data, text.ends, found)
    return found


@kernel("~u1[::1] i8[::1] u1[::1] i8[::1]")
def _copy_tails(data: npt.NDArray[np.uint8], ends: Ints, target: npt.NDArray[np.uint8], wanted: Ints) -> None:
    for row in range(len(wanted) - 1):
        size = wanted[row + 1] - wanted[row]
        start = ends[row + 1] - size
        for step in range(size):
            target[wanted[row] + step] = data[start + step]


@kernel("~u1[::1] i8[::1] ~u1[::1] i8[::1] b1[::1]")
def _headed(
    head: npt.NDArray[np.uint8], head_ends: Ints, text: npt.NDArray[np.uint8], text_ends: Ints,
    found: npt.NDArray[np.bool_],
) -> None:  # fmt: skip  # two texts, the answer
    for row in range(len(found)):
        size = head_ends[row + 1] - head_ends[row]
        start = text_ends[row]
        if text_ends[row + 1] - start <= size or text[start + size] != 47:
            continue
        same = True
        for step in range(size):
            if head[head_ends[row] + step] != text[start + step]:
                same = False
                break
        found[row] = same
