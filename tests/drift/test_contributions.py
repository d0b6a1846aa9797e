"""What inputs contribute to answers is watched on a sample, and sees what nothing else does."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from headrace.domain.drift.alarms import Alarm
from headrace.domain.drift.e_detector import NOTHING
from headrace.domain.drift.model_monitor import ModelMonitor
from headrace.domain.drift.reference_bins import Floats
from headrace.domain.drift.reference_profile import (
    AttributionProfile,
    ReferenceProfile,
    answers_of,
    joint_of,
    parse,
    profile_of,
)
from headrace.domain.explanations.attributions import Attributions, attributions_like
from headrace.domain.models.package import Input, Manifest, ModelPackage, pack
from headrace.domain.models.sessions import SessionSettings, open_session
from headrace.domain.records.contribution_columns import WEIGHT, contribution_of
from headrace.domain.records.watched_columns import PREDICTIONS, SILENT, WatchedColumns
from headrace.domain.training.graphs import Tree, forest
from headrace.errors import ContractError
from services.drift.model_attributions import opened
from tests.drift import predictions as made

INPUTS = ("amount", "customer.avg_amount_7d", "customer.avg_amount_30d", "terminal.risk_7d", "terminal.risk_30d")
"""Three signs that say which of the last two counts."""
SIGNS, ONE, OTHER = 3, INPUTS[3], INPUTS[4]
EVERY = 20
ASKED = 50_000.0


def switch() -> bytes:
    """The one input where an even number of signs is negative, else the other: no two signs tell anything of it."""
    feature: list[int] = []
    threshold: list[float] = []
    children: list[tuple[int, int]] = []
    value: list[float] = []

    def node(at: int, limit: float) -> int:
        feature.append(at)
        threshold.append(limit)
        children.append((-1, -1))
        value.append(limit)
        return len(feature) - 1

    def steps(at: int, low: float, high: float, depth: int) -> int:
        middle = (low + high) / 2
        here = node(at, middle)
        if depth:
            children[here] = steps(at, low, middle, depth - 1), steps(at, middle, high, depth - 1)
        return here

    def ways(sign: int, odd: bool) -> int:
        if sign == SIGNS:
            return steps(INPUTS.index(OTHER if odd else ONE), -3.0, 3.0, 4)
        here = node(sign, 0.0)
        children[here] = ways(sign + 1, not odd), ways(sign + 1, odd)
        return here

    ways(0, odd=False)
    left, right = np.array(children).T
    missing_left = np.zeros(len(feature), np.bool_)
    tree = Tree(np.array(feature), np.array(threshold), left, right, missing_left, np.array(value))
    return forest([tree], len(INPUTS), sigmoid=True)


MANIFEST = Manifest(name="m", version="1", inputs=tuple(Input(name=name) for name in INPUTS))
PACKAGE = pack(MANIFEST, switch())
SESSION = open_session(PACKAGE, SessionSettings(device="cpu", rows=512))


def rows(draw: np.random.Generator, count: int, together: bool = False) -> Floats:
    """Signs and values; `together`: the third sign follows from the others, and any two inputs lie as they did."""
    found = draw.normal(size=(count, len(INPUTS))).astype(np.float32).astype(np.float64)
    found[:, :SIGNS] = np.where(draw.random((count, SIGNS)) < 0.5, -1.0, 1.0)
    if together:
        found[:, 2] = found[:, 0] * found[:, 1]
    return found


@cache
def reference(seed: int = 1, count: int = 20_000) -> ReferenceProfile:
    """What `headrace train` would have said of the model."""
    draw = np.random.default_rng(seed)
    matrix, held_out = rows(draw, count), rows(draw, count)
    inputs = profile_of(INPUTS, matrix)
    scores = SESSION.run(held_out.astype(np.float32))
    labels = (draw.random(count) < scores).astype(np.float64)
    profile = ReferenceProfile(inputs, answers_of(scores, labels, made.THRESHOLD), joint_of(inputs, matrix))
    return made.attributed(profile, PACKAGE, matrix[:64], held_out[:5_000], EVERY)


def watched(profile: ReferenceProfile, package: ModelPackage = PACKAGE) -> WatchedColumns:
    """As the service has it."""
    schema = made.SCHEMAS[PREDICTIONS]
    return WatchedColumns(
        PREDICTIONS, made.PIPELINE, MANIFEST, profile, schema, lambda given: opened(package, given)
    )  # fmt: skip  # one call


def alarms(profile: ReferenceProfile, values: Floats, threshold: float = ASKED) -> list[tuple[int, list[str]]]:
    """Events at which there were any, and what they name."""
    columns = watched(profile)
    monitor = ModelMonitor(columns.names, columns.profiles, threshold, columns.weights())
    times = made.START + np.arange(len(values)) * 1_000
    scores = SESSION.run(values.astype(np.float32))
    records = made.columns(PREDICTIONS, values, times, np.arange(len(values)), inputs=INPUTS, scored=scores)
    found = monitor.fold(*columns.read(records), times, np.ones(len(values)))
    return [(each.event, [change.column for change in each.changes]) for each in found if isinstance(each, Alarm)]


def test_a_model_that_goes_other_ways_is_seen_by_contributions_alone() -> None:
    """Three inputs begin to go together, and half of the model is never asked again: no input, no two inputs and no
    score look any other, and what inputs contribute does.
    """
    profile = reference()
    draw = np.random.default_rng(2)
    values = np.concatenate([rows(draw, 6_000), rows(draw, 6_000, together=True)])
    found = alarms(profile, values)
    assert all(6_000 < event < 10_000 for event, _ in found)
    assert {name for _, several in found for name in several} == {contribution_of(ONE), contribution_of(OTHER)}
    assert not alarms(replace(profile, attributions=None), values)


def test_nothing_is_seen_where_nothing_changes() -> None:
    """Eight references with streams of their own, each as long as one alarm of all columns is asked for: contributions,
    which have a tenth of that, give none.
    """
    found = [
        alarms(reference(seed, 6_000), rows(np.random.default_rng(100 + seed), 20_000), 20_000.0) for seed in range(8)
    ]
    named = [name for each in found for _, several in each for name in several]
    assert not [name for name in named if name.startswith(contribution_of(""))], found


def test_the_sample_follows_from_the_event_ids() -> None:
    """One in so many events is looked at, the same ones in any pieces; of others nothing is said."""
    columns = watched(reference(count=6_000))
    values = rows(np.random.default_rng(3), 8_000)
    records = made.columns(PREDICTIONS, values, made.START + np.arange(8_000) * 1_000, np.arange(8_000), inputs=INPUTS)
    places, _ = columns.read(records)
    contributed = [columns.known.index(contribution_of(name)) for name in INPUTS]
    told = places[:, contributed] != NOTHING
    assert (told == told[:, :1]).all()
    assert abs(told[:, 0].sum() - 8_000 / EVERY) < 4 * np.sqrt(8_000 / EVERY)
    pieces = [columns.read(records.slice(at, 613))[0] for at in range(0, 8_000, 613)]
    assert np.array_equal(np.concatenate(pieces), places)
    heard = columns.values(records, contribution_of(ONE))
    assert np.array_equal(heard != SILENT, told[:, 0])
    changed, _ = columns.read(records, {ONE: lambda column: column * 3})
    assert not np.array_equal(changed[:, contributed], places[:, contributed])


def test_weights_say_what_is_laid_on_contributions() -> None:
    """A tenth of all, by how seldom they are told; without them all others have what they had."""
    profile = reference(count=6_000)
    columns = watched(profile)
    weights, contributed = columns.weights(), len(INPUTS)
    assert weights[-contributed:].sum() / EVERY == pytest.approx(WEIGHT)
    assert weights[:-contributed].sum() == pytest.approx(1 - WEIGHT)
    before = watched(replace(profile, attributions=None)).weights()
    assert weights[:-contributed] == pytest.approx((1 - WEIGHT) * before)


def test_a_model_is_loaded_when_its_first_row_is_due() -> None:
    """Who only watches what others tell loads none; it is loaded once."""
    profile, asked = reference(count=6_000), list[AttributionProfile]()

    def opening(given: AttributionProfile) -> Attributions:
        asked.append(given)
        return attributions_like(PACKAGE, given.sample)

    columns = WatchedColumns(PREDICTIONS, made.PIPELINE, MANIFEST, profile, made.SCHEMAS[PREDICTIONS], opening)
    assert not asked
    records = made.columns(
        PREDICTIONS, rows(np.random.default_rng(4), 200), made.START + np.arange(200), np.arange(200), inputs=INPUTS
    )
    for _ in range(3):
        columns.read(records)
    assert len(asked) == 1


def test_a_model_that_is_asked_otherwise_says_nothing() -> None:
    """Its reference is of other contributions: nothing is held against it, and all else is watched."""
    profile = reference(count=6_000)
    assert profile.attributions is not None
    other = replace(profile.attributions, sample=replace(profile.attributions.sample, exact=False))
    with pytest.raises(ContractError, match="by sampling, here they are to the margin by its trees"):
        attributions_like(PACKAGE, other.sample)
    columns = watched(replace(profile, attributions=other))
    records = made.columns(
        PREDICTIONS, rows(np.random.default_rng(4), 200), made.START + np.arange(200), np.arange(200), inputs=INPUTS
    )
    places, _ = columns.read(records)
    assert (places[:, -len(INPUTS) :] == NOTHING).all()
    assert (places[:, columns.known.index(INPUTS[0])] != NOTHING).all()


def test_what_is_read_is_what_was_written() -> None:
    """Background and bins travel, missing values too, to the last bit."""
    profile = reference(count=6_000)
    assert profile.attributions is not None
    background = profile.attributions.sample.background.copy()
    background[3, 1] = np.nan
    sample = replace(profile.attributions.sample, background=background)
    profile = replace(profile, attributions=replace(profile.attributions, sample=sample))
    read = parse(profile.dump(), "here")
    assert read.dump() == profile.dump()
    assert read.attributions is not None
    np.testing.assert_array_equal(read.attributions.sample.background, background)
    assert [*read.attributions.columns] == [*INPUTS]


@pytest.mark.parametrize(
    "change",
    [
        {"background": []},
        {"background": [[0.0] * 5] * 65},
        {"background": [[0.0], [0.0, 1.0]]},
        {"background": [[1e300] * 5]},
        {"every": 0},
        {"of": "luck"},
        {"columns": {"amount": {"levels": ["a"], "counts": [1, 1, 1], "inflation": 1.0}}},
    ],
)
def test_what_makes_no_contributions_is_refused(change: dict[str, object]) -> None:
    """Backgrounds that are none, and bins that hold no numbers: told with the place."""
    said = json.loads(reference(count=6_000).dump())
    said["attributions"] |= change
    with pytest.raises(ContractError, match=r"^there: "):
        parse(json.dumps(said).encode(), "there")
