"""Duels and scorecards of models that answer with a quantity instead of a probability."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import typer
from matplotlib.image import imread
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

from headrace.cli.models.duel import duel
from headrace.cli.models.scorecard import scorecard
from tests.cli.contests import CHALLENGER, CHAMPION, DAY, START, contest, outcomes, predictions, write, write_sums
from tests.members import ROOT
from tests.project import Project

EVENTS = contest(2_000, seed=5, days=2)
TRUTH = EVENTS.scores[0] * 40 + np.random.default_rng(6).normal(0, 1, 2_000)
EVENTS = replace(EVENTS, truth=TRUTH, scores=(EVENTS.scores[0] * 40, EVENTS.scores[1] * 40), thresholds=(5.0, 5.0))
AS_OF = START + 20 * DAY


@pytest.fixture(scope="module")
def quantity(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """The card pipeline as if its model told amounts, with two models' answers and what became of them."""
    folder = tmp_path_factory.mktemp("quantity")
    (folder / "pipelines").mkdir()
    shutil.copytree(ROOT / "schemas", folder / "schemas")
    text = (ROOT / "pipelines" / "card_fraud.yaml").read_text()
    kept = [part for part in text.split("\n\n") if not part.startswith(("release:", "value:", "retrain:"))]
    source = folder / "pipelines" / "quantity.yaml"
    source.write_text("\n\n".join(kept).replace("output: probability", "output: value").replace("0.5", "5"))
    project = Project(source, f"quantity_{START}", folder / "p", kafka, "redis://none", 2)
    answers, truth = (project.contracts.channel(name).codec.reader.arrow for name in ("predictions", "outcomes"))
    told = {
        "predictions": [predictions(answers, CHAMPION, EVENTS)],
        "shadow-predictions": [predictions(answers, CHALLENGER, EVENTS)],
        "outcomes": [outcomes(truth, model, EVENTS, AS_OF) for model in (CHAMPION, CHALLENGER)],
    }
    for logical, records in told.items():
        write(project.contracts, kafka, logical, records)
    write_sums(project.contracts, kafka, told)
    yield project
    project.close()


def test_the_smaller_error_wins(quantity: Project, capsys: pytest.CaptureFixture[str]) -> None:
    """Models are compared by how far they are off; B is worse when its error is larger."""
    with pytest.raises(typer.Exit):
        duel(str(quantity.path), "champion", "challenger", bootstrap=quantity.bootstrap, json=True)
    told = json.loads(capsys.readouterr().out)
    found = told["quality"]["figures"]["mean_absolute_error"]
    assert found["b"] == pytest.approx(mean_absolute_error(TRUTH, EVENTS.scores[1]))
    assert (told["verdict"]["answer"], told["verdict"]["by"]) == ("worse", "mean_absolute_error")
    assert told["quality"]["mature"] == 2_000
    assert "Name with --bound" in told["evidence"]["sentence"]
    with pytest.raises(typer.Exit):
        duel(str(quantity.path), "champion", "challenger", bound=16.0, bootstrap=quantity.bootstrap, json=True)
    assert json.loads(capsys.readouterr().out)["evidence"]["answer"] == "harm"


def test_cards_tell_errors(quantity: Project, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Scorecards and their picture have errors in place of what classes have."""
    scorecard(str(quantity.path), bootstrap=quantity.bootstrap, plot=tmp_path / "card.png", json=True)
    champion = json.loads(capsys.readouterr().out)["arms"][0]
    found = {figure["name"]: figure["value"] for figure in champion["figures"]}
    assert found["mean_absolute_error"] == pytest.approx(mean_absolute_error(TRUTH, EVENTS.scores[0]))
    assert found["root_mean_square_error"] == pytest.approx(root_mean_squared_error(TRUTH, EVENTS.scores[0]))
    assert found["r2"] == pytest.approx(r2_score(TRUTH, EVENTS.scores[0]))
    assert "auc_roc" not in found
    assert imread(tmp_path / "card.png").std() > 0.03


def test_the_sheets_say_it_in_words(
    quantity: Project, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both sheets fit 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    scorecard(str(quantity.path), bootstrap=quantity.bootstrap)
    with pytest.raises(typer.Exit):
        duel(str(quantity.path), "champion", "challenger", bootstrap=quantity.bootstrap)
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    for part in ("mean absolute error", "R2", "B is worse", "of paired losses"):
        assert part in out
