"""What is said on the control topic comes back as what it was."""

from __future__ import annotations

from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.domain.control.base import ControlFinding
from headrace.domain.control.dark_models import ModelFailed
from headrace.domain.control.events import ControlEvent, ControlEvents, read_event
from headrace.domain.control.kinds import KINDS
from headrace.errors import InvalidRecord
from tests.shadow.conftest import CONTROL

VALUES = {
    "str": st.text(),
    "str | None": st.text(),
    "int": st.integers(0, 2**62),
    "int | None": st.integers(0, 2**62),
    "float": st.integers(0, 10**9).map(lambda thousandths: thousandths / 1000),
    "float | None": st.integers(0, 10**9).map(lambda thousandths: thousandths / 1000),
    "Offsets": st.dictionaries(st.integers(0, 500), st.integers(0, 2**62), max_size=4),
}
FINDINGS = st.sampled_from(sorted(KINDS)).flatmap(
    lambda name: st.builds(KINDS[name], **{each.name: VALUES[str(each.type)] for each in fields(KINDS[name])})
)


@given(FINDINGS, st.integers(0, 2**40))
def test_a_finding_survives_the_topic(finding: ControlFinding, time: int) -> None:
    """Every kind, with every field, through the schema's columns."""
    said = ControlEvents("p", "shadow", "m", CONTROL)
    said.say(finding, "a place", time / 1000)
    (emit,) = said.emit()
    (row,) = emit.columns.to_pylist()
    event = read_event(row)
    assert event is not None
    assert event.finding == finding
    assert (event.pipeline, event.actor, abs(event.time - time) <= 1) == ("p", "shadow", True)
    assert said.emit() == ()


def test_a_kind_of_others_is_none_of_ours() -> None:
    """Who reads dark models' events steps over drift and retraining."""
    assert read_event({"type": "drift_detected", "evidence": [], "time": 0}) is None


def test_a_record_of_before_has_what_it_lacks_by_default() -> None:
    """A kind may gain fields."""
    event = read_event({"type": "model_failed", "evidence": [("arm", "shadow")], "time": 5})
    assert event == ControlEvent("", "", 5, "", ModelFailed(arm="shadow"))


@pytest.mark.parametrize("offsets", ["[]", "{", '{"a": 1}', '{"1": "x"}'])
def test_evidence_that_is_none_is_refused(offsets: str) -> None:
    """With the reason, and not by what Python makes of it."""
    with pytest.raises(InvalidRecord, match="model_failed"):
        read_event({"type": "model_failed", "evidence": [("offsets", offsets)], "time": 5})
