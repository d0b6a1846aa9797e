"""Who may pass, and why not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import inf, nan

import numpy as np
import pyarrow as pa
import pytest

from headrace.domain.features.event_gate import DAY, Gate
from headrace.domain.pipeline.spec import Rule
from headrace.streaming.watermarks.event_time import LATEST, LEAST, Clock
from tests.enrich import cases


def reasons(gate: Gate, rows: Sequence[cases.Reading], kind: str | None = None) -> list[str]:
    """Reason for each row, or `ok`."""
    passed = gate.check(cases.batch(cases.events(rows, kind)), {})
    refused = {reject.offset: reject.reason for reject in passed.rejects}
    assert sorted([*refused, *passed.batch.offset.tolist()]) == list(range(len(rows)))
    return [refused.get(offset, "ok") for offset in range(len(rows))]


def test_range() -> None:
    """Values out of range are refused with the bound; both ends are inside; null is no number; NaN is in no range."""
    gate = Gate(cases.pipeline(Rule("heat", "number", range=(0, 5))))
    rows = [(1, "s", None, heat) for heat in (0.0, 5.0, -0.1, 5.1, nan, inf, None)]
    assert reasons(gate, rows) == ["ok", "ok", *["out_of_range"] * 4, "ok"]
    reject = gate.check(cases.batch(cases.events(rows)), {}).rejects[0]
    assert reject.detail == "heat is not within [0, 5]"


def test_no_rule() -> None:
    """A number that the pipeline reads must be finite even without a rule; an open end allows its infinity."""
    rows = [(1, "s", None, heat) for heat in (1.0, nan, inf, -inf, None)]
    assert reasons(Gate(cases.pipeline()), rows) == ["ok", *["out_of_range"] * 3, "ok"]
    open_end = Gate(cases.pipeline(Rule("heat", "number", range=(0, inf))))
    assert reasons(open_end, rows) == ["ok", "out_of_range", "ok", "out_of_range", "ok"]


def test_required_and_one_of() -> None:
    """A required field has a value; a field of a few values has one of them."""
    gate = Gate(cases.pipeline(Rule("heat", "number", required=True), Rule("kind", "string", one_of=("wet", "dry"))))
    assert reasons(gate, [(1, "s", None, 1.0), (1, "s", None, None)], "dry") == ["ok", "missing"]
    assert reasons(gate, [(1, "s", None, 1.0)], "odd") == ["not_allowed"]
    assert reasons(gate, [(1, "s", None, 1.0)], None) == ["ok"]


def test_impute_and_warn() -> None:
    """Imputed values take the place of bad ones, warnings change nothing, both are counted."""
    rows = [(1, "s", None, heat) for heat in (1.0, 9.0, None, nan)]
    gate = Gate(cases.pipeline(Rule("heat", "number", True, (0, 5), None, "impute", 2.5)))
    passed = gate.check(cases.batch(cases.events(rows)), {})
    assert passed.batch.columns["heat"].to_pylist() == [1.0, 2.5, 2.5, 2.5]
    assert gate.counts == {("heat", "missing", "impute"): 1, ("heat", "out_of_range", "impute"): 2}
    gate = Gate(cases.pipeline(Rule("heat", "number", range=(0, 5), otherwise="warn")))
    passed = gate.check(cases.batch(cases.events(rows[:3])), {})
    assert passed.batch.columns["heat"].to_pylist() == [1.0, 9.0, None]
    assert gate.counts == {("heat", "out_of_range", "warn"): 1}


def test_keys() -> None:
    """A record whose key is not its entity lies in the wrong partition and is refused."""
    good = cases.batch(cases.events([(1, "a", None, 1.0)] * 3))
    batch = replace(good, keys=pa.array([b"a", None, b"b"], pa.binary()))
    passed = Gate(cases.pipeline()).check(batch, {})
    assert [(r.offset, r.reason) for r in passed.rejects] == [(1, "null_key"), (2, "wrong_key")]


@pytest.mark.parametrize("field", ["reading", "at", "sensor"])
def test_needed(field: str) -> None:
    """Id, time and key must be there."""
    columns = cases.events([(1, "a", None, 1.0)] * 2)
    at = columns.schema.get_field_index(field)
    kind = columns.schema.field(at).type
    values = columns.column(at).to_pylist()
    columns = columns.set_column(at, field, pa.array([values[0], None], kind))
    batch = replace(cases.batch(cases.events([(1, "a", None, 1.0)] * 2)), columns=columns)
    passed = Gate(cases.pipeline()).check(batch, {})
    assert [(r.offset, r.reason) for r in passed.rejects] == [(1, "missing")]


def test_future() -> None:
    """A time far beyond the record's own is refused and does not move the watermark; any past is good."""
    batch = cases.batch(cases.events([(0, "a", None, 1.0), (DAY + 1, "a", None, 1.0), (DAY, "a", None, 1.0)]))
    clocks: dict[int, Clock] = {}
    passed = Gate(cases.pipeline()).check(replace(batch, timestamp=np.zeros(3, np.int64)), clocks)
    assert [(r.offset, r.reason) for r in passed.rejects] == [(1, "in_the_future")]
    assert clocks[0].credible == 0  # what has not happened yet is no time that has passed
    past = replace(batch, timestamp=np.full(3, 100 * 365 * DAY))
    assert not Gate(cases.pipeline()).check(past, {}).rejects
    columns = cases.events([(LATEST, "a", None, 1.0)])
    far = columns.set_column(1, "at", pa.array([LATEST + 1], pa.timestamp("ms", tz="UTC")))
    strange = replace(cases.batch(columns), columns=far)
    assert Gate(cases.pipeline()).check(strange, {}).rejects[0].reason == "out_of_range"


def test_late() -> None:
    """Lateness is told by the rows before, refused ones left out, wherever batches are cut."""
    times = [100, 90, 89, 120, 110, 109, 115]
    before: list[cases.Reading] = [(99, "a", None, 1.0)] * LEAST
    rows: list[cases.Reading] = [*before, *((time, "a", None, 1.0) for time in times)]
    wanted = ["ok", "ok", "too_late", "ok", "ok", "too_late", "ok"]
    assert reasons(Gate(cases.pipeline()), rows)[LEAST:] == wanted
    gate = Gate(cases.pipeline())
    clocks: dict[int, Clock] = {}
    cut = [gate.check(cases.batch(cases.events([row]), 0, n), clocks) for n, row in enumerate(rows)]
    assert [len(passed.rejects) for passed in cut][LEAST:] == [0, 0, 1, 0, 0, 1, 0]
    scoring = Gate(cases.pipeline(late="score")).check(cases.batch(cases.events(rows)), {})
    assert scoring.late.tolist()[LEAST:] == [False, False, True, False, False, True, False]
    assert not scoring.rejects
    refused: list[cases.Reading] = [*before, (100, "a", None, 1.0), (500, "a", None, nan), (95, "a", None, 1.0)]
    assert reasons(Gate(cases.pipeline()), refused)[LEAST:] == ["ok", "out_of_range", "ok"]


def test_empty() -> None:
    """A batch without rows passes."""
    assert len(Gate(cases.pipeline()).check(cases.batch(cases.events([])), {}).batch) == 0
