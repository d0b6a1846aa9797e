"""Models of more than two classes: names, fields of records, what labels tell, and decisions by what they cost."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import fastavro
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from headrace.domain.pipeline.check import Problem, check, load
from headrace.domain.pipeline.classes.decision import decided, equal_costs
from headrace.domain.pipeline.classes.names import field_name, field_names, numbers
from headrace.domain.pipeline.classes.section import RECORD_FIELDS
from headrace.domain.pipeline.contracts import features, outcomes, predictions
from headrace.domain.pipeline.spec import Labels
from headrace.domain.pipeline.truth import number_of, said_of, told, truths
from headrace.domain.pipeline.views import RESERVED
from headrace.errors import ContractError
from headrace.operations.revision.changes import refusals
from headrace.operations.topics.schema_ids import derived_schemas, pin
from headrace.streaming.contracts.schemas import load_schema, undocumented

from .conftest import SMALL

MODEL = "model: {name: small, inputs: [minutes, rider.*]}"
KINDS = """\
model:
  name: small
  inputs: [minutes, rider.*]
  output: class
  classes: [commute, leisure, "very long", 観光]
  costs: {commute: {leisure: 5, 観光: 0.5}}
labels: {id: trip, value: kind, unlabelled_is: "very long"}
"""
NAMES = ("commute", "leisure", "very long", "観光")


@pytest.fixture
def path(project: Path) -> Path:
    """A pipeline whose model tells four kinds of trips apart."""
    found = project / "pipelines" / "small.yaml"
    found.write_text(SMALL.replace(MODEL, KINDS), "utf-8")
    return found


def test_a_file_names_its_classes(path: Path) -> None:
    """Classes are texts in the file's order, errors cost 1 unless it says otherwise, any score is a decision."""
    pipeline = load(path)
    assert (pipeline.model.output, pipeline.model.classes, pipeline.model.threshold) == ("class", NAMES, 0.0)
    assert pipeline.model.costs == ((0, 5, 1, 0.5), (1, 0, 1, 1), (1, 1, 0, 1), (1, 1, 1, 0))
    assert pipeline.labels is not None
    assert (pipeline.labels.names, pipeline.labels.classes, pipeline.labels.unlabelled_is) == (NAMES, True, 2.0)


def test_records_say_each_class(path: Path) -> None:
    """Predictions and outcomes have the class decided on and a score for each; outcomes the true one by name."""
    pipeline = load(path)
    for made, more in ((predictions(pipeline), []), (outcomes(pipeline), ["label", "label_class"])):
        fastavro.parse_schema(json.loads(json.dumps(made)))
        assert undocumented(load_schema(made)) == []
        fields = {field["name"]: field for field in made["fields"]}
        scores = fields["scores"]["type"]["fields"]
        assert [each["name"] for each in scores] == ["commute", "leisure", "very_long", "u89b3u5149"]
        assert {each["type"] for each in scores} == {"double"}
        assert fields["class"]["type"] == "string"
        assert [name for name in fields if name.startswith("label") and name in more] == more


@pytest.mark.parametrize("view", ["class", "scores", "label_class"])
def test_views_do_not_take_the_names_of_records_fields(view: str, problems_of: Callable[[str], list[Problem]]) -> None:
    """A name that only records of classes have is free in other pipelines."""
    text = SMALL.replace("  rider:", f"  {view}:").replace("rider.*", f"{view}.*")
    assert problems_of(text) == []
    (problem,) = problems_of(text.replace("model: {", "model: {output: class, classes: [a, b], "))
    assert (problem.line, problem.message) == (4, f"a view cannot be called {view}: records have a field of that name")


@pytest.mark.parametrize("output", ["probability", "value, threshold: 3", "class, classes: [a, b]"])
def test_no_view_is_called_as_a_field_of_records(output: str, path: Path) -> None:
    """Whatever records have beside views is taken, in pipelines of every kind and of later revisions."""
    labels = "labels: {id: trip, value: kind, matures_after: 1d}"
    path.write_text(f"{SMALL}\n{labels}\n".replace("model: {", f"model: {{output: {output}, "), "utf-8")
    pipeline = replace(load(path), revision=2)
    taken = {*RESERVED, *(RECORD_FIELDS if pipeline.model.classes else ()), *pipeline.views}
    for record in (features(pipeline), predictions(pipeline), outcomes(pipeline)):
        names = [field["name"] for field in record["fields"]]
        assert len(set(names)) == len(names)
        assert set(names) <= taken, record["name"]


def test_views_fold_no_labels_of_classes(path: Path) -> None:
    """The mean of places is refused."""
    text = path.read_text("utf-8").replace(
        "views:", "views:\n  station: {key: station, windows: [1h], delay: 1d, features: {kinds: mean(label)}}"
    )
    path.write_text(text, "utf-8")
    (problem,) = check(path)
    assert "a label is one of commute, leisure" in problem.message
    assert "take the feature out" in problem.remedy


def test_a_label_that_is_no_class_says_which_there_are() -> None:
    """By places or as themselves, as the topic has them."""
    assert "0 cat, 1 dog;" in said_of(Labels("id", "x", classes=True, names=("cat", "dog")))
    assert "as themselves: 1, 2, 7;" in said_of(Labels("id", "x", classes=True, names=("1", "2", "7")))


TEXTS = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=12).filter(lambda t: t.strip() == t)
WHOLE = st.integers(-(10**14), 10**14).map(str)


@given(
    st.one_of(st.lists(TEXTS, min_size=2, max_size=50, unique_by=field_name), st.lists(WHOLE, min_size=2, unique=True))
)
def test_every_class_has_a_number_and_a_field(names: list[str]) -> None:
    """A class goes to the topic of labels as a number and comes back as its place; fields are legal and differ."""
    assume(
        not any(each.isascii() and each.lstrip("-").isdecimal() for each in names)
        or all(str(int(each)) == each for each in names if each.isascii() and each.lstrip("-").isdecimal())
    )
    rule = Labels("id", "kind", classes=True, names=tuple(names))
    sent = [number_of(name, rule) for name in names]
    places, strange = truths(np.array(sent, np.float64), rule)
    assert not strange.any()
    assert places.tolist() == list(range(len(names)))
    assert [told(place, rule) for place in places] == names
    assert truths(np.array([np.nan, np.inf, 0.5, 1e15]), rule)[1].all()
    assert number_of("no such class", rule) is None
    fields = field_names(names)
    assert len(set(fields)) == len(names)
    schema = {"type": "record", "name": "r", "fields": [{"name": each, "type": "double"} for each in fields]}
    fastavro.parse_schema(schema)


def test_whole_numbers_are_told_as_themselves() -> None:
    """In the file's order, which need not be theirs; a frame with gaps writes 7 as 7.0."""
    rule = Labels("id", "stars", classes=True, names=("7", "-1", "2"))
    assert numbers(rule.names).tolist() == [7.0, -1.0, 2.0]
    assert truths(np.array([2.0, 7.0, -1.0]), rule)[0].tolist() == [2.0, 0.0, 1.0]
    assert number_of("7.0", rule) == 7.0


@given(
    st.integers(2, 8).flatmap(
        lambda k: st.tuples(
            st.lists(st.lists(st.floats(0, 1, width=32), min_size=k, max_size=k), min_size=1, max_size=8),
            st.lists(st.lists(st.integers(0, 9), min_size=k, max_size=k), min_size=k, max_size=k),
        )
    )
)
def test_a_decision_costs_least(drawn: tuple[list[list[float]], list[list[int]]]) -> None:
    """No other class costs less, none before it as little, and a row's decision is the same among any others."""
    scores, costs = (
        np.array(drawn[0], np.float64),
        [[0 if i == j else c for j, c in enumerate(row)] for i, row in enumerate(drawn[1])],
    )
    found = decided(scores, costs)
    for row, place in zip(scores, found.tolist(), strict=True):
        expected = [sum(p * c[j] for p, c in zip(row.tolist(), costs, strict=True)) for j in range(len(costs))]
        if costs != [list(map(int, each)) for each in equal_costs(len(costs))]:
            assert place == expected.index(min(expected))
        else:
            assert place == row.tolist().index(max(row.tolist()))
        assert decided(row[None], costs).tolist() == [place]


def test_other_classes_are_other_records(path: Path) -> None:
    """Places mean nothing once classes are others, or stand in another order: no schema takes the place of such."""
    pins = path.parents[1] / "pins.json"
    pin(pins, derived_schemas(str(path)))
    text = path.read_text("utf-8")
    same = text.replace("costs: {commute: {leisure: 5, 観光: 0.5}}", "threshold: 0.4")
    path.write_text(same, "utf-8")
    assert pin(pins, derived_schemas(str(path)))[1] == []
    for classes in (
        "[leisure, commute, very long, 観光]",
        "[commute, leisure, very long]",
        "[commute, leisure, very long, 観光, x]",
    ):
        path.write_text(same.replace('[commute, leisure, "very long", 観光]', classes), "utf-8")
        assert check(path) == []
        with pytest.raises(ContractError, match="class_scores"):
            pin(pins, derived_schemas(str(path)))


def test_a_revision_keeps_its_classes(path: Path) -> None:
    """Checkpoints and outcomes of before have places, too."""
    before = load(path)
    model = replace(before.model, classes=before.model.classes[::-1])
    (why,) = refusals(before, replace(before, model=model, revision=2))
    assert "model.classes are commute, leisure, very long, 観光, and would be 観光" in why
    assert list(refusals(before, replace(before, revision=2))) == []
