"""`headrace duel`: two models on the same events, through a real broker, against scikit-learn and SciPy."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import typer
import yaml
from scipy import stats
from sklearn.metrics import average_precision_score, cohen_kappa_score, roc_auc_score

from headrace.cli.models.duel import duel
from headrace.cli.periods import asked
from headrace.domain.pipeline.check import load
from headrace.domain.release.margin import Margin
from headrace.domain.release.paired_evidence import PairedEvidence
from headrace.errors import ConfigurationError
from headrace.operations.comparison.pairing import meet
from headrace.operations.comparison.prediction_table import PredictionColumns, Truths
from headrace.operations.comparison.results import ComparedFigure, PairedQuality
from headrace.operations.comparison.verdict import judged, verdict
from headrace.operations.time_spans import minute
from tests.cli.contests import (
    CANARY,
    CHALLENGER,
    CHAMPION,
    DAY,
    START,
    Contest,
    contest,
    outcomes,
    predictions,
    write,
)
from tests.cli.terminal import Terminal
from tests.members import ROOT
from tests.project import Project

EVENTS = contest(4_000)
DARK = EVENTS.at(slice(200, None))  # the challenger came a little later
CORRECTED = slice(0, 40)
SPLIT = np.arange(4_000) % 4 == 0  # what the canary answered
MATURE = EVENTS.times <= START + 3 * DAY
AS_OF = START + 10 * DAY


@pytest.fixture(scope="module")
def played(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A champion, a challenger on most of its events, and a canary, with what became of them so far."""
    source = ROOT / "pipelines" / "card_fraud.yaml"
    project = Project(source, f"duel_{START}", tmp_path_factory.mktemp("duel") / "p", kafka, "redis://none", 2)
    answers, dark, truth = (
        project.contracts.channel(logical).codec.reader.arrow
        for logical in ("predictions", "shadow-predictions", "outcomes")
    )
    canary = EVENTS.at(SPLIT)
    canary = replace(canary, ids=[f"k{event}" for event in canary.ids])
    written = [predictions(answers, CHAMPION, EVENTS), predictions(answers, CANARY, canary)]
    repeated = predictions(answers, CHAMPION, EVENTS.at(slice(0, 100)))
    write(project.contracts, kafka, "predictions", [*written, repeated])
    write(project.contracts, kafka, "shadow-predictions", [predictions(dark, CHALLENGER, DARK)])
    wrong = replace(EVENTS, truth=1 - EVENTS.truth)
    early = EVENTS.at(~MATURE & (EVENTS.truth > 0))  # complaints that came before their event was mature
    records = []
    for model in (CHAMPION, CHALLENGER):
        former = 1 - EVENTS.at(CORRECTED).truth
        records += [
            outcomes(truth, model, wrong.at(CORRECTED), AS_OF - DAY),
            outcomes(truth, model, EVENTS.at(MATURE).at(slice(40, None)), AS_OF - DAY),
            outcomes(truth, model, early, AS_OF),
            outcomes(truth, model, EVENTS.at(CORRECTED), AS_OF, 1, former),
        ]
    records.append(outcomes(truth, CANARY, canary, AS_OF))
    write(project.contracts, kafka, "outcomes", records)
    yield project
    project.close()


Duel = Callable[..., Any]


@pytest.fixture
def told_of(played: Project, capsys: pytest.CaptureFixture[str]) -> Duel:
    """What a duel of two sides prints with --json, in this process; it must succeed."""

    def call(a: str, b: str, **options: Any) -> Any:
        with pytest.raises(typer.Exit) as ended:
            duel(str(played.path), a, b, bootstrap=played.bootstrap, json=True, **options)
        assert ended.value.exit_code == 0
        return json.loads(capsys.readouterr().out)

    return call


@pytest.fixture
def command(terminal: Terminal, played: Project) -> Terminal:
    """The command line at that broker, 80 columns wide."""
    return Terminal(terminal.directory, {**terminal.env, "HEADRACE_BOOTSTRAP": played.bootstrap, "COLUMNS": "80"})


def common() -> Contest:
    """Events that champion and challenger both scored."""
    return DARK


def test_a_duel_is_what_the_libraries_say(told_of: Duel) -> None:
    """Agreement, ranks, areas, average precision and value are those of the joined columns, mature outcomes alone."""
    told = told_of("champion", "challenger")
    events = common()
    first, second = events.scores
    flags = first >= 0.3, second >= 0.25
    assert told["same_events"]
    assert told["events"] == {"both": 3_800, "only_a": 200, "only_b": 0}
    assert (told["a"]["repeats"], told["a"]["topic"], told["b"]["topic"]) == (100, "predictions", "shadow-predictions")
    assert told["a"]["latency_ms"] == {"p50": 20, "p99": 20}
    assert told["b"]["compute_micros"]["mean"] == pytest.approx(7.5)
    assert told["decisions"]["kappa"] == pytest.approx(cohen_kappa_score(*flags))
    assert told["decisions"]["only_b"] == np.sum(~flags[0] & flags[1])
    assert told["scores"]["spearman"] == pytest.approx(stats.spearmanr(first, second).statistic)
    assert told["scores"]["kendall"] == pytest.approx(stats.kendalltau(first, second).statistic)
    assert told["scores"]["ks"] == pytest.approx(stats.ks_2samp(first, second).statistic)
    mature = events.times <= START + 3 * DAY
    labels = events.truth[mature]
    quality = told["quality"]
    assert (quality["mature"], quality["positives"]) == (len(labels), labels.sum())
    assert (quality["waiting"], quality["missing"], told["horizon"]) == (np.sum(~mature), 0, START + 3 * DAY)
    figures = quality["figures"]
    for side, scores in zip("ab", (first[mature], second[mature]), strict=True):
        assert figures["auc_roc"][side] == pytest.approx(roc_auc_score(labels, scores))
        assert figures["average_precision"][side] == pytest.approx(average_precision_score(labels, scores))
    for figure in figures.values():
        assert figure["low"] < figure["difference"] < figure["high"]
    worth = np.where(labels > 0, np.where(flags[1][mature], 100, -100), np.where(flags[1][mature], -5, 0))
    assert figures["value"]["b"] == pytest.approx(worth.sum())
    assert figures["average_precision"]["method"] == "bootstrap"
    assert {"low", "high"} == set(figures["auc_roc"]["bootstrap"])


def test_evidence_may_be_looked_at_any_time(told_of: Duel) -> None:
    """Of mature events in the order of their time, by the margin and alpha that were asked for."""
    events = common()
    told = told_of("champion", "challenger", delta="0.001", alpha=0.01)["evidence"]
    mature = events.times <= START + 3 * DAY
    evidence = PairedEvidence(Margin(0.0, 0.001))
    days = (events.times - START) // DAY
    seen = 0
    for day in range(4):
        ahead = int(np.searchsorted(events.times, START + (day + 7) * DAY, "right"))
        evidence.foresee(events.scores[1][seen:ahead], events.scores[0][seen:ahead])
        seen = ahead
        rows = mature & (days == day)
        evidence.take(events.scores[1][rows], events.scores[0][rows], events.truth[rows])
    assert told["events"] == mature.sum()
    assert (told["harm"]["log"], told["safety"]["log"]) == (evidence.log_harm, evidence.log_safety)
    assert (told["alpha"], told["margin_offset"], told["margin"]) == (0.01, 0.001, "0.001")
    assert told["loss_b"] == pytest.approx(np.mean((events.scores[1] - events.truth)[mature] ** 2))


@pytest.fixture
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model store that says what the two were fitted on: one on the first day, one on the second half of it."""
    for version, start in (("1", START), ("2", START + DAY // 2)):
        write_manifest(tmp_path, version, {"start": start, "end": START + DAY - 1, "rows": 100})
    monkeypatch.setenv("HEADRACE_MODELS", str(tmp_path))
    return tmp_path


def write_manifest(store: Path, version: str, training: dict[str, int]) -> None:
    """A package of which only the description is there; its place says the digest."""
    folder = store / "fraud" / version / (version * 64)
    folder.mkdir(parents=True, exist_ok=True)
    said = {"name": "fraud", "version": version, "inputs": [{"name": "amount"}], "training": training}
    (folder / "model.yaml").write_text(yaml.safe_dump(said))


def test_events_that_a_model_was_fitted_on_do_not_count(told_of: Duel, trained: Path) -> None:
    """Quality and verdict leave out what either side was fitted on, and say how many events that are."""
    told = told_of("champion", "challenger", segment="amount_band")
    events = common()
    mature = events.times <= START + 3 * DAY
    seen = mature & (events.times < START + DAY)
    labels = events.truth[mature & ~seen]
    quality = told["quality"]
    assert (quality["fitted"], quality["mature"]) == (seen.sum(), len(labels))
    assert quality["fitted"] > 100
    assert (quality["waiting"], quality["missing"]) == (np.sum(~mature), 0)
    for side, scores in zip("ab", events.scores, strict=True):
        assert quality["figures"]["auc_roc"][side] == pytest.approx(roc_auc_score(labels, scores[mature & ~seen]))
    assert sum(group["fitted"] for group in told["groups"]) == seen.sum()
    assert told["training"]["b"]["fitted_on"] == [{"from": START + DAY // 2, "to": START + DAY}]
    assert told["training"]["counted"] is False
    assert told["events"]["both"] == 3_800, "what was decided and how long it took is of all events"


def test_they_count_when_somebody_asks(told_of: Duel, trained: Path) -> None:
    """With --include-training all count, and the verdict itself says so."""
    told = told_of("champion", "challenger", include_training=True)
    mature = common().times <= START + 3 * DAY
    assert told["quality"]["mature"] == mature.sum()
    seen = told["quality"]["fitted"]
    assert f"A or B was fitted on {seen:,} of these events" in told["verdict"]["sentence"]


def test_independent_groups_leave_them_out_too(told_of: Duel, trained: Path) -> None:
    """Of a champion and its canary both leave out the times in which either was fitted."""
    told = told_of("champion", "canary")
    assert told["same_events"] is False
    assert told["quality"]["a"]["fitted"] > 100
    assert told["quality"]["b"]["fitted"] > 50


def test_a_verdict_without_other_events(told_of: Duel, trained: Path) -> None:
    """Where one was fitted on every mature event, nobody can tell, and the sentence says why and until when."""
    write_manifest(trained, "1", {"start": START, "end": START + 30 * DAY, "rows": 100})
    verdict = told_of("champion", "challenger")["verdict"]
    assert verdict["answer"] == "unknown"
    assert "fitted on all" in verdict["sentence"]
    assert "Wait for younger events" in verdict["sentence"]


def test_the_sheet_says_what_was_left_out(command: Terminal, trained: Path, played: Project) -> None:
    """People read how many events were left out, what each side was fitted on, and whom nobody knows of."""
    shutil.rmtree(trained / "fraud" / "2")
    asking = Terminal(command.directory, {**command.env, "HEADRACE_MODELS": str(trained)})
    code, out, errors = asking.run("duel", str(played.path), "champion", "challenger")
    assert code == 0, errors
    told = " ".join(out.split())
    assert "mature events are left out (--include-training counts them): A or B was fitted on them" in told
    assert "A was fitted on events of 2018-06-01 00:00 to 2018-06-02 00:00" in told
    assert "B: fraud@2 is not in the model store, so nobody knows what it was fitted on" in told


def test_disagreements_are_the_events_furthest_apart(told_of: Duel) -> None:
    """The events named are those whose ranks differ most, each with what it was and what is known of it."""
    told = told_of("fraud@1", "fraud@2/challenger", top=3, replicates=50)
    events = common()
    apart = np.abs(stats.rankdata(events.scores[0]) - stats.rankdata(events.scores[1]))
    wanted = [events.ids[row] for row in np.argsort(-apart, kind="stable")[:3]]
    assert [each["event_id"] for each in told["disagreements"]] == wanted
    row = events.ids.index(wanted[0])
    assert told["disagreements"][0]["event"] == {"amount": events.amounts[row]}
    assert told["disagreements"][0]["b"] == events.scores[1][row]


def test_groups_are_duels_of_their_own(told_of: Duel) -> None:
    """Each group of a segment is compared on its own events, in the order of its bands."""
    groups = told_of("champion", "challenger", segment="amount_band", replicates=0)["groups"]
    assert [group["group"] for group in groups] == ["<10", "10-50", "50-200", ">=200"]
    events = common()
    inside = (events.amounts >= 10) & (events.amounts < 50)
    assert groups[1]["events"] == inside.sum()
    mature = inside & (events.times <= START + 3 * DAY)
    wanted = roc_auc_score(events.truth[mature], events.scores[1][mature])
    assert groups[1]["figures"]["auc_roc"]["b"] == pytest.approx(wanted)
    assert groups[1]["figures"]["average_precision"]["method"] == "influence"


def test_a_canary_is_compared_as_an_independent_group(told_of: Duel) -> None:
    """Champion and canary answered different events: this is said, and the intervals are those of independent rows."""
    told = told_of("champion", "canary")
    assert not told["same_events"]
    assert told["decisions"] is None
    assert told["evidence"]["answer"] == "unknown"
    assert "no event was scored by both" in told["evidence"]["sentence"]
    figure = told["quality"]["figures"]["auc_roc"]
    mature = EVENTS.times[SPLIT] <= START + 3 * DAY
    wanted = roc_auc_score(EVENTS.truth[SPLIT][mature], EVENTS.scores[1][SPLIT][mature])
    assert (figure["b"], figure["method"]) == (pytest.approx(wanted), "independent")


def test_different_events_are_said(
    played: Project, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sheet of a champion and its canary says what cannot be compared, within 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(typer.Exit):
        duel(str(played.path), "champion", "canary", segment="amount_band", bootstrap=played.bootstrap)
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    for part in ("Different events", "value per event", "of independent groups", "only on the same events"):
        assert part in out


def test_events_ahead_of_the_clock_are_found(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    """A simulation may tell of next century: a span of it is read from the beginning of the topic."""
    later = replace(EVENTS.at(slice(0, 50)), times=EVENTS.times[:50] + 80 * 365 * DAY)
    for topic, model in (("predictions", CHAMPION), ("shadow-predictions", CHALLENGER)):
        kind = project.contracts.channel(topic).codec.reader.arrow
        write(project.contracts, project.bootstrap, topic, [predictions(kind, model, later)])
    with pytest.raises(typer.Exit):
        duel(str(project.path), "champion", "challenger", window="2090-01-01..", bootstrap=project.bootstrap, json=True)
    told = json.loads(capsys.readouterr().out)
    assert told["events"]["both"] == 50
    assert told["horizon"] is None


@pytest.fixture
def mixed(project: Project) -> Project:
    """Forty events that two models scored: thirty of them of a backfill, which waited for two minutes."""
    some = EVENTS.at(slice(0, 40))
    for topic, model in (("predictions", CHAMPION), ("shadow-predictions", CHALLENGER)):
        kind = project.contracts.channel(topic).codec.reader.arrow
        live = predictions(kind, model, some.at(slice(0, 10)))
        old = predictions(kind, replace(model, latency=120_000), some.at(slice(10, None)))
        later = {
            name: pa.array(old[name].cast(pa.int64()).to_numpy() + DAY) for name in ("ingest_time", "predicted_time")
        }
        columns = [later.get(name, old[name]).cast(kind.field(name).type) for name in kind.names]
        write(project.contracts, project.bootstrap, topic, [live, pa.RecordBatch.from_arrays(columns, schema=kind)])
    return project


def test_latency_of_a_backfill_is_told_apart(
    mixed: Project, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Latency is that of live events, as on scorecards and in their words; how many are left out is said."""
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(typer.Exit):
        duel(str(mixed.path), "champion", "challenger", bootstrap=mixed.bootstrap, json=True)
    told = json.loads(capsys.readouterr().out)
    note = "without 30 that were backfilled"
    assert told["a"]["latency_ms"] == {"p50": 20, "p99": 20}
    assert told["b"]["latency_ms"] == {"p50": 45, "p99": 45}
    for side in "ab":
        assert told[side]["latency_note"] == note
        assert (told[side]["backfilled"], told[side]["backfill_latency_ms"]) == (30, {"p50": 120_000})
    with pytest.raises(typer.Exit):
        duel(str(mixed.path), "champion", "challenger", bootstrap=mixed.bootstrap)
    sheet = " ".join(capsys.readouterr().out.split())
    assert f"latency of A and B: {note}; p50 of these 120,000 and 120,000 ms" in sheet


def test_where_all_were_backfilled_latency_is_theirs(
    mixed: Project, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing else is to be told, that is what is told, and the sheet says so."""
    monkeypatch.setenv("COLUMNS", "80")
    after = datetime.fromtimestamp(int(EVENTS.times[10]) / 1000, UTC).isoformat()
    with pytest.raises(typer.Exit):
        duel(str(mixed.path), "champion", "challenger", window=f"{after}..", bootstrap=mixed.bootstrap, json=True)
    told = json.loads(capsys.readouterr().out)
    assert told["a"]["latency_ms"] == {"p50": 120_000, "p99": 120_000}
    assert told["a"]["latency_note"] == "all 30 were backfilled"
    with pytest.raises(typer.Exit):
        duel(str(mixed.path), "champion", "challenger", window=f"{after}..", bootstrap=mixed.bootstrap)
    assert "latency of A and B: all 30 were backfilled" in " ".join(capsys.readouterr().out.split())


def test_the_sheet_fits_a_terminal(command: Terminal, played: Project) -> None:
    """Nothing is wider than 80 columns, and the verdict stands at the top."""
    code, out, errors = command.run("duel", played.path, "champion", "challenger", "--segment", "amount_band")
    assert code == 0, errors
    assert max(map(len, out.splitlines())) <= 80
    assert "B is" in out or "Nobody can tell" in out
    assert "they count themselves: headrace_remarks_total" in " ".join(out.split())
    shown = ("3,800 events scored by both", "kappa", "average precision", "evidence at any time", "10-50", "rank A")
    for part in shown:
        assert part in out


def test_a_window_chooses_events(told_of: Duel) -> None:
    """Only events of the span are compared; --last counts back from the newest event."""
    told = told_of("champion", "challenger", window="2018-06-02..2018-06-04")
    inside = (common().times >= START + DAY) & (common().times < START + 3 * DAY)
    assert told["events"]["both"] == inside.sum()
    newest = int(EVENTS.times.max())
    told = told_of("champion", "challenger", last="2d")
    assert told["events"]["both"] == np.sum(common().times > newest - 2 * DAY)
    waits = int(common().times[common().times > newest - 2 * DAY].min()) + 7 * DAY
    assert told["quality"]["waits_for"] == waits
    until = f"The first will be once labels up to {minute(waits)} are read."
    assert told["verdict"] == {
        "answer": "unknown",
        "by": None,
        "sentence": f"Nobody can tell yet: there are no mature outcomes of these events. {until}",
        "more_outcomes": None,
    }


@pytest.mark.parametrize(
    ("side", "options", "told"),
    [
        ("shadow", {}, "shadow answered nothing"),
        ("fraud@2", {}, "fraud@2 may be any of these"),
        ("fraud@1", {}, "both sides are fraud@1/champion"),
        ("best", {}, "best is no side of a duel: write an arm"),
        ("canary", {"segment": "amount"}, "did you mean amount_band?"),
        ("canary", {"window": "2017-01-01..2017-02-01"}, "has no predictions"),
        ("canary", {"window": "2018-06-02..2018-06-02"}, "is empty"),
        ("canary", {"last": "7 days"}, "write a whole number and a unit"),
        ("canary", {"delta": "five"}, "five is no margin: write a share of A's loss, such as 5%"),
        ("canary", {"alpha": 5.0}, "--alpha 5 is no share"),
        ("canary", {"bound": 0.0}, "--bound 0 bounds nothing"),
        ("canary", {"bound": 1.0}, "--bound is for models of a quantity; the one of duel_"),
    ],
)
def test_mistakes_are_explained(played: Project, side: str, options: dict[str, Any], told: str) -> None:
    """What is wrong is said with what to write instead."""
    with pytest.raises(ConfigurationError) as mistake:
        duel(str(played.path), "champion", side, bootstrap=played.bootstrap, **options)
    assert told in str(mistake.value)


def test_a_mistake_ends_with_code_2(command: Terminal, played: Project) -> None:
    """On the command line the message alone is printed."""
    code, out, errors = command.run("duel", played.path, "champion", "best")
    assert (code, out) == (2, "")
    assert errors.startswith("best is no side of a duel")


def test_spans_exclude_each_other() -> None:
    """A window and a length cannot both be asked for."""
    with pytest.raises(ConfigurationError, match="exclude each other"):
        asked("1d", "1d")


def answers(ids: list[str], times: list[int]) -> PredictionColumns:
    """Scored events."""
    none = np.zeros(len(ids))
    columns: dict[str, Any] = dict.fromkeys(("entities", "groups", "events"), pa.nulls(len(ids)))
    return PredictionColumns(
        pa.array(ids, pa.string()),
        columns["entities"],
        np.array(times),
        none,
        none > 0,
        none.astype(np.float32),
        none > 0,
        none.astype(np.float32),
        columns["groups"],
        columns["events"],
    )


def test_an_old_event_without_an_outcome_is_missing() -> None:
    """Of events old enough, those without an outcome are counted; younger ones wait, their labels are not used."""
    side = answers(["a", "b", "c", "a"], [1, 2, 9, 1])
    truths = Truths(pa.array(["a", "c"]), np.array([1.0, 1.0]), np.zeros(2, np.int64), np.array([10, 10]))
    known = meet(side, side, truths, 5).both
    assert (known.mature.tolist(), known.missing.tolist(), known.waiting.tolist()) == (
        [True, False, False],
        [False, True, False],
        [False, False, True],
    )
    assert np.isnan(known.labels[2])
    assert known.told[2] == 1


def test_the_newest_revision_holds() -> None:
    """What was read of labels last decides, whatever order revisions come in."""
    side = answers(["a"], [1])
    truths = Truths(pa.array(["a"] * 3), np.array([0.0, 1.0, 0.0]), np.array([0, 2, 1]), np.array([10, 30, 20]))
    assert meet(side, side, truths, 5).both.labels.tolist() == [1.0]


def figure(low: float, high: float) -> ComparedFigure:
    """A difference in the middle of its interval."""
    return ComparedFigure(
        a=0, b=(low + high) / 2, difference=(low + high) / 2, low=low, high=high, p=0.5, method="delong"
    )


def test_a_verdict_says_how_many_more_outcomes_it_takes() -> None:
    """An interval twice as wide as the difference takes four times the outcomes: three times as many more."""
    told = judged("average_precision", figure(-0.01, 0.03), 10_000, 500)
    assert told.answer == "unclear"
    assert told.more_outcomes == 30_000
    assert judged("auc_roc", figure(-0.01, 0.0100001), 100, 50).more_outcomes is None
    assert judged("auc_roc", figure(0.01, 0.02), 100, 5).sentence.endswith("Only 5 positives: intervals are rough.")
    assert judged("mean_absolute_error", figure(-2, -1), 100, 0).answer == "better"


def test_the_gate_decides(tmp_path: Path) -> None:
    """The figure of the pipeline's first gate decides, and another that says the opposite is told."""
    pipeline = load(ROOT / "pipelines" / "card_fraud.yaml")
    figures = {"auc_roc": figure(0.1, 0.2), "average_precision": figure(0.1, 0.2), "value": figure(-9, -1)}
    quality = PairedQuality(1_000, 1_000, 100, 0, 0, 0, True, figures)
    told = verdict(quality, pipeline)
    assert (told.answer, told.by) == ("better", "average_precision")
    assert "by value -5.0000 (-9.0000 to -1.0000) it is the other way round" in told.sentence
    told = verdict(quality, replace(pipeline, release=None))
    assert (told.answer, told.by) == ("worse", "value")
