"""`headrace plan`: shown, changed part by part, checked before it is written, never written twice as one version."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path

import pyarrow as pa
import pytest

from headrace.domain.models.ensembles import digest_of
from headrace.domain.models.package import Input, Manifest, pack
from headrace.domain.models.store import ModelStore, Stored
from headrace.domain.pipeline.spec import expand
from headrace.domain.plans.plans import CANARY, CHALLENGER, CHAMPION, SHADOW, Arm, Plan, latest
from headrace.errors import ConfigurationError
from headrace.operations.plan_changes.diff import PlanDifference, changes, moved
from headrace.operations.plan_changes.edit import Wish, arrange
from headrace.operations.plan_changes.syntax import ensemble, share_of
from headrace.streaming.kafka.client import Producer
from headrace.streaming.kafka.global_table import Facts
from headrace.streaming.process.metrics import Metrics
from tests.cli.terminal import Terminal
from tests.models.graphs import logistic
from tests.project import Project


def find(text: str) -> Stored:
    """A store with versions 1 to 5 of one model."""
    version = text.partition("@")[2] or "5"
    return Stored("m", version, f"sha256:{version * 64}", f"file:///m/{version}", (), 0)


def arm(kind: str, version: str, **others: object) -> Arm:
    """A part of one of these models."""
    named = find(f"m@{version}")
    return replace(Arm(kind, "m", version, named.digest, named.uri), **others)  # type: ignore[arg-type]  # named by the caller


HELD = Plan(
    "p",
    7,
    (
        arm(CHAMPION, "1"),
        arm(CANARY, "2", share=0.05, threshold=0.3),
        arm(CHALLENGER, "3", priority=9),
        arm(SHADOW, "4"),
    ),
    "salt",
)


def arranged(plan: Plan | None = HELD, **wishes: object) -> Plan:
    """The plan that comes of wishes."""
    return arrange(plan, Wish(**wishes), "p", 0.5, find)  # type: ignore[arg-type]  # named by the caller


def test_only_what_is_named_changes() -> None:
    """A new share leaves models, salt, thresholds and priorities; a new shadow leaves everything but the shadows."""
    canary = replace(HELD.arms[1], share=0.1)
    assert arranged(share=0.1) == replace(HELD, arms=(HELD.arms[0], canary, *HELD.arms[2:]))
    assert arranged(shadows=("m@5",)) == replace(HELD, arms=(*HELD.arms[:3], arm(SHADOW, "5")))
    assert arranged(canary="", challengers=(), shadows=()) == replace(HELD, arms=HELD.arms[:1])
    assert arranged() == HELD


def test_a_canary_becomes_champion_with_its_threshold() -> None:
    """A threshold belongs to the model and comes along; the share does not."""
    assert arranged(champion="m@2", canary="").arms[0] == arm(CHAMPION, "2", threshold=0.3)


def test_a_first_plan_needs_a_champion() -> None:
    """Without any plan only a champion is missing; a name alone is the newest version."""
    assert arranged(None, champion="m") == Plan("p", 0, (arm(CHAMPION, "5"),))
    with pytest.raises(ConfigurationError, match="--champion MODEL"):
        arranged(None, shadows=("m",))


@pytest.mark.parametrize(
    ("wishes", "told"),
    [
        ({"canary": "m@1"}, "champion and canary at once"),
        ({"canary": "", "share": 0.1}, "there is none"),
        ({"shadows": ("m@4", "m@4")}, "shadow twice"),
        ({"thresholds": {"m@5": 0.1}}, "m@5 has no part"),
        ({"ensembles": ("duo@1=mean:m@1,m@2",)}, "duo@1 has no part"),
        ({"shadows": ("duo@1",), "ensembles": ("duo@1=median:m@1,m@2",)}, "is no ensemble"),
        ({"shadows": ("duo@1",), "ensembles": ("duo@1=mean:m@1",)}, "1 models"),
        ({"shadows": ("duo@1",), "ensembles": ("duo@1=weighted:m@1,m@2:1",)}, "2 models and 1 weights"),
        ({"shadows": ("duo@1",), "ensembles": ("duo@1=weighted:m@1,m@2:1,-1",)}, "above zero"),
    ],
)
def test_a_wish_that_makes_no_plan_is_explained(wishes: dict[str, object], told: str) -> None:
    """What cannot be is said with what to write instead."""
    with pytest.raises(ConfigurationError, match=told):
        arranged(**wishes)


def test_a_first_canary_needs_a_share() -> None:
    """A new canary takes its predecessor's share; where there was none, a person says it."""
    assert arranged(canary="m@5").arms[1].share == 0.05
    with pytest.raises(ConfigurationError, match="--share 5%"):
        arranged(replace(HELD, arms=HELD.arms[:1]), canary="m@2")


def test_ensembles_are_arms() -> None:
    """An ensemble is made from its description, keeps its identity in another part, and never changes."""
    text = "duo@1=weighted:m@1,m@2:3,1"
    made = arranged(shadows=("duo@1",), ensembles=(text,), thresholds={"duo@1": 0.2})
    shadow = made.arms[-1]
    assert (shadow.title, shadow.combination, shadow.threshold) == ("duo@1", "weighted", 0.2)
    assert shadow.digest == digest_of("weighted", shadow.members)
    champion = arranged(made, champion="duo@1", shadows=()).arms[0]
    assert champion == replace(shadow, arm=CHAMPION)
    with pytest.raises(ConfigurationError, match="another ensemble already"):
        arranged(made, ensembles=("duo@1=mean:m@1,m@2",))
    assert ensemble("duo@1=mean:m@1,m@2:3,1", 0.5, find).digest == shadow.digest


def test_shares_are_read_as_people_write_them() -> None:
    """Percent or a number from 0 to 1; anything else is asked about."""
    assert (share_of("5%"), share_of("0.05"), share_of("100 %")) == (0.05, 0.05, 1.0)
    for wrong in ("5", "-1%", "a", "", "nan"):
        with pytest.raises(ConfigurationError, match=r"write 5% or 0\.05"):
            share_of(wrong)


def test_differences_are_told_part_by_part() -> None:
    """A diff names each part with what was and what is; another salt says how many change arm."""
    after = arranged(champion="m@5", share=0.1, shadows=(), salt="other")
    assert [(each.sign, each.what) for each in changes(HELD, after)] == [
        ("~", "champion"),
        ("~", "canary's share"),
        ("~", "salt"),
        ("-", "shadow m@4"),
    ]
    assert moved(HELD, after) == pytest.approx(0.05 * 0.9 + 0.1 * 0.95)
    assert moved(HELD, arranged(share=0.1)) == 0
    assert changes(None, HELD)[0] == PlanDifference("+", "champion", None, "m@1 (11111111)")


@pytest.fixture
def models(project: Project) -> ModelStore:
    """The project's model store with two models that fit its features, and one that does not."""
    store = ModelStore(str(project.directory / "models"), project.directory / "fetched")
    names = expand(project.contracts.pipeline)
    for version, inputs in (("1", names), ("2", names), ("3", ["height"])):
        graph = logistic([int(version) / 100] * len(inputs))
        store.put(pack(Manifest(name="m", version=version, inputs=tuple(Input(name=n) for n in inputs)), graph))
    return store


def test_a_plan_from_the_first_to_the_last_change(models: ModelStore, headrace: Terminal, project: Project) -> None:
    """Changes are written one after the other, each whole, with actor and reason; a dry run writes nothing."""
    at = project.path
    code, _, errors = headrace.run("plan", "show", at)
    assert (code, "has no plan" in errors) == (1, True)
    canary = ("--champion", "m@1", "--canary", "m@2", "--share", "5%", "--shadow", "duo@1")
    canary = (*canary, "--ensemble", "duo@1=mean:m@1,m@2")
    assert headrace.json("plan", "set", at, *canary, "--reason", "try", "--dry-run")["written"] is False
    told = headrace.json("plan", "set", at, *canary, "--reason", "try", "--actor", "ann")
    assert (told["written"], told["plan_version"]) == (True, 1)
    code, out, _ = headrace.run("plan", "set", at, "--salt", "new", "--reason", "anew")
    assert code == 0
    assert "about 9.5% of them change arm" in out
    shown = headrace.json("plan", "show", at, "--history")
    assert [(fact["plan_version"], fact["reason"]) for fact in shown["history"]] == [(1, "try"), (2, "anew")]
    assert shown["history"][0]["actor"] == "ann"
    assert list(shown) == ["pipeline", "plan", "refused", "history"]
    assert list(shown["plan"]) == ["pipeline", "plan_version", "arms", "salt", "time", "actor", "reason"]
    assert list(shown["plan"]["arms"][0]) == [field.name for field in fields(Arm)]
    assert shown["plan"] == shown["history"][-1]
    assert [(arm["arm"], arm["model"], arm["share"]) for arm in shown["plan"]["arms"]] == [
        ("champion", "m", 1.0),
        ("canary", "m", 0.05),
        ("shadow", "duo", 1.0),
    ]
    code, out, _ = headrace.run("plan", "show", at, "--history")
    assert code == 0
    for part in ("95%", "duo@1, mean of", "plan 2", "~ salt", "ann: try"):
        assert part in out


def test_a_model_that_does_not_fit_is_refused(models: ModelStore, headrace: Terminal, project: Project) -> None:
    """A package that wants other features, or was damaged, or is not there gets no part, and nothing is written."""
    at = project.path
    code, _, errors = headrace.run("plan", "set", at, "--champion", "m@3", "--reason", "x")
    assert code == 2
    assert "m@3 cannot be champion: inputs: takes inputs that the features topic lacks: height" in errors
    graph = Path(models.packages()[1].uri.removeprefix("file://")) / "model.onnx"
    graph.write_bytes(graph.read_bytes()[:-1] + b"!")
    code, _, errors = headrace.run("plan", "set", at, "--champion", "m@2", "--reason", "x")
    assert (code, "m@2 cannot be champion: digest" in errors) == (2, True)
    code, _, errors = headrace.run("plan", "set", at, "--champion", "m@4", "--reason", "x")
    assert (code, "no m@4 in the model store" in errors) == (2, True)
    assert project.count("plans") == 0


def test_two_people_at_once(models: ModelStore, headrace: Terminal, project: Project) -> None:
    """Of changes at the same moment each gets a version of its own or is told that it came too late."""
    running = [
        headrace.start("plan", "set", project.path, "--champion", "m@1", "--salt", salt, "--reason", salt, "--json")
        for salt in ("a", "b")
    ]
    ended = [(process.communicate(timeout=400), process.returncode) for process in running]
    written = [json.loads(out)["plan_version"] for (out, _), code in ended if code == 0]
    assert all(code == 0 or "plan show" in errors for (_, errors), code in ended)
    versions = project.read("plans")["plan_version"].to_pylist()
    assert versions == sorted(written) == list(range(1, len(written) + 1))
    assert written


def spoil(project: Project) -> int:
    """Write facts that make no plan: bytes, a schema that nobody knows, an impossible time and version; how many."""
    channel = project.contracts.channel("plans")
    good = Plan(project.name, 5, (arm(CHAMPION, "1"),)).fact(1, "eve", "mischief")
    rows = [{**good, "time": 2**62}, {**good, "plan_version": 2**63 - 1}, {**good, "plan_version": -1}]
    values = channel.codec.encode(pa.RecordBatch.from_pylist(rows, schema=channel.codec.reader.arrow))
    values += [b"", b"no fact", b"\x00\x7f\xff\xff\xff" + b"\x00" * 9, values[0][:-3]]
    producer = Producer(project.connection)
    producer.send(channel.name, [project.name] * len(values), values)
    producer.flush()
    return len(values)


def test_a_spoilt_topic_is_mended(models: ModelStore, headrace: Terminal, project: Project) -> None:
    """What makes no plan is shown, keeps nobody from the plan before, and the next plan is written over it."""
    at = project.path
    assert headrace.run("plan", "set", at, "--champion", "m@1", "--reason", "first")[0] == 0
    count = spoil(project)
    code, _, errors = headrace.run("plan", "show", at)
    assert code == 0
    assert errors.count("makes no plan") == count
    shown = headrace.json("plan", "show", at)
    assert list(shown) == ["pipeline", "plan", "refused"]
    assert shown["plan"]["plan_version"] == 1
    assert [list(fact) for fact in shown["refused"]] == [["plan_version", "actor", "reason", "time", "fault"]] * count
    metrics = Metrics()
    facts = Facts(project.connection, project.contracts.channel("plans"), metrics)
    versions = [latest(batch.columns, project.name) for batch in facts.whole()]
    assert [plan.version for plan, _ in versions if plan is not None] == [1]
    assert sum(len(faults) for _, faults in versions) == 3
    unreadable = [sample for sample in metrics.facts_unreadable.collect()[0].samples if sample.name.endswith("_total")]
    assert sum(sample.value for sample in unreadable) == count - 3
    told = headrace.json("plan", "set", at, "--canary", "m@2", "--share", "5%", "--reason", "mended")
    assert (told["written"], told["plan_version"]) == (True, 6)
    shown = headrace.json("plan", "show", at, "--history")
    assert shown["plan"]["plan_version"] == 6
    assert shown["refused"] == []
    assert len(shown["history"]) == count + 2
    found = [latest(batch.columns, project.name) for batch in facts.news()]
    assert [plan.version for plan, _ in found if plan is not None] == [6]
    assert facts.trouble is None
    facts.close()


def test_a_topic_with_nothing_but_refuse(models: ModelStore, headrace: Terminal, project: Project) -> None:
    """A first plan can be set where only what makes none was written before."""
    at = project.path
    spoil(project)
    code, _, errors = headrace.run("plan", "show", at)
    assert (code, "makes no plan" in errors) == (1, True)
    told = headrace.json("plan", "set", at, "--champion", "m@1", "--reason", "first")
    assert (told["written"], told["plan_version"]) == (True, 6)
