"""`headrace features list` and `show`: what each feature is, who reads it, how old it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.domain.pipeline.check import load
from headrace.errors import ConfigurationError
from headrace.operations.catalogue.features import catalogue_features, feature_named
from headrace.operations.catalogue.usage import KnownModels, readers_of
from tests.catalogue.made import made_features
from tests.cli.conftest import headrace, project, terminal
from tests.cli.terminal import ROOT, Terminal
from tests.project import Project

__all__ = ["headrace", "project", "terminal"]

EVERYTHING = """\
pipeline: p
events: {schema: card_transaction, id: transaction_id, time: tx_datetime, key: customer_id}
rules: {amount: {range: [0, 100], else: reject}}
views:
  pair:
    key: [customer_id, terminal_id]
    windows: [1h, 5 in 2d]
    delay: 1h
    missing: 7
    timezone: Europe/Paris
    features:
      high: "quantile(amount * 2, 0.95 where hour < 6)"
      fades: "decayed_sum(amount, 90m)"
      often: count(where amount > 3)
      spread: std(amount)
  more: {ratio: pair.high_1h / pair.fades_1h, big: amount > 10, late: hour > 22}
model: {name: m, inputs: [amount, pair.*, more.ratio, more.late]}
segments: {by_ratio: {of: more.ratio, cuts: [1]}}
kpis: {fast: {drift: divergence, column: pair.high_1h, above: 0.5}}
"""
NOBODY = KnownModels((), None, ())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with one of everything."""
    path = tmp_path / "p.yaml"
    path.write_text(EVERYTHING)
    return path


def test_each_feature_is_what_the_file_says(path: Path) -> None:
    """Expression, window, delay, zone, nulls, what it reads."""
    found = {each.feature: each for each in catalogue_features(load(path))}
    assert list(found)[:2] == ["pair.high_1h", "pair.fades_1h"]
    high = found["pair.high_5_in_2d"]
    assert (high.expression, high.window, high.delay) == (
        "quantile(amount * 2, 0.95 where hour < 6)",
        "5_in_2d",
        "1h",
    )
    assert (high.entity, high.timezone, high.type) == ("customer_id+terminal_id", "Europe/Paris", "number")
    assert list(high.fields) == ["customer_id", "terminal_id", "tx_datetime", "amount"]
    assert high.nulls == "7 where the window has no value"
    assert list(high.field_rules) == ["amount: in [0, 100], else reject"]
    assert found["pair.fades_1h"].expression == "decayed_sum(amount, 90m)"
    assert found["pair.often_1h"].nulls.startswith("never null")
    assert found["pair.spread_1h"].nulls == "7 where the window has fewer than two values"
    ratio, late = found["more.ratio"], found["more.late"]
    assert (list(ratio.features), list(ratio.fields), ratio.nulls[:10]) == (
        ["pair.high_1h", "pair.fades_1h"],
        [],
        "null where",
    )
    assert list(late.fields) == ["tx_datetime"]


TEXTS = (
    "count", "count(where amount > 3)", "sum(amount * 2 where hour < 6)", "quantile(amount, 0.123456789)",
    "decayed_sum(amount, 90m)", "decayed_sum(amount + 1, 90m where amount > 3)", "time_since_last",
)  # fmt: skip  # one list


@pytest.mark.parametrize("text", TEXTS)
def test_an_aggregation_is_written_as_it_was_read(text: str, path: Path) -> None:
    """So that what is listed can be put into a file again."""
    path.write_text(EVERYTHING.replace("often: count(where amount > 3)", f"often: '{text}'"))
    (found,) = (each for each in catalogue_features(load(path)) if each.feature == "pair.often_1h")
    assert found.expression == text


def test_readers_within_the_file_are_found(path: Path) -> None:
    """The next model, segments, rules over figures, features of features."""
    pipeline = load(path)

    def kinds(feature: str) -> list[tuple[str, str]]:
        return [(each.kind, each.name) for each in readers_of(pipeline, feature, NOBODY)]

    assert kinds("pair.high_1h") == [("pipeline", "m"), ("rule", "fast"), ("feature", "more.ratio")]
    assert kinds("more.ratio") == [("pipeline", "m"), ("segment", "by_ratio")]
    assert kinds("more.big") == []


def test_an_unknown_feature_is_told_with_the_closest(path: Path) -> None:
    """As other names are."""
    with pytest.raises(ConfigurationError, match=r"did you mean pair\.high_1h"):
        feature_named(load(path), "pair.higgh_1h")


@pytest.mark.slow  # trains a model and starts processes
def test_models_of_the_plan_read_features(headrace: Terminal, project: Project) -> None:
    """Champions are named with their digest and part; drift watches what they read, but for the clock's."""
    project.champion()
    found = headrace.json("features", "list", project.path)
    assert found["unknown"] == []
    readers = {each["feature"]["feature"]: each["readers"] for each in found["features"]}
    (model, *others) = readers["customer.nb_tx_7d"]
    assert (model["kind"], model["name"], model["arms"]) == ("model", "card_fraud@1", ["champion"]), model
    assert model["digest"].startswith("sha256:")
    assert [each["kind"] for each in others] == ["pipeline", "drift"]
    assert [each["kind"] for each in readers["calendar.night"]] == ["model", "pipeline"]
    code, out, _ = headrace.run("features", "list", project.path)
    assert code == 0
    assert "card_fraud@1 (champion), pipeline" in out


@pytest.mark.slow  # starts processes
def test_a_feature_is_shown_with_its_age(headrace: Terminal, project: Project) -> None:
    """The newest value, from the end of the topic; before there is one, why it is not known."""
    said = headrace.json("features", "show", project.path, "terminal.risk_7d")
    assert "has no events yet" in said["freshness"]["unknown"]
    assert said["topics"] == [f"{project.name}.{name}" for name in ("events", "labels", "exchange", "view.terminal")]
    channel = project.contracts.channel("features")
    rows = made_features(project.contracts.pipeline, channel.codec.reader.arrow, 30)
    project.publish(rows, "entity", "features")
    fresh = headrace.json("features", "show", project.path, "terminal.risk_7d")["freshness"]
    values = rows["terminal"].field("risk_7d").to_pylist()
    times = rows["event_time"].cast("int64").to_pylist()
    there = [time for time, value in zip(times, values, strict=True) if value == value]
    assert (fresh["event_time"], fresh["looked_at"], fresh["without"]) == (max(there), 30, 30 - len(there))
    assert 0 <= fresh["age_s"] < 600
    code, out, errors = headrace.run("features", "show", project.path, "terminal.risk7d")
    assert code == 2, out
    assert "did you mean terminal.risk_7d?" in errors


def test_without_kafka_the_file_is_told_and_what_is_not_known(terminal: Terminal) -> None:
    """The list is of the file; that models of the plan are not known is said, with the reason."""
    nowhere = Terminal(terminal.directory, {**terminal.env, "HEADRACE_BOOTSTRAP": "127.0.0.1:1"})
    found = nowhere.json("features", "list", ROOT / "pipelines" / "card_fraud.yaml")
    assert len(found["features"]) == 14
    assert "models of the live plan are not known, because Kafka does not answer" in found["unknown"][0]
    assert found["features"][2]["feature"]["owner"] == "card risk"
