"""Models of MLflow that are added once: each flavour as a data scientist saves it, and what does not fit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import lightgbm as lgb
import numpy as np
import onnx
import onnxruntime as ort
import pytest
import xgboost as xgb
from onnx import TensorProto, helper
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from headrace.domain.models.sessions import SessionSettings, open_session
from headrace.domain.models.store import ModelStore
from headrace.domain.pipeline.registry.spec import ModelRegistry
from headrace.domain.pipeline.wiring import Contracts, read_contracts
from headrace.errors import ConfigurationError, ContractError
from headrace.operations.progress import Silent
from headrace.operations.registry.addition import AddedModel, add_model, mlflow_source
from headrace.operations.registry.mlflow_door import MlflowRegistry
from headrace.streaming.process.settings import Settings
from tests.cli.terminal import Terminal
from tests.members import ROOT
from tests.models import graphs
from tests.registry.logged import frame, save

pytestmark = pytest.mark.slow

COLUMNS = ["amount", "customer.nb_tx_7d", "customer.avg_amount_7d"]
TABLE, LABELS = frame(COLUMNS)
ROWS = TABLE.to_numpy(np.float32)
WEIGHTS = (0.02, -0.1, 0.05)
CARDS = ROOT / "pipelines/card_fraud.yaml"


@pytest.fixture(scope="module")
def contracts() -> Contracts:
    """Of the cards' pipeline."""
    return read_contracts(Settings(pipeline=str(CARDS)))


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    """An empty store."""
    return ModelStore(str(tmp_path / "models"), tmp_path / "cache")


def nobody() -> NoReturn:
    """A directory needs no registry."""
    raise AssertionError("a registry was asked for")


def added(folder: Path, contracts: Contracts, store: ModelStore) -> AddedModel:
    """What becomes of a directory."""
    source = mlflow_source(str(folder))
    assert source == folder
    return add_model(source, contracts, store, nobody, Silent())


def stored_scores(store: ModelStore, model: AddedModel) -> np.ndarray:
    """Of the rows, by the package as services load it."""
    (stored,) = store.packages()
    package = store.package(stored.name, stored.version, model.digest)
    return open_session(package, SessionSettings(device="cpu")).run(np.asfortranarray(ROWS))


def wanted_onnx(graph: onnx.ModelProto) -> np.ndarray:
    """By the graph itself, as its author would run it."""
    session = ort.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["probability"], {session.get_inputs()[0].name: ROWS})[0])[:, 0]


def logistic_graph() -> onnx.ModelProto:
    """One tensor in, one score out."""
    return onnx.load_model_from_string(graphs.logistic(WEIGHTS))


def columns_graph(names: list[str]) -> onnx.ModelProto:
    """An input for each column, as converters of data frames make them."""
    nodes = [
        helper.make_node("Concat", names, ["features"], axis=1),
        helper.make_node("MatMul", ["features", "w"], ["margin"]),
        helper.make_node("Sigmoid", ["margin"], ["probability"]),
    ]
    weights = onnx.numpy_helper.from_array(np.array(WEIGHTS, np.float32)[:, None], "w")
    return onnx.load_model_from_string(graphs.serialise(nodes, [graphs.vector(name) for name in names], [weights]))


MODELS: dict[str, Callable[[], Any]] = {
    "sklearn": lambda: make_pipeline(StandardScaler(), LogisticRegression()).fit(TABLE, LABELS),
    "lightgbm": lambda: lgb.LGBMClassifier(n_estimators=9, verbose=-1, n_jobs=1).fit(TABLE, LABELS),
    "xgboost": lambda: xgb.XGBClassifier(n_estimators=9, n_jobs=1).fit(TABLE, LABELS),
    "onnx": logistic_graph,
}


@pytest.mark.parametrize("flavour", MODELS)
def test_a_saved_model_of_each_flavour_answers_here_as_there(
    tmp_path: Path, flavour: str, contracts: Contracts, store: ModelStore
) -> None:
    """It is stored with the features that feed it and says where it came from."""
    model = MODELS[flavour]()
    folder = save(flavour, model, tmp_path / "model", COLUMNS)
    done = added(folder, contracts, store)
    wanted = wanted_onnx(model) if flavour == "onnx" else model.predict_proba(TABLE.astype(np.float32))[:, 1]
    assert np.abs(stored_scores(store, done) - wanted).max() < 5e-5
    (stored,) = store.packages()
    manifest = store.manifest(stored)
    assert list(manifest.input_names) == COLUMNS
    assert manifest.parameters["mlflow"]["flavour"] == flavour
    assert len(manifest.parameters["mlflow"]["files"]) == 64
    assert done.notes[0].startswith(f"flavour {flavour} ")


def test_an_onnx_graph_is_taken_as_it_is(tmp_path: Path, contracts: Contracts, store: ModelStore) -> None:
    """Node for node; only the names of its inputs become those of the features where there is one a column."""
    graph = logistic_graph()
    done = added(save("onnx", graph, tmp_path / "model", COLUMNS), contracts, store)
    package = store.package(*done.model.split("@"), done.digest)
    assert onnx.load_model_from_string(package.graph).graph == graph.graph
    by_column = columns_graph(COLUMNS)
    other = added(save("onnx", by_column, tmp_path / "columns", COLUMNS), contracts, store)
    taken = onnx.load_model_from_string(store.package(*other.model.split("@"), other.digest).graph)
    assert [each.name for each in taken.graph.input] == COLUMNS
    assert [node.op_type for node in taken.graph.node] == [node.op_type for node in by_column.graph.node]


def with_input(shape: list[Any], kind: int = TensorProto.FLOAT) -> onnx.ModelProto:
    """The graph, whose input says that it has another shape or type."""
    graph = logistic_graph()
    del graph.graph.input[:]
    graph.graph.input.append(helper.make_tensor_value_info("features", kind, shape))
    return graph


def with_operator(name: str, domain: str) -> onnx.ModelProto:
    """The graph with an operator of somebody's own."""
    nodes = [helper.make_node(name, ["features"], ["probability"], domain=domain)]
    made = graphs.serialise(nodes, [graphs.vector("features", 3)], domains=[domain] if domain else [])
    return onnx.load_model_from_string(made)


WRONG: dict[str, tuple[Callable[[], onnx.ModelProto], list[str], str]] = {
    "more columns than its signature": (lambda: with_input([None, 7]), COLUMNS, r"has shape .*7.*3 inputs"),
    "a fixed number of rows": (lambda: with_input([1, 3]), COLUMNS, "takes 1 rows only; leave it open"),
    "texts": (lambda: with_input([None, 3], TensorProto.STRING), COLUMNS, "inputs are float32 or float64"),
    "an operator that is not allowed": (
        lambda: with_operator("Shell", "evil"),
        COLUMNS,
        "domain 'evil' is not allowed",
    ),
    "columns that it does not have": (lambda: columns_graph(["a", "b", "c"]), COLUMNS, "its signature says amount"),
    "a column that nobody computes": (
        lambda: columns_graph([*COLUMNS[:2], "colour"]),
        [*COLUMNS[:2], "colour"],
        r"colour is no input of the pipeline's model.*registry: \{inputs:",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_graph_that_does_not_fit_is_refused_and_nothing_is_stored(
    tmp_path: Path, name: str, contracts: Contracts, store: ModelStore
) -> None:
    """With what to do."""
    made, columns, why = WRONG[name]
    folder = tmp_path / "model"
    save("onnx", logistic_graph(), folder, columns)
    (folder / "model.onnx").write_bytes(made().SerializeToString())
    with pytest.raises(ContractError, match=why):
        added(folder, contracts, store)
    assert store.packages() == []


def test_another_model_in_the_same_directory_is_another_version(
    tmp_path: Path, contracts: Contracts, store: ModelStore
) -> None:
    """What a directory is called decides nothing; the same model again is the same package."""
    folder = save("onnx", logistic_graph(), tmp_path / "model", COLUMNS)
    first = added(folder, contracts, store)
    assert added(folder, contracts, store) == first
    (folder / "model.onnx").write_bytes(graphs.logistic((0.5, 0.1, 0.2)))
    second = added(folder, contracts, store)
    assert first.model != second.model
    assert {one.digest for one in store.packages()} == {first.digest, second.digest}


def test_the_command_says_what_it_understood_or_what_to_write(tmp_path: Path) -> None:
    """Exit code 2 without a pipeline or an address, 3 for what does not fit."""
    terminal = Terminal(tmp_path, {"HEADRACE_HOME": str(tmp_path / "home")})
    folder = save("onnx", logistic_graph(), tmp_path / "my model", COLUMNS)
    code, _, errors = terminal.run("models", "add", folder)
    assert (code, "name it by --pipeline" in errors) == (2, True)
    code, _, errors = terminal.run("models", "add", "runs:/0f3a/model", "-p", CARDS)
    assert (code, "nothing says where MLflow is: give --mlflow URI" in errors) == (2, True)
    code, _, errors = terminal.run("models", "add", "runs:/0f3a", "-p", CARDS)
    assert (code, "write models:/NAME@ALIAS, models:/NAME/VERSION, runs:/RUN/PATH" in errors) == (2, True)
    code, out, errors = terminal.run("models", "add", folder, "-p", CARDS)
    assert code == 0, errors
    assert "flavour onnx" in out
    assert "headrace models register card_fraud@mlflow-saved-" in out
    bare = save("lightgbm", MODELS["lightgbm"](), tmp_path / "bare", None)
    code, out, _ = terminal.run("models", "add", bare, "-p", CARDS)
    assert (code, "logged without a signature" in out, "nothing was stored" in out) == (3, True, True)


def test_a_pickle_that_mlflow_keeps_is_read_only_when_asked_for(
    tmp_path: Path, contracts: Contracts, store: ModelStore
) -> None:
    """As one in a file; what is said on the command line goes before the pipeline file."""
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(TABLE, LABELS)
    folder = save("sklearn", model, tmp_path / "model", COLUMNS, serialization_format="cloudpickle")
    with pytest.raises(ConfigurationError, match=r"keeps model.pkl, a pickle.*say --unpickle"):
        added(folder, contracts, store)
    assert store.packages() == []
    rules = ModelRegistry(names={"amount": "terminal.risk_1d"})
    done = add_model(folder, contracts, store, nobody, Silent(), rules, unpickle=True)
    package = store.package(*done.model.split("@"), done.digest)
    assert package.manifest.input_names == ("terminal.risk_1d", *COLUMNS[1:])


def test_a_directory_that_is_too_large_for_a_model_is_named(
    tmp_path: Path, contracts: Contracts, store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything of it is read."""
    monkeypatch.setattr("headrace.operations.registry.addition.MOST_FILES", 2)
    with pytest.raises(ContractError, match="and no other"):
        added(save("onnx", logistic_graph(), tmp_path / "model", COLUMNS), contracts, store)


def test_a_version_or_run_that_is_not_there_is_said(tmp_path: Path, contracts: Contracts, store: ModelStore) -> None:
    """By a registry that has nothing."""
    registry = MlflowRegistry(f"sqlite:///{tmp_path}/mlflow.db")
    for source in ("models:/fraud/7", "models:/fraud@challenger", "runs:/0f3a/model"):
        found = mlflow_source(source)
        assert found is not None
        with pytest.raises(ConfigurationError, match=r"fraud|0f3a"):
            add_model(found, contracts, store, lambda: registry, Silent())
