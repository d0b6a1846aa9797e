"""What `verify` passes can be played, and what cannot be played does not pass, of packages written by hand."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter

import numpy as np
import pyarrow as pa
import pytest
from onnx import TensorProto, helper, numpy_helper

from headrace.domain.models.checks.verification import verify
from headrace.domain.models.model_loader import Opener, Pass
from headrace.domain.models.package import load
from headrace.domain.models.sessions import SessionSettings
from headrace.domain.models.store import ModelStore
from headrace.domain.plans.plans import Arm
from headrace.errors import HeadraceError
from tests.models import graphs, parts
from tests.models.test_classes import graph as any_graph
from tests.models.test_classes import linear, with_zipmap
from tests.models.test_forest import graph as ensemble
from tests.models.test_forest import grow
from tests.models.test_sessions import flat, named_inputs

TWO = "inputs: [{name: amount}, {name: customer.nb_tx_1d}]"
WIDE = "inputs: [{name: amount, dtype: float64}, {name: customer.nb_tx_1d, dtype: float64}]"
MEMBERS = "inputs: [{name: a@1}, {name: b@1}]"
THREE = "inputs: [{name: amount}, {name: customer.nb_tx_1d}, {name: customer.avg_amount_1d}]"
FOREST = ensemble(grow(np.random.default_rng(3), 4, 8))


def one_input() -> bytes:
    """A graph of one input that is a vector."""
    node = helper.make_node("Sigmoid", ["features"], ["probability"])
    vector = helper.make_tensor_value_info("features", TensorProto.FLOAT, [None])
    output = helper.make_tensor_value_info("probability", TensorProto.FLOAT, [None])
    return graphs.serialise([node], [vector], output=output)


def several_outputs() -> bytes:
    """A forest whose sum is an output of its own, beside the probability."""
    nodes = [
        helper.make_node("TreeEnsembleRegressor", ["features"], ["margin"], domain="ai.onnx.ml", **one_tree()),
        helper.make_node("Sigmoid", ["margin"], ["probability"]),
    ]
    return any_graph(nodes, [graphs.vector("margin"), graphs.vector("probability")])


def one_tree() -> dict[str, object]:
    """A tree over one of two inputs."""
    return {
        "nodes_treeids": [0, 0, 0],
        "nodes_nodeids": [0, 1, 2],
        "nodes_featureids": [0, 0, 0],
        "nodes_values": [0.5, 0.0, 0.0],
        "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"],
        "nodes_truenodeids": [1, 0, 0],
        "nodes_falsenodeids": [2, 0, 0],
        "nodes_missing_value_tracks_true": [0, 0, 0],
        "target_treeids": [0, 0],
        "target_nodeids": [1, 2],
        "target_ids": [0, 0],
        "target_weights": [-2.0, 3.0],
        "n_targets": 1,
    }


def square() -> bytes:
    """A graph that answers a row with a row."""
    return graphs.serialise(
        [helper.make_node("Sigmoid", ["features"], ["probability"])], [graphs.vector("features", 2)]
    )


def cube() -> bytes:
    """A graph that answers a row with a table."""
    axes = numpy_helper.from_array(np.array([2]), "axes")
    nodes = [
        helper.make_node("Sigmoid", ["features"], ["flat"]),
        helper.make_node("Unsqueeze", ["flat", "axes"], ["probability"]),
    ]
    output = helper.make_tensor_value_info("probability", TensorProto.FLOAT, [None, 2, 1])
    return graphs.serialise(nodes, [graphs.vector("features", 2)], [axes], output)


NAMED = {"classlabels_strings": ["fraud", "legit"]}
PACKAGES: dict[str, tuple[str, bytes, bool]] = {
    "as short as can be": (TWO, graphs.logistic(), True),
    "with blanks and comments": (f"# mine\n\n{TWO}   # both\nthreshold:   0.25\n", graphs.logistic(), True),
    "with a key of its own": (f"{TWO}\nauthor: me\n", graphs.logistic(), True),
    "with quotes and other order": (f'output: "probability"\n{TWO}\n', graphs.logistic(), True),
    "a forest": (THREE, FOREST, True),
    "the margin of a forest": (f"{TWO}\noutput: margin", several_outputs(), True),
    "the probability of a forest": (TWO, several_outputs(), True),
    "an input each": (TWO, named_inputs(), True),
    "64 bits": (WIDE, named_inputs(TensorProto.DOUBLE), True),
    "a vector": (TWO, flat(), True),
    "a vector of one input": ("inputs: [{name: amount}]", one_input(), True),
    "named classes": (f"{TWO}\npositive: fraud", any_graph([linear(**NAMED)]), True),
    "maps": (f"{TWO}\npositive: fraud", with_zipmap(), True),
    "a profile of a single value": (f"{TWO}\nreference: {{amount: [3.0]}}", graphs.logistic(), True),
    "an empty profile": (f"{TWO}\nreference: {{amount: []}}", graphs.logistic(), True),
    "a profile beyond 32 bits": (f"{TWO}\nreference: {{amount: [1.0, 1.0e+300]}}", graphs.logistic(), True),
    "classes that nobody named": (TWO, any_graph([linear(**NAMED)]), False),
    "64 bits that are 32": (WIDE, named_inputs(), False),
    "inputs in another order": (f"inputs: [{TWO[29:53]}, {{name: amount}}]", named_inputs(), False),
    "one input too many": (THREE, graphs.logistic(), False),
    "a field that is a text": ("inputs: [{name: amount}, {name: channel}]", graphs.logistic(), False),
    "a field that is not there": ("inputs: [{name: amount}, {name: height}]", graphs.logistic(), False),
    "a view that is not there": ("inputs: [{name: amount}, {name: a.b.c}]", graphs.logistic(), False),
    "another output": (f"{TWO}\noutput: score", graphs.logistic(), False),
    "a row for a row": (TWO, square(), False),
    "a table for a row": (TWO, cube(), False),
    "a model of models": (
        "inputs: [{name: a@1}, {name: b@1}]\nparameters: {members: [x, y]}",
        graphs.logistic(),
        False,
    ),
}


def write(folder: Path, manifest: str, graph: bytes) -> Path:
    """A package by hand."""
    folder.mkdir()
    (folder / "model.onnx").write_bytes(graph)
    (folder / "model.yaml").write_text(f"name: mine\nversion: '1'\n{manifest}\n")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(("manifest", "graph", "sound"), PACKAGES.values(), ids=PACKAGES)
def test_what_passes_is_played(manifest: str, graph: bytes, sound: bool, tmp_path: Path) -> None:
    """A package passes if and only if it can be stored, fetched, opened as a champion and scored with."""
    folder = write(tmp_path / "made", manifest, graph)
    checks = list(verify(folder, features=parts.FEATURES, stacking=False))
    failed = [f"{check.name}: {check.detail}" for check in checks if check.state == "failed"]
    assert (not failed) == sound, failed
    try:
        package = load(folder)
        store = ModelStore(str(tmp_path / "models"), tmp_path / "cache")
        uri = store.put(package)
        opener = Opener(store, SessionSettings(device="cpu", rows=64), pa.schema(parts.FEATURES))
        opened = opener.open(Arm("champion", "mine", "1", package.digest, uri))
        scores = opened.score(
            Pass(parts.features([1.0, None, 3.0, 1e6] * 50, [1, 2, None, 4] * 50).columns, perf_counter)
        )
    except HeadraceError:
        assert not sound
        return
    assert sound
    assert scores.shape == (200,)
    assert np.isfinite(scores).any()


def test_the_identity_is_that_of_the_files(tmp_path: Path) -> None:
    """A package keeps the bytes that somebody wrote, and with them its digest, on its way through a store."""
    folder = write(tmp_path / "made", f"# by hand\n{TWO}", graphs.logistic())
    package = load(folder)
    store = ModelStore(str(tmp_path / "models"), tmp_path / "cache")
    fetched = store.fetch(store.put(package), package.digest)
    assert (fetched / "model.yaml").read_bytes() == (folder / "model.yaml").read_bytes()
    assert load(fetched, package.digest) == package
