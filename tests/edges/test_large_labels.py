"""Labels as large as numbers are: figures of a quantity are told, or refused with a reason, and nothing stops."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from tests.edges import members
from tests.edges.drawing import MS
from tests.edges.members import led
from tests.edges.project import pipeline


def blank(kind: pa.DataType) -> Any:
    """A value of a type: nothing where that may be, or as little as there is."""
    if pa.types.is_struct(kind):
        return {part.name: None if part.nullable else blank(part.type) for part in kind}
    if pa.types.is_string(kind):
        return ""
    return False if pa.types.is_boolean(kind) else 0


def row(topic: str, **said: Any) -> dict[str, Any]:
    """A record of a topic."""
    schema = pipeline("value")[1][topic].arrow
    return {f.name: None if f.nullable else blank(f.type) for f in schema} | {"event_time": MS, **said}


def figures(score: float, label: float) -> dict[str, Any]:
    """Figures of a window with one prediction and its outcome; empty when the outcome is refused."""
    member = members.scorecards("value")
    member.take(member.records("predictions", [row("predictions", score=score)]))
    known = {"state": "labelled", "label": label}
    member.take(member.records("outcomes", [row("outcomes", score=score, **known)]))
    member.pass_time(20.0)
    led(member, "scorecard-parts", member)
    member.pass_time(20.0)
    member.restart()
    if member.rejects:
        assert {reject.reason for reject in member.rejects} <= {"score", "label"}
        return {}
    cards = [card for columns, _ in member.told("scorecards") for card in columns.to_pylist()]
    (whole,) = (card for card in cards if not card["segment"])
    assert whole["mature"]
    return {figure["name"]: figure["value"] for figure in whole["figures"]}


@pytest.mark.parametrize("label", [1e200, -1e200, 1e300, 1.0, 0.0])
def test_errors_of_any_size(label: float) -> None:
    """The error of a label of 1e200 has a mean and a root mean square."""
    found = figures(2.0, label)
    assert found["bias"] == 2.0 - label
    assert found["mean_absolute_error"] == abs(2.0 - label)
    assert found["root_mean_square_error"] == pytest.approx(abs(2.0 - label), rel=1e-15)
    assert found["r2"] is None


@pytest.mark.parametrize("label", [1.1e300, -1.7e308, float("inf"), float("nan")])
def test_beyond(label: float) -> None:
    """A label of which no error can be told is refused."""
    assert figures(2.0, label) == {}


def test_corrections_of_quantities() -> None:
    """An outcome that is taken back without having been there stops no scorecards, and is told."""
    member = members.scorecards("value")
    member.take(member.records("predictions", [row("predictions", score=1.0)] * 2))
    plain = row("outcomes", score=1.0, state="labelled", label=1.0)
    correction = plain | {"revision": 1, "former_label": 2.0, "former_state": "labelled", "label": None}
    member.take(member.records("outcomes", [plain, plain, *[correction] * 3]))
    for _ in range(2):
        member.pass_time(20.0)
        led(member, "scorecard-parts", member)
        member.restart()
    member.pass_time(20.0)
    *_, card = (c for columns, _ in member.told("scorecards") for c in columns.to_pylist() if not c["segment"])
    assert not card["mature"]
    assert "unmatched_corrections" in {figure["name"] for figure in card["figures"]}
