"""`headrace features get`: features of an entity now and then, held against services that run and a plain count."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from headrace.errors import ConfigurationError
from headrace.operations.catalogue.entity_features import EntityFeatures, entity_features
from headrace.operations.progress import Silent
from headrace.streaming.process.settings import Settings
from tests.catalogue.live import Payments, payments
from tests.catalogue.made import BEGIN, DAY
from tests.cli.terminal import ROOT, Terminal
from tests.project import Project

SERVED = 1_500


@pytest.fixture(scope="module")
def answered(
    kafka: str, redis_server: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Project, Payments]]:
    """Payments that enrich, views and labels have answered."""
    folder = tmp_path_factory.mktemp("answered")
    source = ROOT / "pipelines" / "card_fraud.yaml"
    project = Project(source, f"cards_{folder.name.replace('-', '_')}", folder / "project", kafka, redis_server, 3)
    made = payments(SERVED)
    project.publish(made.labels, "event_id", "labels")
    project.publish(made.events, "customer_id")
    for member in ("enrich-0", "views-0", "labels-0"):
        project.start(member)
    project.await_count("features", SERVED)
    yield project, made
    project.close()


def get(project: Project, entity: object, at: int | None, view: str | None = None) -> EntityFeatures:
    """As the command asks."""
    settings = Settings(pipeline=str(project.path), bootstrap=project.bootstrap)
    return entity_features(settings, project.contracts, str(entity), at, view, Silent())


def values_of(found: EntityFeatures, view: str) -> dict[str, float]:
    """Values of a view, NaN for null."""
    (told,) = (each for each in found.views if each.view == view)
    return {name: float("nan") if value is None else float(value) for name, value in told.values.items()}


def assert_close(found: dict[str, float], wanted: dict[str, float]) -> None:
    """Counts are equal, means but for rounding."""
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        assert found[name] == pytest.approx(value, rel=1e-12, nan_ok=True), name


@pytest.mark.slow  # three services
def test_at_the_time_of_an_event_it_is_what_was_served(answered: tuple[Project, Payments]) -> None:
    """To the bit, and said to be: with the event's id; the fold of the log alone gives the same."""
    project, made = answered
    served = {row["event_id"]: row for row in project.read("features").to_pylist()}
    for row in range(3, SERVED, 250):
        event = {name: made.events[name][row].as_py() for name in ("transaction_id", "customer_id", "terminal_id")}
        found = get(project, event["customer_id"], made.times[row])
        assert found.event_id == str(event["transaction_id"])
        assert [each.view for each in found.views] == ["calendar", "customer"]
        for view in ("calendar", "customer"):
            wanted = {f"{view}.{name}": float(value) for name, value in served[found.event_id][view].items()}
            assert values_of(found, view) == wanted
        of_terminal = get(project, event["terminal_id"], made.times[row], "terminal")
        assert of_terminal.event_id == found.event_id
        computed = get(project, event["terminal_id"], made.times[row] + 1, "terminal")
        assert computed.event_id is None
        assert values_of(computed, "terminal") == made.terminal(event["terminal_id"], made.times[row] + 1)


@pytest.mark.slow  # as above
def test_between_events_it_is_a_plain_count(answered: tuple[Project, Payments]) -> None:
    """Windows that end at that time, with the labels that were known by then, and exact."""
    project, made = answered
    draw = np.random.default_rng(1)
    for time in draw.integers(BEGIN, BEGIN + 44 * DAY, 4).tolist():
        time = time // 1000 * 1000 + 500  # no event is of half a second
        for customer in draw.choice(12, 2, replace=False).tolist():
            found = get(project, customer, time)
            (view,) = (each for each in found.views if each.view == "customer")
            assert (found.event_id, view.how, view.exact) == (None, "computed", True)
            assert_close(values_of(found, "customer"), made.customer(customer, time))
            assert set(values_of(found, "calendar")) == {"calendar.weekend", "calendar.night"}
        terminal = int(draw.integers(100, 108))
        assert_close(values_of(get(project, terminal, time, "terminal"), "terminal"), made.terminal(terminal, time))


@pytest.mark.slow  # as above
def test_now_is_as_far_as_event_time_has_come(answered: tuple[Project, Payments]) -> None:
    """Without a time; of an entity that nobody knows windows are empty, and it is said that it has no event."""
    project, made = answered
    found = get(project, 3, None)
    assert not found.asked
    assert made.times[-9] <= found.at <= made.times[-1]
    assert_close(values_of(found, "customer"), made.customer(3, found.at))
    nobody = get(project, 77, None)
    assert (nobody.events, nobody.newest) == (0, None)
    assert values_of(nobody, "customer")["customer.nb_tx_30d"] == 0
    assert [each for view in nobody.views for each in view.because if "not final" in each]


@pytest.mark.slow  # as above, and a process
def test_the_command_tells_what_the_operation_finds(answered: tuple[Project, Payments], tmp_path: Path) -> None:
    """In words and in JSON; a view that there is not is told with the closest."""
    project, made = answered
    own = Terminal(tmp_path, {"HEADRACE_HOME": str(tmp_path / "home"), "HEADRACE_BOOTSTRAP": project.bootstrap})
    at = made.times[700] + 500
    told: dict[str, Any] = own.json("features", "get", project.path, 104, "--view", "terminal", "--at", at)
    (view,) = told["views"]
    assert view["exact"]
    assert_close(view["values"], made.terminal(104, at))
    code, out, errors = own.run("features", "get", project.path, made.events["customer_id"][700].as_py(), "--at", at)
    assert (code, "customer.nb_tx_30d" in out) == (0, True), out + errors
    code, out, errors = own.run("features", "get", project.path, 104, "--view", "terminall")
    assert (code, "did you mean terminal?" in errors) == (2, True), errors
    with pytest.raises(ConfigurationError, match="the view calendar has no key"):
        get(project, 1, None, "calendar")


@pytest.mark.slow  # as above
def test_where_events_were_deleted_it_is_said_until_when(
    kafka: str, redis_server: str, pipeline_name: str, tmp_path: Path
) -> None:
    """Windows that reach before what is left are not exact; from when on they are is told."""
    source = ROOT / "pipelines" / "card_fraud.yaml"
    project = Project(source, pipeline_name, tmp_path / "project", kafka, redis_server, 1)
    made = payments(SERVED)
    project.publish(made.events, "customer_id")
    topic = project.contracts.channel("events").name
    admin = AdminClient({"bootstrap.servers": kafka})
    for done in admin.delete_records([TopicPartition(topic, 0, 500)]).values():
        done.result(30)
    first = max(made.times[500:550]) + 600_000
    found = get(project, 3, made.times[700] + 500)
    (view,) = (each for each in found.views if each.view == "customer")
    assert not view.exact
    assert "events before 2018-" in view.because[0]
    whole = get(project, 3, first + 30 * DAY + 1_000)
    assert [each.exact for each in whole.views if each.view == "customer"] == [True]
    assert_close(values_of(whole, "customer"), made.customer(3, first + 30 * DAY + 1_000))
