"""`headrace features stats`: figures held against a plain count of the same rows."""

from __future__ import annotations

import math
import statistics
from typing import Any

import pyarrow as pa
import pytest

from headrace.operations.catalogue.statistics import QUANTILES
from tests.catalogue.made import BEGIN, DAY, made_features
from tests.cli.conftest import headrace, project, terminal
from tests.cli.terminal import Terminal
from tests.project import Project

__all__ = ["headrace", "project", "terminal"]


def brute(values: list[float]) -> dict[str, Any]:
    """The same figures, value by value."""
    known = sorted(value for value in values if not math.isnan(value))
    quantiles = {}
    for share in QUANTILES:
        place = share * (len(known) - 1)
        low = math.floor(place)
        high = min(low + 1, len(known) - 1)
        quantiles[f"{share:g}"] = known[low] + (place - low) * (known[high] - known[low])
    return {
        "rows": len(values),
        "nulls": len(values) - len(known),
        "mean": math.fsum(known) / len(known),
        "sd": statistics.stdev(known),
        "least": known[0],
        "greatest": known[-1],
        "quantiles": quantiles,
        "distinct": len(set(known)),
    }


def values_of(rows: pa.RecordBatch, feature: str) -> list[float]:
    """A column, value by value."""
    view, _, name = feature.partition(".")
    return [float(value) for value in rows[view].field(name).to_pylist()]


def assert_same(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Counts are equal, figures but for rounding."""
    for name, value in wanted.items():
        assert found[name] == (value if name in ("rows", "nulls", "distinct") else pytest.approx(value)), name
    assert found["null_share"] == pytest.approx(wanted["nulls"] / wanted["rows"])


@pytest.mark.slow  # starts processes
def test_statistics_are_those_of_a_plain_count(headrace: Terminal, project: Project) -> None:
    """Of a span, of all features, and of each group of a segment."""
    channel = project.contracts.channel("features")
    rows = made_features(project.contracts.pipeline, channel.codec.reader.arrow, 240)
    project.publish(rows, "entity", "features")
    start, stop = BEGIN + DAY, BEGIN + 6 * DAY
    inside = rows.slice(24, 120)
    found = headrace.json("features", "stats", project.path, "--from", start, "--to", stop, "--segment", "amount_band")
    assert (found["rows"], found["first"], found["last"]) == (120, start, stop - 3_600_000)
    assert (found["unreadable"], found["missing"]) == (0, [])
    columns = {(each["feature"], each["group"]): each for each in found["columns"]}
    features = [column.path for view in project.contracts.pipeline.views.values() for column in view.columns]
    assert [name for name, group in columns if not group] == ["amount", *features]
    for feature in features:
        assert_same(columns[feature, ""], brute(values_of(inside, feature)))
    amounts = [value.as_py() for value in inside["event"].field("amount")]
    groups = {
        "<10": lambda v: v < 10,
        "10-50": lambda v: 10 <= v < 50,
        "50-200": lambda v: 50 <= v < 200,
        "missing": math.isnan,
    }
    for group, belongs in groups.items():
        members = [row for row, amount in enumerate(amounts) if belongs(amount)]
        assert members, group
        wanted = brute([values_of(inside, "customer.avg_amount_7d")[row] for row in members])
        assert_same(columns["customer.avg_amount_7d", group], wanted)


@pytest.mark.slow  # starts processes
def test_what_is_not_there_is_told(headrace: Terminal, project: Project) -> None:
    """No events, a feature or segment that there is not, a span that is none: code 2 and the remedy."""
    arguments = ("features", "stats", project.path)
    code, _, errors = headrace.run(*arguments)
    assert (code, "no event of all times" in errors) == (2, True), errors
    for wrong, remedy in (
        (("--feature", "customer.nb_txx_7d"), "did you mean customer.nb_tx_7d?"),
        (("--segment", "amountband"), "did you mean amount_band?"),
        (("--from", "2018-04-02", "--to", "2018-04-02"), "--from must be before --to"),
    ):
        code, _, errors = headrace.run(*arguments, *wrong)
        assert (code, remedy in errors) == (2, True), errors
    channel = project.contracts.channel("features")
    project.publish(made_features(project.contracts.pipeline, channel.codec.reader.arrow, 30), "entity", "features")
    code, out, errors = headrace.run(*arguments, "--feature", "customer.avg_amount_7d", "--to", "2018-04-02")
    assert code == 0, errors
    assert "24 events of" in out
    assert out.count("customer.avg_amount_7d") == 1
