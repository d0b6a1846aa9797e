"""Incidents say whether they harm, and of what kind they are: the same whoever reads what first, in whatever pieces."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from prometheus_client import CollectorRegistry

from headrace.domain.control.drift import DriftHarmed, DriftOpened
from headrace.domain.drift.reference_bins import Floats
from headrace.domain.drift.reference_profile import ReferenceProfile
from headrace.domain.pipeline.drift.spec import Drift
from headrace.domain.pipeline.spec import Pipeline
from headrace.domain.records.drift_parts import PARTS, SOURCES
from headrace.domain.records.watched_columns import OUTCOMES, PREDICTIONS
from headrace.streaming.records.batch import Batch, slot
from services.drift.metrics import DriftMetrics
from services.drift.service import Watcher
from tests.drift import predictions as made
from tests.drift.test_service import PARTITIONS, Group

EVERY = 20_000
ROWS, CHANGED = 16_000, 7_000
HOUR = 3_600_000
REFERENCE = made.reference()
PIPELINE = replace(made.PIPELINE, drift=Drift(false_alarms_per_month=20.0))
OLD = replace(REFERENCE, loss=None, losses={})


def member(reference: ReferenceProfile | None, pipeline: Pipeline = PIPELINE) -> Watcher:
    """A member that was told how many partitions there are."""
    names = (PARTS, "drift", "control")
    figures = DriftMetrics(CollectorRegistry())
    service = Watcher(
        pipeline,
        lambda stream, model: made.watched(stream, pipeline, reference),
        *(made.SCHEMAS[name] for name in names),
        1.0,
        10.0,
        figures,
    )
    service.start({**dict.fromkeys(SOURCES, PARTITIONS), PARTS: 1})
    return service


def group(
    reference: ReferenceProfile | None = REFERENCE, members: int = 1, seed: int = 0, pipeline: Pipeline = PIPELINE
) -> Group:
    """Members of a pipeline whose outcomes come as soon as labels do."""
    found = Group(members, seed)
    services = [member(reference, pipeline) for _ in range(members)]
    of = {id(old): new for old, new in zip(found.services, services, strict=True)}
    found.owner = of[id(found.owner)]
    found.owner.restore(found.here, None)
    found.of = {partition: of[id(service)] for partition, service in found.of.items()}
    found.services = services
    for partition, service in found.of.items():
        service.restore(partition, None)
    return found


def logs(
    change: Callable[[Floats, Floats, np.random.Generator], Floats],
    rows: int = ROWS,
    usual: Callable[[Floats, np.random.Generator], Floats] = made.labels,
) -> dict[int, Batch]:
    """A row every 20 seconds over the partitions; `change` alters inputs, and gives labels, from row 7,000 on."""
    draw = np.random.default_rng(5)
    values = draw.normal(size=(rows, len(made.INPUTS)))
    truth = usual(values, draw)
    truth[CHANGED:] = change(values[CHANGED:], truth[CHANGED:], draw)
    times = made.START + np.arange(rows) * EVERY
    found = {}
    for number in range(PARTITIONS):
        mine = np.flatnonzero(np.arange(rows) % 7 % PARTITIONS == number)
        for stream, told in ((PREDICTIONS, None), (OUTCOMES, truth[mine])):
            records = made.columns(stream, values[mine], times[mine], mine, made.MODEL, told)
            batch = made.batch(stream, records, number, 5)
            found[int(batch.partition[0])] = batch
    return found


def flipped(values: Floats, truth: Floats, draw: np.random.Generator) -> Floats:
    """Labels turn where one input is large; no input changes."""
    return np.where(values[:, 0] > 0.5, 1 - truth, truth)


def moved(values: Floats, truth: Floats, draw: np.random.Generator) -> Floats:
    """An input moves to where the model is less sure, and labels follow the scores as before."""
    values[:, 0] += 1.0
    values[:, 1] *= 0.5
    return made.labels(values, draw)


def harmed(found: Group) -> list[tuple[Any, ...]]:
    """What was found to harm, in an order of its own."""
    told = [each for each in found.findings() if isinstance(each, DriftHarmed)]
    return sorted((e.incident, e.basis, e.reached, e.evidence, e.worse, e.rows, e.kind) for e in told)


def standing(found: Group) -> dict[str, dict[str, Any]]:
    """The newest record of harm, by incident."""
    found.publish()
    return {row["incident"]: row["harm"] for row in found.standing if row["state"] == "harm"}


def test_a_change_of_what_is_true_is_harm_and_another_concept() -> None:
    """Losses alarm, the incident is found to harm by labels within hours, once, and its kind is told."""
    read, rows = group(), logs(flipped)
    read.read(rows, 3_000)
    read.idle(list(rows))
    (found,) = [each for each in harmed(read) if each[0] == "outcomes/1"]
    incident, basis, reached, evidence, worse, _, kind = found
    assert (incident, basis, kind) == ("outcomes/1", "labels", "concept")
    assert 0 < reached - (made.START + CHANGED * EVERY) < 12 * HOUR
    assert evidence >= 1
    assert worse > 1.2
    said = standing(read)["outcomes/1"]
    assert said["kind"] == "concept"
    assert said["proved"] is not None
    assert said["loss"] > said["tolerated"] > said["reference"] > 0
    assert said["loss"] - said["expected"] > 3 * said["rest_error"], "scores explain none of it"
    assert [each["before"] < each["loss"] for each in said["groups"] if each["outcomes"] > 300] == [True]


def test_a_change_of_inputs_alone_is_no_other_concept() -> None:
    """The scores explain what is lost more; that is harm by estimate, before any label, and of the kind covariate."""
    lenient = replace(PIPELINE, drift=replace(PIPELINE.drift, tolerance=0.2))
    read, rows = group(pipeline=lenient), logs(moved)
    read.read(rows, 3_000)
    read.idle(list(rows))
    opened = [each for each in read.findings() if isinstance(each, DriftOpened)]
    assert "predictions/1" in {each.incident for each in opened}
    said = standing(read)["predictions/1"]
    assert said["kind"] == "covariate"
    assert said["discerned"] == pytest.approx(0.2)
    assert said["concept_proved"] is None
    assert abs(said["loss"] - said["expected"]) < 4 * said["rest_error"]
    effects = {row["column"]: row["effect"] for row in read.standing if row["stream"] == PREDICTIONS}
    assert abs(effects["amount"]) > 5 * abs(effects["terminal.risk_30d"])
    assert effects["age of terminal"] is None


@pytest.mark.slow
@pytest.mark.parametrize("reference", [REFERENCE, OLD], ids=["told", "learnt"])
def test_who_reads_what_first_changes_nothing(reference: ReferenceProfile) -> None:
    """One stream before the other, members that share and hand on, pieces of any length: the same harm."""
    rows = logs(flipped)
    whole = group(reference)
    whole.read(rows, 5_000)
    whole.idle(list(rows))
    found = harmed(whole)
    assert found
    for first in (PREDICTIONS, OUTCOMES):
        apart = group(reference)
        for late in (False, True):
            some = {number: log for number, log in rows.items() if (log.topic == first) != late}
            apart.read(some, 2_000)
            apart.idle(list(some))
        assert harmed(apart) == found, first
    for seed in (1, 2):
        several = group(reference, 3, seed)
        several.read(rows, (90, 700)[seed % 2])
        several.idle(list(rows))
        assert harmed(several) == found, seed


def test_a_package_that_tells_no_losses_says_what_cannot_be_given() -> None:
    """Its first outcomes are the reference, and there is no estimate; both are said, with how far it is."""
    read, rows = group(OLD), logs(flipped)
    few = {number: log.slice(slice(0, 500)) for number, log in rows.items()}
    read.read(few, 3_000)
    read.publish()
    (whole,) = [row["harm"] for row in read.standing if row["stream"] == OUTCOMES and not row["column"] and row["harm"]]
    assert "first 5,000 outcomes become the reference, 1,1" in whole["unknown"][0]
    read.read({number: log.slice(slice(500, None)) for number, log in rows.items()}, 3_000)
    read.idle(list(rows))
    assert {each[:2] for each in harmed(read)} >= {("outcomes/1", "labels")}
    assert {each[1] for each in harmed(read)} == {"labels"}
    said = standing(read)["outcomes/1"]
    assert any("first 5,000 outcomes are the reference" in why for why in said["unknown"])
    assert any("not estimated before labels come" in why for why in said["unknown"])
    assert said["estimate"] is None


def test_a_model_of_values_is_held_against_its_first_errors() -> None:
    """Squared errors that double are harm, and another concept: what the score lets expect has not changed."""
    model = replace(made.PIPELINE.model, output="value")

    def off(values: Floats, by: float, draw: np.random.Generator) -> Floats:
        return made.scores(values) + by * draw.normal(size=len(values))

    rows = logs(lambda values, truth, draw: off(values, 0.3, draw), usual=lambda values, draw: off(values, 0.2, draw))
    read = group(REFERENCE, pipeline=replace(PIPELINE, model=model))
    read.read(rows, 700)
    read.idle(list(rows))
    found = harmed(read)
    assert {each[1] for each in found} == {"labels"}
    assert {each[-1] for each in found} == {"concept"}
    said = standing(read)["outcomes/1"]
    assert said["loss"] == pytest.approx(0.09, rel=0.15)
    assert said["reference"] == pytest.approx(0.04, rel=0.1)


def test_few_outcomes_leave_the_kind_unknown_and_say_so() -> None:
    """Before labels came, nothing tells of what kind a change is."""
    read, rows = group(), logs(moved)
    known = {number: log for number, log in rows.items() if log.topic == PREDICTIONS}
    read.read(known, 3_000)
    read.idle(list(rows))
    said = standing(read)["predictions/1"]
    assert (said["kind"], said["outcomes"]) == ("unknown", 0)
    assert any("before the model has an outcome" in why for why in said["unknown"])
    assert said["predictions"] > 1_000


def test_early_labels_say_nothing() -> None:
    """Where silence means something, positives come first: outcomes count once all events had their time."""
    assert made.PIPELINE.labels is not None
    labels = replace(made.PIPELINE.labels, unlabelled_is=0.0, matures_after=24 * HOUR)
    rows = logs(lambda values, truth, draw: made.labels(values, draw), 4_320 * 2)
    early = {number: log for number, log in rows.items() if log.topic == OUTCOMES}
    shares = {}
    for name, pipeline in (("waits", replace(PIPELINE, labels=labels)), ("counts", PIPELINE)):
        read = group(pipeline=pipeline)
        read.read(early, 700)
        read.idle(list(early))
        read.publish()
        shares |= {(name, row["column"]): row for row in read.standing if row["state"] == "watched"}
    for column in ("positive label", "model loss"):
        assert shares["counts", column]["events"] > 4_320 * 2 - 5
        assert abs(shares["waits", column]["events"] - 4_320) < 20


def test_rows_of_an_earlier_version_are_watched() -> None:
    """Without what tells of losses: columns are watched, and harm is not known."""
    service = member(REFERENCE)
    log = logs(flipped, 9_000)[slot(0, 0)]
    watched = made.watched(PREDICTIONS, PIPELINE, REFERENCE)
    places, values = watched.read(log.columns)
    assert watched.fits_with_losses(places, values)
    assert watched.fits_with_losses(*watched.read_with_losses(log.columns))
    assert not watched.fits_with_losses(np.hstack([places, np.full((len(places), 1), 254, np.uint8)]), values)
    service.restore(slot(0, 0), None)
    assert pa.types.is_struct(log.columns.schema.field("model").type)
