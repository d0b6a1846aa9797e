"""What the demo shows and how it does its sums."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
from rich.console import Console

from headrace.cli.render.demo.dashboard import line_of, panel_of
from headrace.operations.demo.monitor import DemoOutput, compare
from headrace.operations.demo.picture import Picture, ServiceState, percentiles
from headrace.operations.topics.prediction_lines import PredictionLine, prediction_lines

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
SEEN = DemoOutput(990, 10, 495.0, np.array([0.01, 0.02, 0.03]), [])
PICTURE = Picture(
    "cards", 12.0, 1_010, 500.0, SEEN, [ServiceState("enrich-0", "no partition", False, 1.5, 500.0, restarts=2)]
)


def test_a_line_says_all_figures() -> None:
    """Without a terminal the demo's figures stand in one line, with whatever is not ready."""
    line = line_of(PICTURE)
    for part in ("in 500/s", "out 495/s", "20 / 30 ms", "lag 1.5 s", "1,010 events", "10 dead letters", "no partition"):
        assert part in line


def test_a_panel_says_the_same() -> None:
    """On a terminal the figures stand in a panel that fits 100 columns, also before the first prediction."""
    console = Console(width=100)
    with console.capture() as captured:
        console.print(panel_of(PICTURE))
    text = captured.get()
    assert "no prediction yet" in text
    assert "in flight" in text
    assert max(map(len, text.splitlines())) <= 100


def test_predictions_stand_in_lines() -> None:
    """Of a record that is wider, in a panel as by `headrace predictions`; a score that is no number is none."""
    model = {"name": "m", "version": "1", "digest": "sha256:00"}
    row = {
        "event_id": "[a]",
        "entity": "7",
        "event_time": NOON,
        "model": model,
        "arm": "champion",
        "features": {"x": 1},
    }
    rows = [{**row, "score": 0.25, "decision": True}, {**row, "score": float("nan"), "decision": False}]
    one, other = prediction_lines(pa.Table.from_pylist(rows))
    assert one == PredictionLine("2024-05-01T12:00:00.000Z", "[a]", "7", 0.25, True, "m", "1", "champion")
    assert (other.score, other.decision) == (None, False)
    console = Console(width=100)
    with console.capture() as captured:
        console.print(panel_of(replace(PICTURE, seen=replace(SEEN, last=[one, other]))))
    shown = [" ".join(text.strip("│ ").split()) for text in captured.get().splitlines()]
    assert shown[-3:-1] == [
        "2024-05-01T12:00:00 [a] 7 0.2500 yes m 1 (champion)",
        "2024-05-01T12:00:00 [a] 7 - no m 1 (champion)",
    ]


def test_no_latency_is_no_number() -> None:
    """There is no percentile of nothing."""
    assert percentiles(np.empty(0)) is None


def test_each_kind_of_difference_is_found() -> None:
    """Events without answer, repeats, answers to nothing, and events both answered and refused are told apart."""
    none = np.array([], dtype=str)
    assert compare(np.array(["a", "b"]), np.array(["a", "b"]), none, 2, 0).balanced
    assert compare(np.array(["a", "b"]), np.array(["a"]), np.array(["b"]), 1, 1).balanced
    assert compare(np.array(["a"]), none, none, 0, 0).unanswered == 1
    assert compare(np.array(["a"]), np.array(["a", "a"]), none, 2, 0).repeated == 1
    assert compare(np.array(["a"]), np.array(["a", "x"]), none, 2, 0).strange == 1
    both = compare(np.array(["a"]), np.array(["a"]), np.array(["a"]), 1, 1)
    assert (both.both, both.balanced) == (1, False)
