"""Owners and descriptions of views and features: read, checked, and of no weight for values and revisions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from headrace.domain.pipeline.check import load
from headrace.domain.pipeline.document import Problem
from headrace.domain.pipeline.documentation.spec import Note
from headrace.domain.pipeline.spec import Pipeline
from headrace.domain.revisions.revision import digest_of
from tests.pipeline.conftest import SMALL

PLAIN = SMALL.replace("model:", "  moment: {night: hour < 6}\nmodel:")
NOTED = """\
pipeline: small
events: {schema: bike_trip, id: trip, time: returned_at, key: rider}
views:
  rider:
    key: rider
    windows: [1h]
    owner: fleet
    description: >
      what a rider
      did
    features:
      trips: {is: count, description: how often}
      ridden: {is: sum(minutes), owner: tariffs}
  moment:
    night: {is: hour < 6, owner: 'night: shift'}
    description: of the clock
model: {name: small, inputs: [minutes, rider.*]}
"""


def read(project: Path, text: str) -> Pipeline:
    """The pipeline of a text."""
    path = project / "pipelines" / "small.yaml"
    path.write_text(text, "utf-8")
    return load(path)


def test_notes_are_read(project: Path) -> None:
    """Of views of both kinds and of single features."""
    rider, moment = (read(project, NOTED).views[name] for name in ("rider", "moment"))
    assert rider.note == Note("fleet", "what a rider did")
    assert {name: note.within(rider.note).owner for name, note in rider.notes.items()} == {
        "trips": "fleet",
        "ridden": "tariffs",
    }
    assert rider.notes["trips"].description == "how often"
    assert moment.note == Note("", "of the clock")
    assert moment.notes["night"].owner == "night: shift"


def test_notes_change_no_value(project: Path) -> None:
    """A pipeline with them is the same as without: the same revision, the same views, the same columns."""
    plain, noted = read(project, PLAIN), read(project, NOTED)
    assert plain.views == noted.views
    assert digest_of(plain) == digest_of(noted)
    assert plain.views["moment"].expressions["night"] == noted.views["moment"].expressions["night"]


@pytest.mark.parametrize(
    ("there", "instead", "message", "remedy"),
    [
        ("is: count, ", "", "is is missing", "is: mean(amount)"),
        ("is: count", "iss: count", "unknown key iss", "did you mean is?"),
        ("is: count", "is: [count]", "should be a text, not a list", "write a word"),
        ("is: count", "is: counted", "unknown function counted", "did you mean count?"),
        ("is: hour < 6", "is: hours < 6", "unknown name hours", ""),
        ("owner: fleet", "owner: [a, b]", "should be a text, not a list", "write a word"),
        ("owner: fleet", "owner:", "should be a text, not empty", "write a word"),
        ("owner: tariffs", "window: 1d", "unknown key window", "is, owner, description"),
        ("how often", "often " * 200, "description has 1,199 characters", "1,000 at most"),
    ],
)
def test_a_mistake_in_a_note_is_told(
    there: str, instead: str, message: str, remedy: str, problems_of: Callable[[str], list[Problem]]
) -> None:
    """With its line, and what to write instead."""
    assert there in NOTED
    (line,) = [number for number, text in enumerate(NOTED.splitlines(), 1) if there in text]
    found = [each for each in problems_of(NOTED.replace(there, instead)) if message in each.message]
    assert [each.line for each in found] == [line], found
    assert remedy in found[0].remedy
