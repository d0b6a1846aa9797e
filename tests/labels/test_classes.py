"""Outcomes of models of several classes: each tells the chances and the class of its own prediction."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from headrace.columnar import packing
from headrace.errors import ContractError
from headrace.streaming.records.batch import Batch, slot
from services.labels.record_checks import checked, sound
from tests.labels.cases import COUNTS, EXCHANGE, Case, pipeline
from tests.labels.slowly import Slow, plain
from tests.labels.test_joining import records, run
from tests.labels.test_moving import Members, by_prediction, moved, split
from tests.several import NAMES, of_classes

PLACE = slot(EXCHANGE, 0)


def case_of(classes: int, unlabelled: float | None) -> Case:
    """The small pipeline with classes."""
    return Case(of_classes(pipeline(unlabelled), NAMES[:classes], unlabelled=unlabelled))


def answers(case: Case, told: list[dict[str, Any]]) -> dict[str, tuple[Any, Any]]:
    """By prediction, what it said of classes, the first time."""
    found: dict[str, tuple[Any, Any]] = {}
    for record in told:
        for each in record["predictions"]:
            found.setdefault(each["prediction_id"], (each["class"], each["scores"]))
    return found


def assert_told(case: Case, told: list[dict[str, Any]], outcomes: list[dict[str, Any]]) -> None:
    """Each outcome has the chances of its prediction, and the name of its label."""
    said, names = answers(case, told), case.pipeline.model.classes
    assert outcomes
    for row in outcomes:
        assert (row["class"], row["scores"]) == said[row["prediction_id"]]
        assert row["label_class"] == (None if row["label"] is None else names[int(row["label"])])


@pytest.mark.parametrize("seed", range(6))
def test_outcomes_tell_the_chances_of_their_predictions(seed: int) -> None:
    """Whatever comes in whatever order, corrected, presumed, repeated, cut, and by members that restart."""
    draw = random.Random(seed)
    case = case_of(draw.choice([2, 3, 8]), draw.choice([1.0, None]))
    told = records(case, draw, 150)
    assert case.pipeline.labels is not None
    slow = Slow(case.pipeline.labels, COUNTS)
    for record in told:
        slow.fold(record)
    cuts = sorted(draw.sample(range(len(told)), draw.randrange(10)))
    _, outcomes, _ = run(case, told, cuts, restarts=seed % 2 == 0)
    assert by_prediction(plain(outcomes)) == by_prediction(slow.outcomes)
    assert any(row["revision"] > 0 for row in outcomes)
    assert_told(case, told, outcomes)


@pytest.mark.parametrize("partitions", [1, 5])
def test_chances_move_with_their_predictions(partitions: int) -> None:
    """After the exchange has got other partitions outcomes tell what they would have told."""
    draw = random.Random(partitions)
    case = case_of(4, 2.0)
    told = records(case, draw, 200)
    members = Members(case, case.service(), [0] * 3)
    for number, part in enumerate(split(case, told[:100], 3)):
        members.fold(number, part)
    members = moved(case, members, partitions)
    for number, part in enumerate(split(case, told[100:], partitions)):
        members.fold(number, part)
    assert_told(case, told, members.outcomes)


def test_a_state_of_other_classes_is_refused() -> None:
    """Chances would be taken for those of another class: the message names both, and what to do."""
    case = case_of(3, None)
    service, *_ = run(case, records(case, random.Random(1), 60), [])
    snapshot = service.snapshot(PLACE)
    for classes in (("cat", "very bad", "dog"), NAMES[:4]):
        other = Case(of_classes(pipeline(None), classes))
        with pytest.raises(ContractError, match=r"of the classes cat, dog, very bad, .* change the file back"):
            other.service().restore(PLACE, snapshot)


def test_a_state_of_no_classes_is_as_it_was() -> None:
    """Nothing of classes is written where there are none."""
    case = Case(pipeline())
    service, *_ = run(case, records(case, random.Random(1), 60), [])
    assert "classes" not in packing.unpack(service.snapshot(PLACE))


def test_a_class_that_nobody_knows_is_refused() -> None:
    """A prediction of it, on its topic and in the exchange; and a label that is none."""
    case = case_of(3, None)
    assert case.pipeline.labels is not None
    good, strange = case.prediction("a", 5), case.prediction("b", 5) | {"class": "unicorn"}
    columns = pa.RecordBatch.from_pylist([good, strange], schema=case.predictions)
    numbers = np.zeros(2, np.int64)
    batch = Batch("predictions", columns, pa.nulls(2, pa.binary()), numbers.astype(np.int32), numbers, numbers)
    kept, rejects = checked(batch, case.pipeline.labels, case.pipeline.model.classes)
    assert kept.columns["event_id"].to_pylist() == ["a"]
    assert "one of cat, dog, very bad" in rejects[0].detail
    told = [
        case.record("predictions", 0, 5, 5, [good]),
        case.record("predictions", 0, 5, 5, [strange]),
        case.record("labels", 0, 5, 5, labels=[("a", 3.0, 6, "bank")]),
        case.record("labels", 0, 5, 5, labels=[("a", 2.0, 6, "bank")]),
    ]
    kept, rejects = sound(case.batch(told), [], case.pipeline.model.classes)
    assert (len(kept), len(rejects)) == (2, 2)


def test_labels_are_told_by_their_numbers() -> None:
    """Whole numbers as themselves on the topic of labels, their places in the join."""
    case = Case(replace(of_classes(pipeline(None), ("1", "2", "7"))))
    assert case.pipeline.labels is not None
    schema = pa.schema({"event_id": pa.string(), "value": pa.float64(), "label_time": pa.timestamp("ms", "UTC")})
    rows = [{"event_id": name, "value": value, "label_time": 0} for name, value in (("a", 7.0), ("b", 0.0), ("c", 1.0))]
    numbers = np.zeros(3, np.int64)
    columns = pa.RecordBatch.from_pylist(rows, schema=schema)
    batch = Batch("labels", columns, pa.nulls(3, pa.binary()), numbers.astype(np.int32), numbers, numbers)
    kept, rejects = checked(batch, case.pipeline.labels, case.pipeline.model.classes)
    assert kept.columns["value"].to_pylist() == [2.0, 0.0]
    assert "as themselves: 1, 2, 7" in rejects[0].detail
