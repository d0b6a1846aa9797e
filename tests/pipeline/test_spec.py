"""The pipeline as values: what a file means, which columns follow from it and in which order."""

from __future__ import annotations

import pickle
from math import inf, isnan
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.domain.pipeline import units
from headrace.domain.pipeline.check import load
from headrace.domain.pipeline.language.aggregation import Aggregation
from headrace.domain.pipeline.spec import Pipeline, expand

from .conftest import STRANGER

ROOT = Path(__file__).resolve().parents[2]
DAY = 86_400_000


@pytest.fixture(scope="module")
def card_fraud() -> Pipeline:
    """The pipeline that comes with headrace."""
    return load(ROOT / "pipelines" / "card_fraud.yaml")


@pytest.fixture(scope="module")
def bike_demand() -> Pipeline:
    """A pipeline that headrace knows nothing of."""
    return load(STRANGER / "pipelines" / "bike_demand.yaml")


def test_card_fraud_has_the_handbooks_features(card_fraud: Pipeline) -> None:
    """The model reads amount, two flags, customer counts and means, terminal counts and risks over 1, 7 and 30 days."""
    assert expand(card_fraud) == [
        "amount",
        "calendar.weekend", "calendar.night",
        "customer.nb_tx_1d", "customer.avg_amount_1d", "customer.nb_tx_7d", "customer.avg_amount_7d",
        "customer.nb_tx_30d", "customer.avg_amount_30d",
        "terminal.nb_tx_1d", "terminal.risk_1d", "terminal.nb_tx_7d", "terminal.risk_7d",
        "terminal.nb_tx_30d", "terminal.risk_30d",
    ]  # fmt: skip


def test_views_know_whose_they_are(card_fraud: Pipeline) -> None:
    """A view keyed as the events are is the pipeline's own, one keyed otherwise is foreign, a calendar neither."""
    assert [view.name for view in card_fraud.calendar_views] == ["calendar"]
    assert [view.name for view in card_fraud.own_views] == ["customer"]
    assert [view.name for view in card_fraud.foreign_views] == ["terminal"]
    assert card_fraud.views["customer"].own(card_fraud)
    assert not card_fraud.views["terminal"].own(card_fraud)


def test_durations_are_milliseconds(card_fraud: Pipeline) -> None:
    """Windows, delay and lateness are whole milliseconds; the span is how far back a view looks."""
    terminal = card_fraud.views["terminal"]
    assert terminal.windows == (DAY, 7 * DAY, 30 * DAY)
    assert terminal.delay == 7 * DAY
    assert terminal.span == 37 * DAY
    assert terminal.missing == 0
    assert card_fraud.events.allowed_lateness == 600_000


def test_what_the_file_leaves_out_has_a_default(card_fraud: Pipeline, bike_demand: Pipeline) -> None:
    """An empty window gives NaN, views wait for the exact answer and let an idle partition go after ten seconds."""
    customer = card_fraud.views["customer"]
    assert isnan(customer.missing)
    assert (customer.max_age, customer.idle_after, customer.version) == (0, 10_000, 1)
    assert bike_demand.latency.target == 50
    assert bike_demand.release is None


def test_every_section_is_read(card_fraud: Pipeline) -> None:
    """Sections that only later services use are checked and kept."""
    assert card_fraud.labels is not None
    assert card_fraud.labels.matures_after == 7 * DAY
    assert (card_fraud.labels.expires_after, card_fraud.labels.sources) == (90 * DAY, ())
    assert card_fraud.segments["amount_band"].cuts == (10, 50, 200)
    assert card_fraud.value is not None
    assert card_fraud.value.false_negative == -100
    assert card_fraud.retrain is not None
    assert card_fraud.retrain.on == ("drift", "schedule")
    assert card_fraud.release is not None
    assert card_fraud.release.canary == (0.05, 0.25, 1.0)
    assert card_fraud.release.gates["average_precision"].text == "not worse by 0.05"


def test_a_stranger_is_read_as_well(bike_demand: Pipeline) -> None:
    """String keys, every aggregation, other zones and units: nothing depends on cards."""
    station = bike_demand.views["station"]
    assert station.features["least_charge"] == Aggregation("min", "charge")
    assert station.fields == ("minutes", "charge", "electric")
    assert (station.missing, station.max_age, station.idle_after) == (-1, 2000, 3000)
    assert bike_demand.views["clock"].expressions["guest"].fields == ("tariff",)
    assert bike_demand.events.late == "score"
    assert [(rule.field, rule.otherwise, rule.value) for rule in bike_demand.rules] == [
        ("minutes", "impute", 0), ("charge", "warn", None), ("charge", "impute", 1), ("tariff", "reject", None),
    ]  # fmt: skip
    assert bike_demand.rules[0].range == (0, 1440)


def test_an_input_that_a_pattern_repeats_is_read_once(bike_demand: Pipeline) -> None:
    """A column named before its view's pattern keeps its first place."""
    inputs = expand(bike_demand)
    assert len(inputs) == len(set(inputs)) == 20
    assert inputs.index("station.returns_10m") == 12


def test_columns_lie_in_structs(card_fraud: Pipeline, bike_demand: Pipeline) -> None:
    """A feature lies in its view's struct, a field of the event in `event`, with what model and segments read."""
    assert card_fraud.locate("customer.nb_tx_7d") == ("customer", "nb_tx_7d")
    assert card_fraud.locate("amount") == ("event", "amount")
    assert [field.name for field in bike_demand.event_fields] == ["minutes", "charge", "tariff"]


def test_an_open_range_has_an_infinite_end(tmp_path: Path) -> None:
    """Null leaves an end of a range open."""
    text = (STRANGER / "pipelines" / "bike_demand.yaml").read_text().replace("[0, 1440]", "[0, null]")
    path = tmp_path / "bike_demand.yaml"
    path.write_text(text)
    (tmp_path / "schemas").symlink_to(STRANGER / "schemas")
    assert load(path).rules[0].range == (0, inf)


def test_a_pipeline_travels_to_another_process(card_fraud: Pipeline) -> None:
    """Services are processes: a pickled pipeline gives the same inputs."""
    assert expand(pickle.loads(pickle.dumps(card_fraud))) == expand(card_fraud)


@given(st.integers(0, units.LONGEST))
def test_a_duration_is_read_back_as_it_was_written(length: int) -> None:
    """`duration` writes what `milliseconds` reads."""
    assert units.milliseconds(units.duration(length)) == length


@pytest.mark.parametrize("text", ["", "7", "d", "-1d", "1.5h", "07d", "1 d", "1D", "\u0661d", "9" * 5000 + "d", "1d\n"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    """A duration is a whole number and a unit, in plain digits, and of a sane length."""
    with pytest.raises(ValueError, match="write a"):
        units.milliseconds(text)
