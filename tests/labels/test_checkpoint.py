"""What a join writes down, held against a checkpoint of the code that knew its records by addresses alone."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np

from headrace.columnar import packing
from headrace.domain.pipeline.contracts import predictions
from headrace.domain.records.exchange import KINDS
from headrace.streaming.records.rows import Packed
from services.labels.exchange_batch import ExchangeBatch
from services.labels.join.layout import NEVER
from services.labels.join.question import question_of
from services.labels.join.state import Found, Join
from services.labels.packed_rows import put_in, taken_out
from services.labels.row_fields import entities
from tests.labels.cases import COUNTS, Case, pipeline
from tests.labels.test_joining import records

FORMER = Path(__file__).with_name("checkpoint.state")
"""Of `told(case, 6)`, folded on 2026-11-29 before records had fields."""


def told(case: Case, seed: int) -> ExchangeBatch:
    """Some records, of whose predictions a join keeps nothing but the entity beside numbers."""
    rows = records(case, random.Random(seed), 70, begin=1_700)
    counts = [COUNTS[kind] for kind in KINDS]
    firsts = dict(zip(KINDS, np.cumsum([0, *counts])[:-1].tolist(), strict=True))
    kept = Packed(predictions(case.pipeline), ["entity"]), entities([view.name for view in case.pipeline.label_views])
    return ExchangeBatch(case.batch(rows), firsts, COUNTS, *kept)


def folded(join: Join, case: Case, seed: int) -> Found:
    """What a join finds in such records."""
    rows = told(case, seed)
    found = join.fold(rows, 0, len(rows.of_labels))
    join.settle()
    return found


def folded_as_before(join: Join, case: Case, seed: int) -> None:
    """What a join of before made of such records: to it an idle source was complete at once."""
    rows = told(case, seed)
    for row in range(len(rows.of_labels)):
        join.proofs[:, 1:] = 0, 2**62
        join.fold(rows, row, row + 1)
        join.settle()
    join.proofs[:] = NEVER  # It is not written; records count as sent on when their source was heard of.
    join.proofs[:, 0] = join.sources[:, -1]


def form_of(case: Case) -> packing.Column:
    """How the rows of `told` are packed, as checkpoints of before say it."""
    return np.frombuffer(f"{Packed(predictions(case.pipeline), ['entity']).definition} ()".encode(), np.uint8)


def joined(case: Case) -> Join:
    """A join that knows nothing yet."""
    assert case.pipeline.labels is not None
    return Join(question_of(case.pipeline.labels, [COUNTS[kind] for kind in KINDS]))


def test_a_checkpoint_is_written_as_it_was() -> None:
    """The code of before reads what this one writes: it is the same, column by column and bit by bit, but for what
    idle sources are to prove, which that knows nothing of and passes over.
    """
    case = Case(pipeline(matures=300, expires=4_000))
    join = joined(case)
    folded_as_before(join, case, 6)
    written, former = put_in(join.columns(), [], {"": "how"}), packing.unpack(FORMER.read_bytes())
    del written["shared"]
    assert list(written) == [*former, "waiting"]
    for name, column in former.items():
        assert written[name].dtype == column.dtype
        assert written[name].tobytes() == column.tobytes(), name
    assert all(len(former[name]) for name in ("queue", "heap", "records"))


def test_a_source_that_was_added_is_waited_for_once_it_is_heard_of() -> None:
    """What was answered when nobody knew of it is the same when it is folded again, by somebody who does."""
    case = Case(pipeline())
    quiet = [
        case.record(source, partition, progress, clock, idle=True)
        for clock in (2_010, 2_015)
        for source, partition, progress in (
            ("labels", 0, 1_000), ("labels", 1, 0), ("predictions", 0, 1_000), ("predictions", 1, 0),
        )
    ]  # fmt: skip  # one line a topic
    born = [case.record("predictions", 0, 500, 2_000, predictions=[case.prediction("e", 500)])]
    firsts = {"labels": 0, "predictions": 2, "shadow-predictions": 4, "events": 5}
    kept = Packed(predictions(case.pipeline), ["entity"]), entities([view.name for view in case.pipeline.label_views])
    join = joined(case)
    first = ExchangeBatch(case.batch(born), firsts, COUNTS, *kept)
    join.fold(first, 0, 1)
    join.settle()
    columns = join.columns()
    grown = COUNTS | {"predictions": 3}
    assert case.pipeline.labels is not None
    other = Join(question_of(case.pipeline.labels, [grown[kind] for kind in KINDS]))
    other.load(columns)
    then = ExchangeBatch(case.batch(quiet), firsts, COUNTS, *kept)
    now = ExchangeBatch(case.batch(quiet), firsts | {"shadow-predictions": 5, "events": 6}, grown, *kept)
    told, again = join.fold(then, 0, len(quiet)), other.fold(now, 0, len(quiet))
    assert len(told.outcomes) == 1
    assert len(again.outcomes) == 1


def test_a_checkpoint_of_before_goes_on() -> None:
    """A member that begins with it tells what one tells that was never restarted, and ends in the same state."""
    case = Case(pipeline(matures=300, expires=4_000))
    whole, restored = joined(case), joined(case)
    folded_as_before(whole, case, 6)
    former = {**packing.unpack(FORMER.read_bytes()), "shared": form_of(case)}
    taken_out(former)
    restored.load(former)
    found = [folded(join, case, 8) for join in (whole, restored)]
    assert len(found[0].outcomes)
    assert len(found[0].changes)
    assert len(found[0].again)
    for name in ("outcomes", "changes", "again"):
        assert np.array_equal(*(getattr(each, name) for each in found)), name
    states = [join.columns() for join in (whole, restored)]
    assert all(np.array_equal(states[0][name], states[1][name]) for name in states[0])
