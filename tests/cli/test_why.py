"""`headrace why`: the story of an event from records on real topics, and what is said of what is not there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from headrace.domain.plans.canary_split import shares
from headrace.domain.plans.plan_log import publish
from headrace.domain.plans.plans import CANARY, CHAMPION, SHADOW, Arm, Plan
from headrace.operations.history.gaps import because, gap
from headrace.operations.history.search import TracedRecord, number_pattern, text_pattern
from headrace.streaming.kafka.client import Producer
from tests.cli.terminal import Terminal
from tests.project import Project

T0 = 1_522_540_800_000
AT = datetime(2018, 4, 1, tzinfo=UTC)
HOUR = 3_600_000
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


class Writer:
    """Writes records of the card pipeline's topics as its services would."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.producer = Producer(project.connection)

    def write(self, logical: str, key: str, row: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        """One record; what `row` leaves out of the schema is made up."""
        channel = self.project.contracts.channel(logical)
        whole = {field.name: row.get(field.name, _blank(field.type)) for field in channel.codec.reader.arrow}
        columns = pa.RecordBatch.from_pylist([whole], schema=channel.codec.reader.arrow)
        (value,) = channel.codec.encode(columns)
        carried = [(name, text.encode()) for name, text in (headers or {}).items()]
        self.producer.send_one(channel.name, key, value, headers=carried)

    def event(self, number: int, customer: int = 42, headers: dict[str, str] | None = None) -> None:
        """An event of a customer."""
        row = {"transaction_id": number, "tx_datetime": T0, "customer_id": customer, "terminal_id": 3, "amount": 17.5}
        self.write("events", str(customer), row, headers)

    def features(self, number: int, customer: int = 42) -> None:
        """The same with features."""
        self.write("features", str(customer), self._identity(number, customer) | {"terminal_age": 250})

    def prediction(self, number: int, arm: Arm, version: int, customer: int = 42, topic: str = "predictions") -> None:
        """An arm's answer to it."""
        model = {"name": arm.model, "version": arm.version, "digest": arm.digest}
        said = {"prediction_id": f"{number}/{arm.place}", "arm": arm.arm, "model": model, "plan_version": version}
        scored = {"score": 0.75, "decision": True, "predicted_time": T0 + 5, "terminal_age": 250}
        self.write(topic, str(customer), self._identity(number, customer) | said | scored)

    def label(self, number: int, value: float, hours: int, source: str = "bank") -> None:
        """What somebody says of it."""
        row = {"event_id": str(number), "value": value, "label_time": T0 + hours * HOUR, "source": source}
        self.write("labels", str(number), row)

    def outcome(self, number: int, revision: int, label: float | None, reports: int, customer: int = 42) -> None:
        """What became of the champion's answer."""
        model = {"name": "m", "version": "1", "digest": f"sha256:{'1' * 64}"}
        said = {"prediction_id": f"{number}/m@1/champion", "model": model, "arm": "champion"}
        said |= {"revision": revision, "label": label}
        state = {"state": "presumed" if label is None else "labelled", "reports": reports, "conflicting": reports > 1}
        self.write("outcomes", str(customer), self._identity(number, customer) | said | state)

    def _identity(self, number: int, customer: int) -> dict[str, Any]:
        return {"event_id": str(number), "entity": str(customer), "event_time": T0, "ingest_time": T0}

    def plan(self, *arms: Arm, salt: str = "") -> int:
        """The next plan; its version."""
        name, channel = self.project.name, self.project.contracts.channel("plans")
        plan = Plan(name, 0, arms, salt)
        return publish(
            self.project.connection, channel, name, lambda _: plan, time=T0, actor="ann", reason="a try"
        ).version


def _blank(kind: pa.DataType) -> Any:
    """A value of an Arrow type, nothing where that is allowed."""
    if pa.types.is_struct(kind):
        return {field.name: _blank(field.type) for field in kind}
    if pa.types.is_list(kind) or pa.types.is_map(kind):
        return []
    if pa.types.is_string(kind) or pa.types.is_binary(kind):
        return ""
    return False if pa.types.is_boolean(kind) else 0


@pytest.fixture
def writer(project: Project) -> Iterator[Writer]:
    """Writes to the project's topics."""
    made = Writer(project)
    yield made
    made.producer.close()


def arm(kind: str, version: str, **others: Any) -> Arm:
    """A model's part."""
    return Arm(kind, "m", version, f"sha256:{version * 64}", "file:///m", **others)


def test_patterns_are_what_stands_in_records(project: Project) -> None:
    """An id's bytes stand in the record that has it, at its place, whatever its size."""
    codec = project.contracts.channel("events").codec
    numbers = [0, -1, 63, 64, 2**31, -(2**63), 2**63 - 1]
    rows = [{f.name: _blank(f.type) for f in codec.reader.arrow} | {"transaction_id": number} for number in numbers]
    for number, value in zip(numbers, codec.encode(pa.RecordBatch.from_pylist(rows, codec.reader.arrow)), strict=True):
        assert value[5:].startswith(number_pattern(number))
    assert text_pattern("é" * 70)[:2] == b"\x98\x02"


def test_a_whole_story(writer: Writer, headrace: Terminal, project: Project) -> None:
    """Event, trace, features, answers, labels and outcomes are found by the event's id and by a prediction's."""
    champion, canary, shadow = arm(CHAMPION, "1", threshold=0.6), arm(CANARY, "2", share=0.0), arm(SHADOW, "3")
    version = writer.plan(champion, canary, shadow, salt="pepper")
    for number in range(60, 80):
        writer.event(number, headers={"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01", "source": "till"})
        writer.features(number)
        writer.prediction(number, champion, version)
    writer.prediction(64, shadow, version, topic="shadow-predictions")
    writer.label(64, 0.0, 24)
    writer.label(64, 1.0, 48, "court")
    writer.outcome(64, 0, None, 0)
    writer.outcome(64, 1, 1.0, 2)
    evidence = {"arm": "shadow", "digest": shadow.digest, "offsets": json.dumps({"0": 0, "1": 0}), "problem": "broken"}
    writer.write("control", project.name, {"type": "model_failed", "time": T0, "evidence": [*evidence.items()]})
    writer.producer.flush()

    story = headrace.json("why", "64/m@1/champion", "--pipeline", project.path)
    assert story["event_id"] == "64"
    (event,) = story["events"]
    assert (event["fields"]["amount"], event["trace_id"], event["headers"]["source"]) == (17.5, TRACE, "till")
    assert story["features"]["views"]["terminal"]["age_ms"] == 250
    (answer,) = story["predictions"]
    assert (answer["asked"], answer["threshold"], answer["latency_ms"], answer["plan"]["actor"]) == (
        True,
        0.6,
        5,
        "ann",
    )
    assert answer["lineage"] == [{"digest": champion.digest, "problem": "it is not in the model store"}]
    place = float(shares(pa.array(["42"]), "pepper")[0])
    assert (story["choice"]["place"], story["choice"]["salt"]) == (place, "pepper")
    assert "not below the canary's share of 0%" in story["choice"]["because"]
    assert [one["model"] for one in story["shadow_predictions"]] == ["m@3"]
    assert [(one["value"], one["source"]) for one in story["labels"]] == [(0.0, "bank"), (1.0, "court")]
    assert [(one["model"], one["revision"], one["state"], one["holds"]) for one in story["outcomes"]] == [
        ("m@1", 0, "presumed", False),
        ("m@1", 1, "labelled", True),
    ]
    assert story["notes"] == []

    (missing,) = (note for note in headrace.json("why", 65, "--pipeline", project.path)["notes"] if "m@3" in note)
    assert missing == "nothing from m@3/shadow: it failed at 2018-04-01 00:00:00: broken"

    code, out, errors = headrace.run("why", "64", "--pipeline", project.path)
    assert code == 0, errors
    for part in (TRACE, "250 ms behind", "m@1 as champion", "threshold 0.6", "in the dark", "court", "2, conflicting"):
        assert part in out


def test_what_is_not_there_is_said(writer: Writer, headrace: Terminal, project: Project) -> None:
    """An event that nobody has answered, and one that waits for its label, say what they wait for."""
    version = writer.plan(arm(CHAMPION, "1"), arm(SHADOW, "3"))
    writer.event(7)
    writer.event(8)
    writer.event(8)
    writer.features(8)
    writer.prediction(8, arm(CHAMPION, "1"), version)
    writer.producer.flush()
    notes = " ".join(headrace.json("why", 7, "--pipeline", project.path)["notes"])
    assert "no features yet: headrace lag" in notes
    story = headrace.json("why", 8, "--pipeline", project.path)
    notes = " ".join(story["notes"])
    assert "published 2 times; repeats are left out" in notes
    assert "nothing from m@3/shadow" in notes
    assert "no label: it matures once `labels` has read all labels up to 2018-04-08 00:00:00; if none" in notes
    assert "no canary" in story["choice"]["because"]


def test_no_date_is_promised_that_has_passed(writer: Writer, headrace: Terminal, project: Project) -> None:
    """Of an event that matured nobody reads that it will; of one whose label is not taken up yet, who is behind."""
    champion = arm(CHAMPION, "1")
    version = writer.plan(champion)
    for number in (8, 9):
        writer.event(number)
        writer.features(number)
        writer.prediction(number, champion, version)
    writer.outcome(8, 0, None, 0)
    writer.label(9, 1.0, 24)
    writer.producer.flush()
    notes = " ".join(headrace.json("why", 8, "--pipeline", project.path)["notes"])
    assert "it matures" not in notes
    assert "no label came by 2018-04-08 00:00:00: it counts as 0; one that is known by 2018-" in notes
    notes = " ".join(headrace.json("why", 9, "--pipeline", project.path)["notes"])
    assert "no outcome yet, though there is a label: headrace lag" in notes
    assert "when a label comes" not in notes


def news(kind: str, model: Arm, first: int, **others: str) -> TracedRecord:
    """A control event of shadow about partition 1."""
    evidence = {"arm": model.arm, "digest": model.digest, "offsets": json.dumps({"1": first}), **others}
    return TracedRecord("p.control", 0, first, 0, [], {"type": kind, "time": AT, "evidence": [*evidence.items()]})


def test_a_dark_model_that_was_left_out_is_told_so() -> None:
    """A gap lasts from a shed or failed event's offset to that of the next restored one, by model and partition."""
    shadow, other = arm(SHADOW, "3"), arm(SHADOW, "4")
    told = [
        news("model_shed", shadow, 100, lag_s="31.000"),
        news("model_restored", shadow, 200),
        news("model_failed", other, 10, problem="it is broken"),
    ]
    began = [gap(told, shadow, 1, offset) for offset in (99, 100, 199, 200)]
    assert [event is not None for event in began] == [False, True, True, False]
    assert because(began[1]) == "it was shed at 2018-04-01 00:00:00: 31.000 s behind"
    assert because(gap(told, other, 1, 500)) == "it failed at 2018-04-01 00:00:00: it is broken"
    assert gap(told, shadow, 2, 150) is None
    assert because(None) == "shadow is behind, or did not run"


def test_nothing_found_is_an_exit_code_with_hints(writer: Writer, headrace: Terminal, project: Project) -> None:
    """An unknown id, or one that no event can have, ends with 1 and says where was looked."""
    writer.event(7)
    writer.producer.flush()
    code, _, errors = headrace.run("why", 70, "--pipeline", project.path)
    assert (code, "looked at 1 events" in errors, "transaction_id" in errors) == (1, True, True)
    code, out, _ = headrace.run("why", "seven", "--pipeline", project.path, "--json")
    assert (code, json.loads(out)["found"]) == (1, False)


def test_a_refused_event_tells_its_reason(headrace: Terminal, project: Project, tmp_path: Path, writer: Writer) -> None:
    """What a running service refused is found with its reason; without the event, by the record inside the letter."""
    row = {"transaction_id": 5, "tx_datetime": T0, "customer_id": 1, "terminal_id": 3, "amount": -1.0}
    writer.write("events", "1", row)
    writer.event(6)
    writer.producer.flush()
    project.start("enrich-0")
    project.await_count("dead-letters", 1, 60)
    story = headrace.json("why", 5, "--pipeline", project.path)
    (letter,) = story["dead_letters"]
    assert (letter["reason"], letter["service"]) == ("out_of_range", "enrich")
    assert letter["refused"] == story["events"][0]["place"]
    assert not any("no features" in note for note in story["notes"])
    story = headrace.json("why", 5, "--pipeline", project.path, "--from", "2100-01-01")
    assert story["events"] == []
    assert story["dead_letters"] == [letter]
