"""Models as MLflow keeps them, read and converted in a process that may harm nothing."""

from __future__ import annotations

import pickle
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import pytest
import xgboost as xgb
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from headrace.domain.models.package import Input, Manifest, pack
from headrace.domain.models.sessions import SessionSettings, open_session
from headrace.domain.pipeline.registry.spec import ModelRegistry
from headrace.domain.registry.column_fit import fit_columns
from headrace.domain.registry.conversion import ConversionLimits, ConvertedModel, convert_logged
from headrace.domain.registry.logged_model import LoggedModel, read_logged
from headrace.errors import ContractError
from tests.members import ROOT
from tests.registry.logged import frame, save

pytestmark = pytest.mark.slow

COLUMNS = ["amount", "customer.nb_tx_7d", "customer.avg_amount_7d"]
TABLE, LABELS = frame(COLUMNS)
ROWS = TABLE.to_numpy(np.float32)


def converted(folder: Path, own: Path, **rules: Any) -> ConvertedModel:
    """What becomes of a directory."""
    logged = read_logged(folder)
    fit = fit_columns(logged.signature, COLUMNS, ModelRegistry(**rules))
    own.mkdir()
    return convert_logged(folder, logged, fit.columns, fit.features, rules.get("positive"), own)


def scores(found: ConvertedModel) -> np.ndarray:
    """Of the rows, by the graph."""
    manifest = Manifest(name="m", version="1", inputs=tuple(Input(name=name) for name in COLUMNS), output=found.output)
    return open_session(pack(manifest, found.graph), SessionSettings(device="cpu")).run(np.asfortranarray(ROWS))


MODELS: dict[str, tuple[str, Callable[[], Any], dict[str, Any]]] = {
    "logistic regression kept by skops": (
        "sklearn",
        lambda: make_pipeline(StandardScaler(), LogisticRegression()).fit(TABLE, LABELS),
        {},
    ),
    "random forest kept by pickle": (
        "sklearn",
        lambda: RandomForestClassifier(7, random_state=1).fit(TABLE.astype(np.float32), LABELS),
        {"serialization_format": "cloudpickle"},
    ),
    "LightGBM's classifier": (
        "lightgbm",
        lambda: lgb.LGBMClassifier(n_estimators=9, verbose=-1, n_jobs=1).fit(TABLE, LABELS),
        {},
    ),
    "XGBoost's classifier": ("xgboost", lambda: xgb.XGBClassifier(n_estimators=9, n_jobs=1).fit(TABLE, LABELS), {}),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_graph_says_what_its_library_says(tmp_path: Path, name: str) -> None:
    """On rows that neither the conversion nor the training has seen in this form."""
    flavour, made, more = MODELS[name]
    model = made()
    found = converted(save(flavour, model, tmp_path / "model", COLUMNS, **more), tmp_path / "own")
    wanted = model.predict_proba(TABLE.astype(np.float32))[:, 1]
    assert np.abs(scores(found) - wanted).max() < 5e-5
    assert found.parity is not None
    assert found.parity < 5e-5


def test_what_cannot_be_converted_says_what_to_do(tmp_path: Path) -> None:
    """Its kind by name."""
    model = GradientBoostingClassifier(n_estimators=2).fit(TABLE, LABELS)
    folder = save("sklearn", model, tmp_path / "model", COLUMNS, serialization_format="cloudpickle")
    with pytest.raises(ContractError, match=r"GradientBoostingClassifier cannot be converted here: convert it to ONNX"):
        converted(folder, tmp_path / "own")


HARM = """
import os, signal, socket
acts = (
    lambda: open({mark!r}, "w"),
    lambda: open({secret!r}).read(),
    lambda: os.listdir({home!r}),
    lambda: open("/proc/{other}/environ", "rb").read(),
    lambda: os.kill({other}, signal.SIGTERM),
    lambda: socket.create_connection(("127.0.0.1", {port}), 2),
)
for act in acts:
    try:
        act()
        open("harm", "a").write(str(acts.index(act)))
    except OSError:
        pass
open("seen", "w").write(" ".join(sorted(os.environ)))
"""
BARE = {"PYTHONPATH": str(ROOT)}
FREE = (
    "import sys; from pathlib import Path; from headrace.domain.registry.jail import cut_off; print(cut_off(Path('.')))"
)


class Hostile:
    """Does what it can when it is read."""

    def __init__(self, mark: Path, port: int, other: int) -> None:
        secret = mark.with_name("secret")
        self._code = HARM.format(mark=str(mark), secret=str(secret), home=str(mark.parent), port=port, other=other)

    def __reduce__(self) -> Any:
        return exec, (self._code, {})


def test_a_hostile_pickle_harms_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It writes into its own directory alone, reads nobody's files, reaches no network and no process of ours."""
    monkeypatch.setenv("HEADRACE_KAFKA", '{"sasl.password": "secret"}')
    folder, own, mark = tmp_path / "model", tmp_path / "own", tmp_path / "mark"
    folder.mkdir()
    own.mkdir()
    (tmp_path / "secret").write_text("of ours")
    with socket.create_server(("127.0.0.1", 0)) as listener, subprocess.Popen(["sleep", "600"]) as other:
        (folder / "model.pkl").write_bytes(pickle.dumps(Hostile(mark, listener.getsockname()[1], other.pid)))
        logged = LoggedModel("sklearn", "model.pkl", "pickle", "", "", None)
        with pytest.raises(ContractError, match="no estimator of scikit-learn"):
            convert_logged(folder, logged, COLUMNS, COLUMNS, None, own)
        alive = other.poll() is None
        other.terminate()
    assert "HEADRACE_KAFKA" not in (own / "seen").read_text()
    left = subprocess.run([sys.executable, "-c", FREE], cwd=own, env=BARE, capture_output=True, text=True, check=True)
    if left.stdout.strip() != "[]":
        pytest.skip(f"this system lets it go on: {left.stdout}")
    assert not mark.exists()
    assert not (own / "harm").exists(), (own / "harm").read_text()
    assert alive


def test_what_takes_too_long_is_ended(tmp_path: Path) -> None:
    """With its whole group."""
    folder, own = tmp_path / "model", tmp_path / "own"
    folder.mkdir()
    own.mkdir()
    (folder / "model.pkl").write_bytes(b"")
    logged = LoggedModel("sklearn", "model.pkl", "pickle", "", "", None)
    with pytest.raises(ContractError, match=r"took longer than 0.1 s"):
        convert_logged(folder, logged, COLUMNS, COLUMNS, None, own, ConversionLimits(wall_s=0.1))
