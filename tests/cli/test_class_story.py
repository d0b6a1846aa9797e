"""The story of an event of several classes, its replay, and its pipeline revised: classes by their names."""

from __future__ import annotations

from datetime import UTC, datetime
from io import StringIO

import numpy as np
import pyarrow as pa
from rich.console import Console

from headrace.cli.render.event import narrate
from headrace.operations.history.search import TracedRecord
from headrace.operations.history.story_builder import build_story
from headrace.operations.history.trace import Trace
from headrace.operations.replay.recorded_scores import compared
from headrace.operations.revision.changes import refusals
from tests.scorecards.made import pipeline
from tests.scorecards.test_classes import made, of_card, told
from tests.several import of_classes


def records(topic: str, columns: pa.RecordBatch) -> list[TracedRecord]:
    """As they are found on a topic."""
    rows = columns.to_pylist()
    return [TracedRecord(topic, 0, at, 1_522_540_800_000, [], row) for at, row in enumerate(rows)]


def test_classes_are_named() -> None:
    """The class decided on with the chances of all, in the story and on paper."""
    draw = np.random.default_rng(2)
    of = of_card(3, draw)
    rows = made(1, 3, draw)
    answered = told(of, "predictions", rows)
    labels = [
        {"event_id": "e", "value": value, "label_time": datetime(2018, 4, 2, tzinfo=UTC), "source": "s"}
        for value in (1.0, 9.0)
    ]
    trace = Trace(
        str(answered["event_id"][0]),
        None,
        {
            "predictions": records("p", answered),
            "labels": [TracedRecord("l", 0, at, 1_522_540_800_000, [], row) for at, row in enumerate(labels)],
            "outcomes": [*records("o", told(of, "outcomes", rows, np.array([1.0]), label_class=["dog"]))],
        },
    )
    story = build_story(of, trace)
    (answer,) = story.predictions
    assert str(answer.class_) == answered["class"][0].as_py()
    assert [*answer.scores.values()] == rows.scores[0].tolist()
    assert [label.value for label in story.labels] == ["dog", 9.0], "by its name, unless it is none"
    assert [outcome.label for outcome in story.outcomes] == ["dog"]
    console = Console(file=StringIO(), width=120)
    for part in narrate(story):
        console.print(part)
    assert isinstance(console.file, StringIO)
    text = console.file.getvalue()
    assert str(answer.class_) in text


def test_a_replay_that_decides_for_another_class_decides_otherwise() -> None:
    """Also where both decisions are yes."""
    names = {"event_id": ["a", "b"], "score": [0.5, 0.6], "decision": [True, True], "event_time": [1, 2]}
    replayed, recorded = (pa.table({**names, "class": classes}) for classes in (["cat", "dog"], ["cat", "hen"]))
    found = compared(replayed, recorded)
    assert (found.compared, found.different, found.decisions) == (2, 0, 1)
    without = compared(*(table.drop_columns(["class"]) for table in (replayed, recorded)))
    assert without.decisions == 0


def test_classes_of_a_pipeline_that_runs_do_not_change() -> None:
    """A revision of others is refused, naming both."""
    before, after = of_classes(pipeline(), ("cat", "dog")), of_classes(pipeline(), ("dog", "cat"))
    assert [*refusals(before, before)] == []
    assert "are cat, dog, and would be dog, cat" in " ".join(refusals(before, after))
