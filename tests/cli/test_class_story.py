"""The story of an event of several classes: classes by their names."""

from __future__ import annotations

from io import StringIO

import numpy as np
import pyarrow as pa
from rich.console import Console

from headrace.cli.render.event import narrate
from headrace.operations.history.search import TracedRecord
from headrace.operations.history.story import ClassAnswer
from headrace.operations.history.story_builder import build_story
from headrace.operations.history.trace import Trace
from tests.scorecards.test_classes import made, of_card, told


def records(topic: str, columns: pa.RecordBatch) -> list[TracedRecord]:
    """As they are found on a topic."""
    rows = columns.to_pylist()
    return [TracedRecord(topic, 0, at, 1_522_540_800_000, [], row) for at, row in enumerate(rows)]


def test_classes_are_named() -> None:
    """The class decided on with the chances of all, and what was true."""
    draw = np.random.default_rng(2)
    of = of_card(3, draw)
    rows = made(1, 3, draw)
    answered = told(of, "predictions", rows)
    trace = Trace(
        str(answered["event_id"][0]),
        None,
        {
            "predictions": records("p", answered),
            "outcomes": [*records("o", told(of, "outcomes", rows, np.array([1.0]), label_class=["dog"]))],
        },
    )
    story = build_story(of, trace)
    (answer,) = story.predictions
    assert isinstance(answer, ClassAnswer)
    assert answer.decided_class == answered["class"][0].as_py()
    assert [*answer.chances.values()] == rows.scores[0].tolist()
    assert [outcome.label for outcome in story.outcomes] == ["dog"]
    console = Console(file=StringIO(), width=120)
    for part in narrate(story):
        console.print(part)
    assert isinstance(console.file, StringIO)
    text = console.file.getvalue()
    assert answer.decided_class in text
    assert "dog" in text
