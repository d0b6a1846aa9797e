"""The package of a trainer of one's own that docs/training.md shows: installed as it stands there, it trains."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from headrace.domain.models.sessions import SessionSettings, open_session
from headrace.domain.pipeline.retrain.section import trainer_names
from headrace.domain.training.model_build import Recipe, train
from headrace.errors import ConfigurationError
from tests.contributing.page import files
from tests.training.test_trainers import rows

pytestmark = pytest.mark.slow


def test_the_template_is_a_trainer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Installed by pip; the same rows give the same package; what it cannot take is refused with the remedy."""
    for path, text in files("../training").items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*command, "--target", "site", "./my_trainers"], cwd=tmp_path, check=True, capture_output=True)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    assert "network" in trainer_names()
    data = rows(1_000)
    data = replace(data, matrix=np.asfortranarray(np.nan_to_num(data.matrix)))
    recipe = Recipe("m", "1", trainer="network", parameters={"max_iter": 50})
    package = train(data, recipe)
    assert train(data, recipe).digest == package.digest
    assert package.manifest.libraries["my-trainers"] == "1.0"
    assert package.manifest.parameters["max_iter"] == 50
    scores = open_session(package, SessionSettings(device="cpu")).run(data.matrix)
    assert scores[data.labels == 1].mean() > scores[data.labels == 0].mean() + 0.1
    holes = data.matrix.copy()
    holes[3, 0] = np.nan
    with pytest.raises(ConfigurationError, match="give them a value in the pipeline file"):
        train(replace(data, matrix=np.asfortranarray(holes)), recipe)
    with pytest.raises(ConfigurationError, match="max_itre"):
        train(data, Recipe("m", "1", trainer="network", parameters={"max_itre": 50}))
