"""`headrace lineage`: trainings and plans as OpenLineage has them."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Iterator
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from openlineage.client import event_v2
from openlineage.client.facet_v2 import dataset_version_dataset, error_message_run, job_type_job
from openlineage.client.serde import Serde

from headrace.domain.control.base import ControlFinding
from headrace.domain.control.events import ControlEvent
from headrace.domain.control.retrain import ModelRegistered, RetrainFailed, RetrainFinished, RetrainStarted
from headrace.domain.models.package import Training
from headrace.domain.models.store import Stored
from headrace.domain.plans.plan_log import PlanFact
from headrace.domain.plans.plans import CHAMPION, Arm, Plan
from headrace.errors import ConfigurationError, Transient
from headrace.operations.lineage.lineage import post_events, whole_runs, write_events
from headrace.operations.lineage.run_events import LineagePlaces, run_events
from headrace.operations.time_spans import TimeSpan
from tests.models.graphs import manifest

PLACES = LineagePlaces("p", "kafka:9092", "s3://models", "urn:headrace:1")
MADE, BY_HAND, STRANGE = (f"sha256:{digit * 64}" for digit in "abc")
ORDER = json.dumps({"offsets": {"0": [5, 9], "1": [0, 4]}})


def said(time: int, finding: ControlFinding) -> ControlEvent:
    """A control event at a time."""
    return ControlEvent(f"e{time}", "p", time, "retrain", finding)


CONTROL = [
    said(1_000, RetrainStarted("t1", "drift", "r-1", ORDER)),
    said(2_000, RetrainFinished("r-1", "m@2", MADE)),
    said(3_000, RetrainStarted("t2", "person", "r-2", "{}")),
    said(4_000, RetrainFailed("r-2", "too few rows")),
]
ARMS = (Arm(CHAMPION, "m", "2", MADE, "s3://models/m/2"),)
PLANS = [
    PlanFact(Plan("p", 7, ARMS), None, 7, 5_000, "ada", "better", 0),
    PlanFact(None, "no_champion", 8, 6_000, "bob", "", 1),
]


def stored(version: str, digest: str, topic: str) -> tuple[Stored, Any]:
    """A package that says of which topic's records it was made."""
    training = Training(start=0, end=1, rows=9, positives=1, offsets={topic: {0: (6, 9)}})
    return Stored("m", version, digest, "", (), 500), manifest(version=version, training=training)


PACKAGES = [stored("2", MADE, "p.outcomes"), stored("1", BY_HAND, "p.features"), stored("9", STRANGE, "q.features")]
EVENTS = run_events(PLACES, CONTROL, PLANS, PACKAGES)


def facets(value: Any) -> Iterator[dict[str, Any]]:
    """Every facet in an event, wherever it stands."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name in ("facets", "inputFacets", "outputFacets"):
                yield from inner.values()
            yield from facets(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from facets(inner)


def named_facets(value: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """(name, facet) of every facet in an event."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name in ("facets", "inputFacets", "outputFacets"):
                yield from inner.items()
            yield from named_facets(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from named_facets(inner)


def test_events_have_what_the_specification_requires() -> None:
    """Required fields are there, with UUIDs, times and URIs in their form; each run begins and ends once."""
    for event in EVENTS:
        assert {"eventTime", "producer", "schemaURL", "run", "job", "eventType"} <= set(event)
        datetime.fromisoformat(event["eventTime"])
        uuid.UUID(event["run"]["runId"])
        for named in (event["job"], *event["inputs"], *event["outputs"]):
            assert named["namespace"]
            assert named["name"]
        for facet in facets(event):
            assert facet["_producer"] == "urn:headrace:1"
            assert facet["_schemaURL"].startswith("https://openlineage.io/spec/")
    runs: dict[str, list[str]] = {}
    for event in EVENTS:
        runs.setdefault(event["run"]["runId"], []).append(event["eventType"])
    assert sorted(runs.values()) == [["START", "COMPLETE"]] * 3 + [["START", "FAIL"]]


def test_a_training_has_offsets_in_and_a_model_out() -> None:
    """What was ordered is told at the begin, what was read at the end; a package that was trained by hand has both."""
    hand, _, start, done, _, failed, *_ = EVENTS
    assert hand["inputs"][0]["name"] == "p.features"
    (ordered,), (read,) = start["inputs"], done["inputs"]
    assert (ordered["namespace"], ordered["name"]) == ("kafka://kafka:9092", "p.outcomes")
    assert ordered["inputFacets"]["headrace_offsets"]["offsets"] == [
        {"partition": 0, "from": 5, "to": 9},
        {"partition": 1, "from": 0, "to": 4},
    ]
    assert read["inputFacets"]["headrace_offsets"]["offsets"] == [{"partition": 0, "from": 6, "to": 9}]
    (model,) = done["outputs"]
    assert (model["namespace"], model["name"]) == ("s3://models", "m")
    assert model["facets"]["version"]["datasetVersion"] == MADE
    assert failed["run"]["facets"]["errorMessage"]["message"] == "too few rows"


def test_a_plan_has_models_in_and_its_version_out() -> None:
    """A fact that makes no plan is none, and what another pipeline's topics made is not told."""
    *_, _, done = EVENTS
    assert [each["facets"]["version"]["datasetVersion"] for each in done["inputs"]] == [MADE]
    assert done["outputs"][0]["facets"]["version"]["datasetVersion"] == "7"
    assert done["run"]["facets"]["headrace_run"]["reason"] == "better"
    assert done["run"]["facets"]["headrace_run"]["actor"] == "ada"
    assert STRANGE not in json.dumps(EVENTS)


def test_a_repeat_tells_the_same() -> None:
    """Every identity follows from what is told, and from the cluster: elsewhere the same plan is another run."""
    assert run_events(PLACES, CONTROL, PLANS, PACKAGES) == EVENTS
    elsewhere = run_events(LineagePlaces("p", "other:9092", "s3://models", "urn:headrace:1"), CONTROL, PLANS, PACKAGES)
    runs, others = ({event["run"]["runId"] for event in events} for events in (EVENTS, elsewhere))
    assert len(runs) == len(others) == 4
    assert not runs & others


def test_a_version_of_a_registry_goes_in_and_a_model_comes_out() -> None:
    """What `models follow` registered is a run of its own; what a person registered is none."""
    followed = ModelRegistered("m@mlflow-7-00", MADE, "s3://m", source="mlflow/fraud/7/0f3a/1700000000000")
    events = run_events(PLACES, [said(9, followed), said(10, ModelRegistered("m@2", MADE))], [], [])
    assert [(event["eventType"], event["job"]["name"]) for event in events] == [
        ("START", "p.follow"),
        ("COMPLETE", "p.follow"),
    ]
    (version,), (model,) = events[1]["inputs"], events[1]["outputs"]
    assert (version["namespace"], version["name"]) == ("mlflow", "fraud")
    assert version["facets"]["version"]["datasetVersion"] == "7"
    assert model["facets"]["version"]["datasetVersion"] == MADE


def test_no_run_ends_that_did_not_begin() -> None:
    """A span that begins between the begin and the end of a run has both."""
    kept = whole_runs(EVENTS, TimeSpan(2_000))
    assert [event["eventType"] for event in kept] == ["START", "COMPLETE", "START", "FAIL", "START", "COMPLETE"]
    assert whole_runs(EVENTS, TimeSpan(5_001)) == []


STANDARD = {
    "jobType": job_type_job.JobTypeJobFacet,
    "errorMessage": error_message_run.ErrorMessageRunFacet,
    "version": dataset_version_dataset.DatasetVersionDatasetFacet,
}


def test_the_catalogues_own_client_takes_them() -> None:
    """OpenLineage's classes are made of our events: each of their fields is there and of its kind, and no other is."""
    for event in EVENTS:
        datasets = {
            of: [kind(each["namespace"], each["name"]) for each in event[of]]
            for of, kind in (("inputs", event_v2.InputDataset), ("outputs", event_v2.OutputDataset))
        }
        made = event_v2.RunEvent(
            eventTime=event["eventTime"],
            producer=event["producer"],
            run=event_v2.Run(event["run"]["runId"]),
            job=event_v2.Job(event["job"]["namespace"], event["job"]["name"]),
            eventType=event_v2.RunState[event["eventType"]],
            **datasets,
        )
        told = json.loads(Serde.to_json(made))
        assert {name: event[name] for name in ("eventType", "eventTime", "producer", "schemaURL")} == {
            name: told[name] for name in ("eventType", "eventTime", "producer", "schemaURL")
        }
    seen = set()
    for event in EVENTS:
        for name, facet in named_facets(event):
            plain = {key: value for key, value in facet.items() if not key.startswith("_")}
            if name in STANDARD:
                seen.add(name)
                made = STANDARD[name](**plain)
                own, ours = made._get_schema(), facet["_schemaURL"]
                assert own.rpartition("/")[2] == ours.rpartition("/")[2]
                assert own.split("/")[4:5] == ours.split("/")[4:5] == ["facets"]
            else:
                assert name.startswith("headrace_"), "facets that the specification does not know have a prefix"
    assert seen == set(STANDARD)


@pytest.fixture
def endpoint() -> Iterator[tuple[str, list[Any], list[int]]]:
    """(url, events that it took, answers that it is to give before 201)."""
    taken: list[Any] = []
    answers: list[int] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            code = answers.pop(0) if answers else 201
            if code == 201:
                taken.append(json.loads(body))
            self.send_response(code)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/api/v1/lineage", taken, answers
    server.shutdown()
    server.server_close()
    thread.join()


def test_an_endpoint_gets_all_in_order(endpoint: tuple[str, list[Any], list[int]]) -> None:
    """One request an event; what is refused or fails says how many were told before."""
    url, taken, answers = endpoint
    post_events(EVENTS, url)
    assert taken == EVENTS
    answers += [201, 400]
    with pytest.raises(ConfigurationError, match="answered 400: ; 1 of 8 events are told"):
        post_events(EVENTS, url)
    answers += [503]
    with pytest.raises(Transient, match="0 of 8"):
        post_events(EVENTS, url)
    with pytest.raises(Transient, match="does not answer"):
        post_events(EVENTS, "http://127.0.0.1:1/none")
    with pytest.raises(ConfigurationError, match="write the http url"):
        post_events(EVENTS, "ftp://host")


def test_a_file_has_an_event_a_line(tmp_path: Path) -> None:
    """Whole, and nothing beside it."""
    out = tmp_path / "lineage.jsonl"
    write_events(EVENTS, out)
    assert [json.loads(line) for line in out.read_text().splitlines()] == EVENTS
    assert list(tmp_path.iterdir()) == [out]
