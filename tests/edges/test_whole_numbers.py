"""Whole numbers beyond 2**53: exact where they are kept, refused where they would become their neighbours."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from prometheus_client import CollectorRegistry

from headrace.domain.pipeline.language.expressions import compile
from headrace.domain.pipeline.segments import Segments
from headrace.domain.pipeline.spec import Field
from headrace.stores.online import MemoryStore
from services.enrich.metrics import EnrichMetrics
from services.enrich.service import Enrich
from tests.edges import members
from tests.edges.drawing import MS
from tests.edges.project import pipeline

BEYOND = (2**53 + 1, -(2**53) - 1, 2**62, 2**63 - 1, -(2**63))
PLAIN: dict[str, Any] = {
    "id": "e", "at": MS, "who": "a", "other": "b", "ruled": 1, "needed": 1, "flag": True, "small": 1, "whole": 1,
    "single": 1.0, "part": 1.0, "word": "", "kind": "red", "raw": b"", "dated": 0, "micros": 0, "uid": "", "list": [],
    "map": [], "nested": {"deep": None},
}  # fmt: skip  # as in the schema


def reasons(rows: list[dict[str, Any]]) -> list[str]:
    """Why enrich refuses each row, or `ok`."""
    enrich = members.enrich("probability")
    named = [PLAIN | {"id": f"e{number}"} | row for number, row in enumerate(rows)]
    batch = enrich.records("events", named, [b"a"] * len(rows))
    admission = enrich.service.admit(batch, members.NOW)
    refused = {reject.offset: f"{reject.reason}: {reject.detail.split()[0]}" for reject in admission.rejects}
    return [refused.get(offset, "ok") for offset in range(len(rows))]


@pytest.mark.parametrize("field", ["whole", "needed", "no_whole"])
def test_what_is_computed_with_is_exact_or_refused(field: str) -> None:
    """A field that a view aggregates, a segment cuts or an expression reads beside nulls is told apart up to 2**53."""
    inside = [{field: number} for number in (2**53, -(2**53), 2**53 - 1, 0)]
    assert reasons(inside) == ["ok"] * 4
    assert reasons([{field: number} for number in BEYOND]) == [f"too_large: {field}"] * len(BEYOND)
    assert reasons([{field: 2**62}, {field: 1}]) == [f"too_large: {field}", "ok"]


def test_a_rule_goes_first() -> None:
    """Who gives a rule has its way: a value that is replaced is not looked at."""
    enrich = members.enrich("probability")
    batch = enrich.records("events", [PLAIN | {"ruled": -(2**60)}], [b"a"])
    assert enrich.service.admit(batch, members.NOW).batch.columns["ruled"].to_pylist() == [3]
    assert reasons([{"ruled": 2**60}]) == ["too_large: ruled"]


def test_what_rules_let_pass_is_counted() -> None:
    """A value that a rule replaced or warned of shows in a metric, by field, reason and rule."""
    registry = CollectorRegistry()
    enrich = members.enrich("probability")
    service = Enrich(pipeline("probability")[0], MemoryStore(), figures=EnrichMetrics(registry))
    service.start({"events": 2, "view.other": 2, "exchange": 2})
    rows = [PLAIN | {"ruled": -(2**60), "small": 99}, PLAIN | {"small": -1}]
    service.admit(enrich.records("events", rows, [b"a", b"a"]), members.NOW)
    names = ("field", "reason", "otherwise")
    for said, count in ((("ruled", "out_of_range", "impute"), 1), (("small", "out_of_range", "warn"), 2)):
        found = registry.get_sample_value("headrace_rule_findings_total", dict(zip(names, said, strict=True)))
        assert found == count


def test_what_is_only_carried_is_exact() -> None:
    """A number that nobody computes with travels as it is, however large."""
    assert reasons([{"micros": 2**63 - 1, "list": [2**63 - 1, -(2**63)]}]) == ["ok"]


FIELDS = {name: Field(name, "integer", nullable, "long") for name, nullable in (("solid", False), ("loose", True))}


def test_nulls_elsewhere_in_a_batch_change_nothing() -> None:
    """A whole number that may be null has one value, whether its batch holds a null or not."""
    for text in ("loose * loose", "loose % 7", "-loose", "loose + solid", "loose > solid"):
        expression = compile(text, FIELDS)
        rows = {"solid": pa.array([5, 5, 5], pa.int64()), "loose": pa.array([3_037_000_500 * 3, 7, None], pa.int64())}
        together = expression.evaluate(pa.record_batch(rows), np.zeros(3, np.int64))
        alone = expression.evaluate(pa.record_batch(rows).slice(0, 2), np.zeros(2, np.int64))
        assert together[:2].tolist() == alone.tolist()


def test_a_missing_whole_number_is_not_a_number() -> None:
    """Arithmetic with a null is NaN, for whole numbers too; none becomes the least integer."""
    expression = compile("loose + 1", FIELDS)
    assert expression.type == "number"
    found = expression.evaluate(pa.record_batch({"loose": pa.array([1, None], pa.int64())}), np.zeros(2, np.int64))
    np.testing.assert_array_equal(found, [2.0, np.nan])


def test_whole_numbers_without_nulls_stay_exact() -> None:
    """A whole number that is never null is compared and divided with all its digits."""
    columns = pa.record_batch({"solid": pa.array([2**62 + 1, 2**53 + 1], pa.int64())})
    assert compile("solid % 2", FIELDS).evaluate(columns, np.zeros(2, np.int64)).tolist() == [1, 1]
    assert compile("solid == 2", FIELDS).evaluate(columns, np.zeros(2, np.int64)).tolist() == [False, False]


def test_segments_take_what_was_let_through_before() -> None:
    """Predictions that carry a larger number, from a time before it was refused, fall into the outer group."""
    found, schemas = pipeline("probability")
    kind = schemas["predictions"].arrow.field("event").type
    event = {f.name: PLAIN.get(f.name) for f in kind} | {"whole": 2**63 - 1, "no_whole": None}
    blank = {f.name: None for f in schemas["predictions"].arrow}
    columns = pa.RecordBatch.from_pylist([blank | {"event": event, "own": None}], schema=schemas["predictions"].arrow)
    groups = {name for name, mask in Segments(found).groups(columns) if mask is None or mask.any()}
    assert ("by_whole", ">=9007199254740993") in groups
    assert ("by_no_whole", "missing") in groups
