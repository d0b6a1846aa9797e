"""`headrace scorecard`: sums of windows read from a real broker, against scikit-learn on the same rows."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread
from sklearn.metrics import average_precision_score, log_loss, precision_score, roc_auc_score

from headrace.cli.models.scorecard import scorecard
from headrace.cli.render import scorecard as scorecard_sheet
from headrace.domain.pipeline.check import load
from headrace.domain.scorecards import card as cards
from headrace.domain.scorecards.grouped_tallies import PARTS
from headrace.domain.scorecards.identity import Identity
from headrace.domain.scorecards.partial_aggregate import UNREAD, Tally, counted
from headrace.errors import ConfigurationError
from headrace.operations.scorecard_query.catalogue import KEY
from headrace.operations.scorecard_query.span import Summary, Sums, matures_by, overdue, read_sums, unmatched
from headrace.operations.time_spans import TimeSpan
from headrace.streaming.kafka.reader import ranges
from tests.cli.contests import CANARY, CHALLENGER, CHAMPION, DAY, START, contest, outcomes, predictions, write_sums
from tests.cli.terminal import Terminal
from tests.members import ROOT
from tests.project import Project

DAYS = 10
EVENTS = contest(6_000, seed=3, days=DAYS)
MATURE = EVENTS.times < START + 3 * DAY
CANARYS = np.arange(6_000) % 5 == 0
SPAN = "2018-06-01..2018-06-04"


@pytest.fixture(scope="module")
def told(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A champion, a canary and a challenger over ten days, of which three are mature."""
    source = ROOT / "pipelines" / "card_fraud.yaml"
    project = Project(source, f"scorecard_{START}", tmp_path_factory.mktemp("card") / "p", kafka, "redis://none", 2)
    answers, truth = (project.contracts.channel(name).codec.reader.arrow for name in ("predictions", "outcomes"))
    sides = ((CHAMPION, ~CANARYS), (CANARY, CANARYS), (CHALLENGER, CANARYS | True))
    known = [outcomes(truth, model, EVENTS.at(MATURE & rows), START + DAYS * DAY) for model, rows in sides]
    live = [predictions(answers, model, EVENTS.at(rows)) for model, rows in sides[:2]]
    dark = [predictions(answers, CHALLENGER, EVENTS)]
    sums = {"predictions": live, "shadow-predictions": dark, "outcomes": known}
    write_sums(project.contracts, kafka, sums)
    yield project
    project.close()


Card = Callable[..., Any]


@pytest.fixture
def card_of(told: Project, capsys: pytest.CaptureFixture[str]) -> Card:
    """What a scorecard prints with --json, in this process."""

    def call(**options: Any) -> Any:
        scorecard(str(told.path), bootstrap=told.bootstrap, json=True, **options)
        return json.loads(capsys.readouterr().out)

    return call


@pytest.fixture
def command(terminal: Terminal, told: Project) -> Terminal:
    """The command line at that broker, 80 columns wide."""
    return Terminal(terminal.directory, {**terminal.env, "HEADRACE_BOOTSTRAP": told.bootstrap, "COLUMNS": "80"})


def by_name(given: list[dict[str, Any]]) -> dict[str, Any]:
    """Figures by name."""
    return {figure["name"]: figure for figure in given}


def test_days_sum_up_exactly(card_of: Card) -> None:
    """Quality over three days is scikit-learn's on all their rows together, not a mean of daily figures."""
    (arm,) = card_of(window=SPAN, arm="challenger")["arms"]
    labels, scores = EVENTS.truth[MATURE], EVENTS.scores[1][MATURE]
    found = by_name(arm["figures"])
    assert (arm["windows"], arm["mature_windows"], arm["immature_share"], arm["matures_by"]) == (3, 3, 0, None)
    assert found["auc_roc"]["value"] == pytest.approx(roc_auc_score(labels, scores))
    assert found["average_precision"]["value"] == pytest.approx(average_precision_score(labels, scores))
    assert found["log_loss"]["value"] == pytest.approx(log_loss(labels, scores))
    assert found["precision"]["value"] == pytest.approx(precision_score(labels, scores >= 0.25))
    assert found["auc_roc"]["low"] < found["auc_roc"]["value"] < found["auc_roc"]["high"]
    assert found["auc_roc"]["basis"] == "outcomes"
    assert not any(name.startswith("estimated_") for name in found)


def test_quality_is_of_mature_windows_alone(card_of: Card) -> None:
    """By default the newest windows are told; operational figures cover all of them, quality the mature ones."""
    told = card_of()
    assert [arm["arm"] for arm in told["arms"]] == ["champion", "canary", "challenger"]
    arm = told["arms"][2]
    assert (arm["windows"], arm["mature_windows"], arm["predictions"]) == (DAYS, 3, 6_000)
    assert arm["immature_share"] == pytest.approx(1 - MATURE.mean())
    assert arm["matures_by"] == START + (DAYS + 7) * DAY
    found = by_name(arm["figures"])
    assert found["decision_rate"]["value"] == pytest.approx(np.mean(EVENTS.scores[1] >= 0.25))
    assert found["auc_roc"]["value"] == pytest.approx(roc_auc_score(EVENTS.truth[MATURE], EVENTS.scores[1][MATURE]))
    assert found["estimated_auc_roc"]["basis"] == "estimate"
    assert arm["estimates"]["auc_roc"]["windows"] == 3
    assert [window["mature"] for window in arm["by_window"]] == [True] * 3 + [False] * 7


def test_a_date_that_passed_is_withdrawn() -> None:
    """While labels are not read up to it a date is told; after that what is missing, and where to look."""
    pipeline = load(ROOT / "pipelines" / "card_fraud.yaml")
    made = cards.Card(Tally(counted(predictions=10, outcomes=9)), False, {})
    who = Identity("m", "1", "d", "champion")
    for as_of, promised, missing in ((START + 8 * DAY - 1, START + 8 * DAY, 0), (START + 8 * DAY, None, 1)):
        summary = Summary(who, [START], [], made, None, None, {}, {}, {START: made}, {}, as_of)
        assert matures_by(summary, pipeline) == promised
        assert overdue(summary, pipeline) == missing
        parts = scorecard_sheet.scorecard_sheet([summary], pipeline, TimeSpan(START, START + DAY), None, KEY, 80)
        text = "".join(part for part in parts if isinstance(part, str))
        assert ("once labels up to 2018-06-09 00:00 are read" in text) == (promised is not None)
        assert ("1 predictions of m@1/champion should have an outcome and have none" in text) == bool(missing)


def sheet_of(summary: Summary, segment: str | None = None) -> str:
    """What the sheet says beside its tables."""
    pipeline = load(ROOT / "pipelines" / "card_fraud.yaml")
    span = TimeSpan(summary.starts[0], summary.starts[-1] + DAY)
    parts = scorecard_sheet.scorecard_sheet([summary], pipeline, span, segment, KEY, 80)
    return "".join(part for part in parts if isinstance(part, str))


@pytest.mark.parametrize("segment", [None, "amount_band"])
@pytest.mark.parametrize("as_of", [UNREAD, START + DAY, START + 30 * DAY])
def test_no_date_is_told_of_windows_that_no_label_completes(as_of: int, segment: str | None) -> None:
    """Of a window with corrections of outcomes that are gone it says that it lacks them, whatever is read."""
    pipeline = load(ROOT / "pipelines" / "card_fraud.yaml")
    lost = Tally(counted(predictions=3, outcomes=-1, corrected=2, labelled=-1))
    made = cards.card(lost, pipeline)
    who = Identity("m", "1", "d", "champion")
    summary = Summary(who, [START], [], made, None, made, {}, {}, {START: made}, {}, as_of)
    assert matures_by(summary, pipeline) is None
    assert unmatched(summary) == [START]
    text = sheet_of(summary, segment)
    assert "once labels" not in text
    assert "1 windows of m@1/champion, the first of 2018-06-01 00:00, cannot become mature: more outcomes" in text


def test_only_windows_that_wait_have_a_date() -> None:
    """Beside a window that lacks originals, and one whose labels were read, the date is that of the one that waits."""
    pipeline = load(ROOT / "pipelines" / "card_fraud.yaml")
    tallies = [
        Tally(counted(predictions=10, outcomes=9)),
        Tally(counted(predictions=10, outcomes=4)),
        Tally(counted(predictions=3, outcomes=-1, corrected=2)),
    ]
    made = {START + day * DAY: cards.card(tally, pipeline) for day, tally in enumerate(tallies)}
    who, first = Identity("m", "1", "d", "champion"), next(iter(made.values()))
    summary = Summary(who, list(made), [], first, None, None, {}, {}, made, {}, START + 8 * DAY)
    assert matures_by(summary, pipeline) == START + 9 * DAY
    assert (overdue(summary, pipeline), unmatched(summary)) == (1, [START + 2 * DAY])
    text = sheet_of(summary)
    assert "those that wait for labels will be once labels up to 2018-06-10 00:00 are read" in text
    assert "so far they were up to 2018-06-09 00:00" in text


def test_a_model_that_answers_no_more_goes_by_the_labels_of_all(project: Project) -> None:
    """A prediction without an outcome is missed once labels are read beyond it, though its model has no news."""
    answers, truth = (project.contracts.channel(name).codec.reader.arrow for name in ("predictions", "outcomes"))
    old, new = EVENTS.at(EVENTS.times < START + DAY), EVENTS.at(EVENTS.times >= START + DAY)
    known = [
        outcomes(truth, CHAMPION, old.at(slice(1, None)), START + 7 * DAY),
        outcomes(truth, CHALLENGER, new, START + 20 * DAY),
    ]
    told = [predictions(answers, CHAMPION, old), predictions(answers, CHALLENGER, new)]
    write_sums(project.contracts, project.bootstrap, {"predictions": told, "outcomes": known})
    channel = project.contracts.channel(PARTS)
    parts = ranges(project.connection, channel.name)
    sums = Sums(
        project.contracts.pipeline,
        read_sums(project.connection, channel, parts, lambda count: None, project.contracts.pipeline),
    )
    summary = sums.summary(next(who for who in sums.models if who.version == "1"), TimeSpan(), None)
    assert summary is not None
    assert summary.as_of == START + 20 * DAY
    assert matures_by(summary, project.contracts.pipeline) is None
    assert overdue(summary, project.contracts.pipeline) == 1


def test_an_event_dated_ahead_is_not_the_newest(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    """A span that is counted back begins where most events end; the one beyond has its window, and that is said."""
    answers = project.contracts.channel("predictions").codec.reader.arrow
    stray = replace(EVENTS.at(slice(7, 8)), ids=["stray"], times=np.array([START + 30_000 * DAY]))
    told = {"predictions": [predictions(answers, CHAMPION, EVENTS), predictions(answers, CHAMPION, stray)]}
    write_sums(project.contracts, project.bootstrap, told)
    capsys.readouterr()  # the service logs what it does not sample
    scorecard(str(project.path), bootstrap=project.bootstrap, last="2d", json=True)
    found = json.loads(capsys.readouterr().out)
    assert found["window"] == {"from": START + 8 * DAY, "to": START + 10 * DAY}
    scorecard(str(project.path), bootstrap=project.bootstrap, json=True)
    (arm,) = json.loads(capsys.readouterr().out)["arms"]
    assert (arm["windows"], arm["ahead_windows"]) == (8, [START + 30_000 * DAY])
    assert arm["matures_by"] == START + 17 * DAY
    scorecard(str(project.path), bootstrap=project.bootstrap)
    assert "1 predictions of fraud@1/champion are of events dated far ahead" in " ".join(
        capsys.readouterr().out.split()
    )


def test_windows_that_a_model_was_fitted_on_are_marked(
    card_of: Card, command: Terminal, told: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A window in which the model was fitted says so, in JSON and on the sheet; of unknown models that is said."""
    training = {"start": START, "end": START + DAY + 5, "rows": 100}
    folder = tmp_path / "fraud" / "1" / ("1" * 64)
    folder.mkdir(parents=True)
    said = {"name": "fraud", "version": "1", "inputs": [{"name": "amount"}], "training": training}
    (folder / "model.yaml").write_text(json.dumps(said))
    monkeypatch.setenv("HEADRACE_MODELS", str(tmp_path))
    champion, other = card_of(window=SPAN, arm="champion")["arms"], card_of(window=SPAN, arm="challenger")["arms"]
    assert champion[0]["fitted_windows"] == 2
    assert [window["fitted_on"] for window in champion[0]["by_window"]] == [True, True, False]
    assert champion[0]["training"]["fitted_on"] == [{"from": START, "to": START + DAY + 6}]
    assert other[0]["fitted_windows"] == 0
    assert "not in the model store" in other[0]["training"]["unknown"][0]
    asking = Terminal(command.directory, {**command.env, "HEADRACE_MODELS": str(tmp_path)})
    code, out, errors = asking.run("scorecard", str(told.path), "--window", SPAN)
    assert code == 0, errors
    sheet = " ".join(out.split())
    assert "fraud@1/champion was fitted on events of 2018-06-01 00:00 to" in sheet
    assert "2 of its 3 windows hold some, 2 of them mature" in sheet
    assert "fraud@2/challenger: fraud@2 is not in the model store" in sheet


def test_spans_are_of_whole_windows(card_of: Card) -> None:
    """A span takes in every window that it touches; --last counts from the end of the newest."""
    told = card_of(window="2018-06-02T12:00..2018-06-03T01:00", arm="champion")
    assert told["window"] == {"from": START + DAY, "to": START + 3 * DAY}
    assert card_of(last="2d", arm="champion")["window"] == {"from": START + 8 * DAY, "to": START + 10 * DAY}
    assert card_of(window="5d", arm="champion")["window"]["from"] % (5 * DAY) == 0


def test_groups_stand_beside_each_other(card_of: Card) -> None:
    """Each group of a segment has figures of its own rows, and the gaps are between the groups."""
    (arm,) = card_of(window=SPAN, arm="challenger", segment="amount_band")["arms"]
    groups = {group["group"]: group for group in arm["segment"]["groups"]}
    assert list(groups) == ["<10", "10-50", "50-200", ">=200"]
    inside = MATURE & (EVENTS.amounts < 10)
    assert groups["<10"]["predictions"] == inside.sum()
    found = by_name(groups["<10"]["figures"])["auc_roc"]["value"]
    assert found == pytest.approx(roc_auc_score(EVENTS.truth[inside], EVENTS.scores[1][inside]))
    gaps = by_name(arm["segment"]["gaps"])
    assert gaps["gap_selection_rate"]["value"] >= 0
    assert "highest" in gaps["gap_selection_rate"]["note"]


def test_figures_are_chosen_by_name(card_of: Card) -> None:
    """A figure brings its estimate along; nothing else is told."""
    (arm,) = card_of(figures="auc_roc", model="fraud@2", arm="challenger")["arms"]
    assert set(by_name(arm["figures"])) == {"auc_roc", "estimated_auc_roc"}


def test_why_there_are_no_estimates_under_shift(card_of: Card, command: Terminal, told: Project) -> None:
    """Of a model whose package is nowhere, the sheet and every window say so."""
    (arm,) = card_of(arm="challenger")["arms"]
    figure = by_name(arm["figures"])["shifted_effective_rows"]
    assert figure["value"] is None
    assert "no sound package" in figure["note"]
    assert "no sound package" in by_name(arm["by_window"][0]["figures"])["shifted_effective_rows"]["note"]
    assert arm["estimates_together"].keys() == {"estimated"} or not arm["estimates_together"]
    code, out, errors = command.run("scorecard", told.path, "--arm", "challenger")
    assert code == 0, errors
    assert "has no estimates under shifted inputs: the model store has no sound package" in " ".join(out.split())


def test_the_sheet_fits_a_terminal(command: Terminal, told: Project) -> None:
    """Arms stand side by side within 80 columns; what is not mature is said, and until when."""
    code, out, errors = command.run("scorecard", told.path)
    assert code == 0, errors
    assert max(map(len, out.splitlines())) <= 80
    for part in ("champion", "canary", "challenger", "AUC ROC", "3 of 10", "mature", "▁"):
        assert part in out
    assert "once labels up to 2018-06-18 00:00 are read" in " ".join(out.split())
    code, out, errors = command.run("scorecard", told.path, "--arm", "challenger", "--segment", "amount_band")
    assert code == 0, errors
    assert max(map(len, out.splitlines())) <= 80
    assert "largest gap" in out


def test_a_plot_is_drawn(told: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The picture is there, large enough to read, and not blank."""
    out = tmp_path / "card.png"
    scorecard(str(told.path), bootstrap=told.bootstrap, plot=out)
    picture = imread(out)
    assert picture.shape[:2] == (912, 1560)
    assert picture.std() > 0.05
    assert f"drawn in {out}" in capsys.readouterr().out.replace("\n", "")


@pytest.mark.parametrize(
    ("options", "told_of"),
    [
        ({"model": "fraud@9"}, "--model fraud@9 has no scorecards: did you mean"),
        ({"arm": "shadow"}, "--arm shadow has no scorecards: known are"),
        ({"model": "fraud@1", "arm": "canary"}, "fraud@1 was no canary"),
        ({"segment": "amount"}, "did you mean amount_band?"),
        ({"figures": "auc"}, "there is no figure auc"),
        ({"window": "2017-01-01..2017-02-01"}, "has no windows of 2017-01-01"),
        ({"window": "1d", "last": "1d"}, "exclude each other"),
        ({"plot": Path("card.doc")}, "name a file that ends with .png"),
        ({"plot": Path("/nowhere/card.png")}, "cannot be written"),
    ],
)
def test_mistakes_are_explained(told: Project, options: dict[str, Any], told_of: str) -> None:
    """What is wrong is said with what to write instead."""
    with pytest.raises(ConfigurationError) as mistake:
        scorecard(str(told.path), bootstrap=told.bootstrap, **options)
    assert told_of in str(mistake.value)


def test_a_missing_library_is_named(told: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without the extra, the remedy says how to install it."""
    monkeypatch.setitem(sys.modules, "headrace.cli.render.scorecard_plot", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'headrace\[plot\]'"):
        scorecard(str(told.path), bootstrap=told.bootstrap, plot=tmp_path / "card.png")


def test_without_scorecards_the_remedy_is_said(project: Project) -> None:
    """An empty topic is no error of the command, but nothing to show either."""
    with pytest.raises(ConfigurationError, match="has no scorecards yet: `headrace run"):
        scorecard(str(project.path), bootstrap=project.bootstrap)


def test_every_figure_is_explained(card_of: Card) -> None:
    """The page of scorecards has a row for each figure that there is."""
    page = (ROOT / "docs" / "scorecards.md").read_text()
    explained = set(re.findall(r"`([a-zA-Z0-9_]+)`", page))
    (arm,) = card_of(arm="challenger", segment="amount_band")["arms"]
    every = {f["name"] for window in arm["by_window"] for f in window["figures"]}
    every |= {figure["name"] for figure in arm["segment"]["gaps"]}
    for name in every:
        general = re.sub(r"_at_\d+", "_at_K", name)
        for prefix in ("estimated_", "estimate_error_", "gap_"):
            if general.startswith(prefix):
                assert f"{prefix}NAME" in explained
                general = general.removeprefix(prefix)
        assert general in explained, name
