"""Models in a file, added by the command: each answers here as in its library, or is refused with the remedy."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from headrace.cli.models.models import app
from headrace.domain.models.matrix import FeatureMatrix
from headrace.domain.models.sessions import SessionSettings, open_session
from headrace.domain.models.store import ModelStore
from headrace.domain.pipeline.wiring import read_contracts
from headrace.streaming.process.settings import Settings
from tests.registry.exports import EXPORTS, TEST
from tests.registry.shop import features, written

pytestmark = pytest.mark.slow

NEAR = 1e-5


def add(tmp_path: Path, *words: object) -> Result:
    """What the command says."""
    return CliRunner().invoke(app, ["add", *map(str, words), "--models", str(tmp_path / "models")])


def stored_scores(
    tmp_path: Path, model: str, table: pd.DataFrame, pipeline: Path, classes: Sequence[str] = ()
) -> np.ndarray:
    """Of rows, by the package in the store, fed as `score` feeds it."""
    store = ModelStore(str(tmp_path / "models"), tmp_path / "cache")
    (stored,) = [one for one in store.packages() if one.title == model]
    package = store.package(stored.name, stored.version, stored.digest)
    schema = read_contracts(Settings(pipeline=str(pipeline))).channel("features").codec.reader.arrow
    matrix = FeatureMatrix.resolve(package.manifest.inputs, schema, model).of(features(table, schema))
    return open_session(package, SessionSettings(device="cpu", classes=tuple(classes))).run(matrix)


@pytest.mark.parametrize("name", EXPORTS)
def test_an_export_answers_here_as_there_or_is_refused_with_the_remedy(name: str, tmp_path: Path) -> None:
    """Within 1e-5 of its library, of the largest answer where that is more than 1; with and without a sample."""
    export = EXPORTS[name]
    pipeline = written(tmp_path, quantity=export.quantity, classes=export.classes)
    path, wanted = export.make(tmp_path)
    if export.refused is not None:
        ran = add(tmp_path, path, "-p", pipeline, *export.words, "--json")
        assert ran.exit_code == 3, ran.output
        assert re.search(export.refused, json.loads(ran.output)["refused"]), ran.output
        assert not (tmp_path / "models").exists()
        return
    sample = tmp_path / "sample.csv"
    answers = {f"wanted{at}": column for at, column in enumerate(wanted.reshape(len(TEST), -1).T)}
    TEST.assign(**answers).to_csv(sample, index=False)
    proven = ("--sample", sample, "--expected", ",".join(answers))
    ran = add(tmp_path, path, "-p", pipeline, *export.words, *proven, "--json")
    assert ran.exit_code == 0, (ran.output, ran.exception)
    told: dict[str, Any] = json.loads(ran.output)
    assert np.std(wanted) > 0.02  # else anything would do
    near = NEAR * max(1, np.abs(wanted).max())
    proofs = {one["against"]: one for one in told["read"]["proofs"]}
    assert proofs["the answers in the sample"]["worst"] <= near
    assert {one["rows"] for one in proofs.values()} == {len(TEST)}
    scores = stored_scores(tmp_path, told["model"], TEST, pipeline, export.classes)
    assert scores.shape == wanted.shape
    assert np.abs(scores - wanted).max() <= near
