"""Checkpoints of `labels` across revisions: what one revision packed the next one reads, and writes down again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from headrace.columnar import packing
from headrace.domain.pipeline.language.aggregation import Aggregation
from headrace.domain.records.exchange import KINDS
from headrace.errors import ContractError
from services.labels.join.question import question_of
from services.labels.redistribution import moved_joins
from services.labels.service import Labelling
from tests.labels.cases import COUNTS, Case, pipeline
from tests.labels.test_joining import PLACE, numbered


def revised() -> Case:
    """The second revision: a feature of customers went, and another came; all of the first remains readable."""
    first = pipeline()
    customer = replace(first.views["customer"], features={"nb_tx": Aggregation("count"), "most": MOST})
    return Case(replace(first, revision=2, views={**first.views, "customer": customer}))


MOST = Aggregation("max", pipeline().views["customer"].features["avg_amount"].value)
LABELS = [("old", 1.0, 1_010, "bank"), ("new", 0.0, 1_011, "bank")]


def outcomes(service: Labelling, case: Case, told: list[dict[str, Any]], first: int) -> list[dict[str, Any]]:
    """What a member tells of records."""
    emits = service.process(case.batch(told, first), 0.0).emits
    return [row for emit in emits if emit.topic == "outcomes" for row in numbered(emit.columns).to_pylist()]


def taken_over(case: Case, snapshot: bytes) -> Labelling:
    """A fresh member with a snapshot."""
    service = case.service()
    service.restore(PLACE, snapshot)
    return service


def kept() -> tuple[Case, bytes]:
    """The second revision, with a prediction of each in a snapshot of its own."""
    before, after = Case(pipeline()), revised()
    service = before.service()
    outcomes(service, before, [before.record("predictions", 0, 1_000, 1, [before.prediction("old", 1_000)])], 0)
    heir = taken_over(after, service.snapshot(PLACE))
    row = {**after.prediction("new", 1_001), "pipeline_revision": 2}
    outcomes(heir, after, [after.record("predictions", 0, 1_001, 2, [row])], 1)
    return after, heir.snapshot(PLACE)


def check(told: list[dict[str, Any]], before: Case) -> None:
    """Outcomes of both predictions as the second revision has them."""
    found = {row["event_id"]: row for row in told}
    assert {name: (row["label"], row["pipeline_revision"]) for name, row in found.items()} == {
        "old": (1.0, 1), "new": (0.0, 2),
    }  # fmt: skip  # both
    old, new = found["old"]["customer"], found["new"]["customer"]
    assert old.keys() == new.keys()
    assert "avg_amount_1d" not in old
    assert old["nb_tx_1d"] == before.prediction("old", 1_000)["customer"]["nb_tx_1d"]
    assert old["most_1d"] is None
    assert new["most_1d"] is not None
    assert found["old"]["terminal"] == before.prediction("old", 1_000)["terminal"]
    assert found["old"]["entity"] == before.prediction("old", 1_000)["entity"]


def test_predictions_of_the_revision_before_have_outcomes() -> None:
    """What is gone is not told, what is new is null; a second restart changes nothing."""
    after, snapshot = kept()
    told = [after.record("labels", 0, 1_012, 3, labels=LABELS)]
    check(outcomes(taken_over(after, snapshot), after, told, 2), Case(pipeline()))
    again = taken_over(after, taken_over(after, snapshot).snapshot(PLACE))
    assert again.snapshot(PLACE) == snapshot
    check(outcomes(again, after, told, 2), Case(pipeline()))


def test_they_move_when_the_exchange_grows() -> None:
    """Rows of both revisions come along to the partitions that their events belong to then."""
    after, snapshot = kept()
    assert after.pipeline.labels is not None
    question = question_of(after.pipeline.labels, [COUNTS[kind] for kind in KINDS])
    moved = moved_joins(question, [packing.unpack(snapshot)], 3)
    told: list[dict[str, Any]] = []
    for part in moved:
        service = taken_over(after, part)
        told += outcomes(service, after, [after.record("labels", 0, 1_012, 3, labels=LABELS)], 2)
    check(told, Case(pipeline()))


def test_a_prediction_of_both_revisions_is_one() -> None:
    """What was answered again after a restart of `score` is the same prediction, however it is packed."""
    after, snapshot = kept()
    service = taken_over(after, snapshot)
    same = {**after.prediction("old", 1_000), "pipeline_revision": 1}
    (row,) = outcomes(service, after, [after.record("predictions", 0, 1_001, 3, [same])], 2)
    assert row["state"] == "repeated"


def test_snapshot_of_other_features_is_refused() -> None:
    """Outside of a revision a feature that was added is told by its name, with the remedy."""
    case = Case(pipeline())
    views = {name: view for name, view in case.pipeline.views.items() if name != "calendar"}
    fewer = Case(replace(case.pipeline, views=views))
    service = fewer.service()
    outcomes(service, fewer, [fewer.record("predictions", 0, 1_000, 1, [fewer.prediction("a", 1_000)])], 0)
    with pytest.raises(ContractError, match=r"calendar.*headrace revise"):
        case.service().restore(PLACE, service.snapshot(PLACE))
