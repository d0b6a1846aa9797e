"""Quality over stream time, from outcomes as the service writes them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from headrace.operations.demo.quality_course import QualityCourse

HOUR = 3_600_000
MODEL = pa.struct([("name", pa.string()), ("version", pa.string()), ("digest", pa.string())])
SCHEMA = pa.schema(
    [
        ("event_id", pa.string()),
        ("event_time", pa.timestamp("ms", "UTC")),
        ("model", MODEL),
        ("arm", pa.string()),
        ("score", pa.float64()),
        ("revision", pa.int32()),
        ("label", pa.float64()),
    ]
)


def outcomes(rows: list[dict[str, Any]]) -> pa.RecordBatch:
    """Outcomes, with what is not said of them as it is mostly."""
    given = {"arm": "champion", "revision": 0, "label": 0.0, "score": 0.1, "version": "1"}
    full = [{**given, **row} for row in rows]
    for row in full:
        row["model"] = {"name": "m", "version": row.pop("version"), "digest": "sha256:00"}
        row["event_time"] = datetime.fromtimestamp(row["event_time"] / 1000, UTC)
    return pa.RecordBatch.from_pylist(full, SCHEMA)


def test_windows_of_each_model_are_those_of_scikit_learn() -> None:
    """Whatever batches they come in; the arm says what others read."""
    rng = np.random.default_rng(0)
    times, labels = np.sort(rng.integers(0, 4 * HOUR, 800)), (rng.random(800) < 0.2).astype(float)
    scores = {"1": rng.random(800), "2": np.clip(labels * 0.3 + rng.random(800) * 0.7, 0, 1)}
    rows = [
        {"event_id": str(i), "event_time": int(times[i]), "version": version, "score": float(scores[version][i]),
         "label": float(labels[i]), "arm": "champion" if (times[i] < 2 * HOUR) == (version == "1") else "shadow"}
        for i in range(800) for version in scores
    ]  # fmt: skip  # a table
    course = QualityCourse()
    for place in range(0, len(rows), 300):
        course.take(outcomes(rows[place : place + 300]))
    found = course.course(HOUR)
    assert list(found) == ["m@1", "m@2"]
    for version in scores:
        windows = found[f"m@{version}"]
        assert [each.start // HOUR for each in windows] == [0, 1, 2, 3]
        for each in windows:
            own = (times >= each.start) & (times < each.stop)
            assert (each.events, each.positives) == (own.sum(), labels[own].sum())
            assert each.average_precision == pytest.approx(average_precision_score(labels[own], scores[version][own]))
            assert each.auc_roc == pytest.approx(roc_auc_score(labels[own], scores[version][own]))
            assert each.answered == float((each.start < 2 * HOUR) == (version == "1"))
    published = np.where(times < 2 * HOUR, scores["1"], scores["2"])
    assert course.published(0, 4 * HOUR).brier == pytest.approx(np.mean((published - labels) ** 2))
    assert course.of_model("m@2", 0, HOUR) == found["m@2"][0]


def test_a_correction_replaces_and_a_repeat_or_silence_counts_nothing() -> None:
    """Of an event and a model the last outcome counts; one without a label, or that tells of a repeat, is none."""
    course = QualityCourse()
    course.take(outcomes([{"event_id": str(i), "event_time": i, "label": float(i < 15)} for i in range(40)]))
    course.take(outcomes([{"event_id": "0", "event_time": 0, "label": 0.0, "revision": 1}]))
    course.take(outcomes([{"event_id": "1", "event_time": 1, "label": 1.0, "revision": -1}]))
    course.take(outcomes([{"event_id": "99", "event_time": 5, "label": None}]))
    found = course.published(0, 100)
    assert (found.events, found.positives) == (40, 14)


def test_too_few_of_a_class_are_no_figure() -> None:
    """A figure of three frauds says nothing, so there is none; nor of nothing."""
    course = QualityCourse()
    assert course.course(HOUR) == {}
    assert course.published(0, HOUR).average_precision is None
    course.take(outcomes([{"event_id": str(i), "event_time": i, "label": float(i < 3)} for i in range(40)]))
    found = course.published(0, HOUR)
    assert (found.events, found.positives, found.average_precision, found.brier) == (40, 3, None, None)
