"""Trainers that installed packages offer: named like ours, and refused where it is not plain which one is meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.domain.pipeline.check import load
from headrace.domain.pipeline.retrain.section import trainer_names
from headrace.domain.training.model_build import Recipe, train
from headrace.domain.training.trainer import TRAINERS, libraries_of, taken_by, trainer_of
from headrace.errors import ConfigurationError
from tests.sources import ROOT
from tests.training.outsiders import install
from tests.training.test_trainers import rows


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory on the path of modules with a package of trainers."""
    monkeypatch.syspath_prepend(str(install(tmp_path / "one")))
    return tmp_path


def test_names(outside: Path) -> None:
    """Its names stand behind ours, and a pipeline file may say them; what is near to one is told."""
    assert trainer_names()[: len(TRAINERS)] == tuple(TRAINERS)
    assert {"stump", "liar"} < set(trainer_names())
    assert taken_by("stump") == {"weights"}
    assert libraries_of("stump") == {"outsiders": "3.1"}
    assert libraries_of("lightgbm") == {}
    text = (ROOT / "pipelines/card_fraud.yaml").read_text()
    (outside / "pipelines").mkdir()
    path = outside / "pipelines/own.yaml"
    path.write_text(text.replace("trainer: lightgbm", "trainer: stump"))
    retrain = load(path).retrain
    assert retrain is not None
    assert retrain.trainer == "stump"
    path.write_text(text.replace("trainer: lightgbm", "trainer: stumb"))
    with pytest.raises(ConfigurationError, match="did you mean stump"):
        load(path)
    with pytest.raises(ConfigurationError, match="no trainer is called stumb: did you mean stump"):
        trainer_of("stumb")


def test_its_package(outside: Path) -> None:
    """It is packed like ours, with the package that offers it among the libraries, and the same twice."""
    recipe = Recipe("m", "1", trainer="stump")
    package = train(rows(1_000), recipe)
    assert package.manifest.libraries["outsiders"] == "3.1"
    assert package.manifest.parameters["trainer"] == "stump"
    assert train(rows(1_000), recipe).digest == package.digest
    with pytest.raises(ConfigurationError, match="does not grow a number of trees"):
        train(rows(1_000), Recipe("m", "1", trainer="stump", trees=3))


def test_doubt_is_refused(outside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name of several packages, one of ours, and a trainer that cannot be loaded."""
    monkeypatch.syspath_prepend(str(install(outside / "two", "strangers", ("stump", "xgboost"))))
    with pytest.raises(ConfigurationError, match="several packages offer a trainer stump: outsiders, strangers; take"):
        trainer_of("stump")
    with pytest.raises(ConfigurationError, match="several packages offer a trainer xgboost: strangers, headrace"):
        trainer_of("xgboost")
    monkeypatch.syspath_prepend(str(install(outside / "three", "broken", ("gone", "MODULE"))))
    with pytest.raises(ConfigurationError, match=r"trainer gone of broken cannot be loaded: .* no attribute 'gone'"):
        trainer_of("gone")
