"""What is kept of real contracts: few bytes, all of them written down. Events come as enrich tells them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from headrace.domain.pipeline.check import load
from headrace.domain.records.exchange import Labelled, exchanges
from headrace.streaming.contracts.schemas import load_schema
from headrace.streaming.records.avro_codec import AvroCodec
from headrace.streaming.records.batch import Batch, slot
from headrace.streaming.watermarks.marks import Mark
from services.labels.service import Labelling
from tests.labels.cases import COUNTS, EXCHANGE, FILE, ROOT, Case
from tests.labels.stream import BEGIN, DAY, predictions_of
from tests.streaming.tally import FixedIds

ROWS = 120_000
PLACE = slot(EXCHANGE, 0)


@pytest.fixture(scope="module")
def full() -> Labelling:
    """A member with one partition of the exchange: so many events of card fraud, their predictions and labels."""
    case = Case(load(FILE))
    service = case.service()
    service.start({**COUNTS, "exchange": 1, "view.terminal": 1})
    ids = np.arange(ROWS)
    times = BEGIN + ids * 9_000
    labels = load_schema(ROOT / "schemas/label.avsc").arrow
    offset = 0
    for start in range(0, ROWS, 4_000):
        part = ids[start : start + 4_000]
        text = pa.array(part).cast(pa.string())
        terminal = {"terminal": pa.array(part % 10_000).cast(pa.string())}
        mark = Mark(0, start, int(times[part].max()), BEGIN, floor=0)
        told = exchanges("exchange", 1, [mark], Labelled(text, times[part], terminal, np.zeros(len(part), np.int64)))
        predictions = predictions_of(part, times, np.zeros(len(part), np.int64), case.predictions)
        said = {
            "event_id": text,
            "value": pa.array((part % 2).astype(float)),
            "label_time": pa.array(times[part] + DAY, labels.field("label_time").type),
            "source": pa.array(["chargeback"] * len(part)),
        }
        known = pa.RecordBatch.from_pydict({name: said[name] for name in labels.names})
        emits = [told]
        for place, (topic, rows) in enumerate((("labels", known), ("predictions", predictions))):
            emits += service.process(batch(topic, rows, slot(place, 0), start), 1.0).emits
        for emit in emits:
            service.process(batch("exchange", through(case, emit.columns), PLACE, offset), 1.0)
            offset += 1
    return service


def batch(topic: str, rows: pa.RecordBatch, place: int, first: int) -> Batch:
    """Rows of one partition."""
    count = rows.num_rows
    stamps = np.full(count, BEGIN + 400 * DAY)
    offsets = np.arange(first, first + count)
    return Batch(topic, rows, pa.nulls(count, pa.binary()), np.full(count, place, np.int32), offsets, stamps)


def through(case: Case, rows: pa.RecordBatch) -> pa.RecordBatch:
    """Records as they come back from their topic."""
    schema = load_schema(case.exchange_definition)

    class Ids(FixedIds):
        def writers(self, subject: str) -> dict[int, object]:  # type: ignore[override]  # one schema for all
            return {7: schema}

    codec = AvroCodec("exchange-value", schema, Ids(), 8_000_000)
    return codec.decode(codec.encode(rows)).columns


def test_an_open_prediction_takes_less_than_200_bytes(full: Labelling) -> None:
    """Event, terminal, prediction with all features, its label, index and slack, of card fraud as it is."""
    join = full._joins[PLACE]
    assert join.get("predictions") == ROWS
    assert join.get("matched") + join.get("early") == ROWS
    assert join.nbytes / ROWS < 200 + 1_200_000 / ROWS  # what a partition takes however little it holds


def test_a_snapshot_is_small_and_whole(full: Labelling) -> None:
    """A member goes on from a snapshot with all that was open, and says at once how much that is."""
    snapshot = full.snapshot(PLACE)
    assert len(snapshot) / ROWS < 150
    before = full._joins[PLACE].columns()
    full.drop(PLACE)
    assert full._figures.open._value.get() == 0
    full.restore(PLACE, snapshot)
    assert full._figures.open._value.get() == ROWS
    after = full._joins[PLACE].columns()
    assert all(np.array_equal(before[name], after[name]) for name in before)
