"""Sessions: every shape of graph gives one score a row."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from headrace.domain.models import sessions
from headrace.domain.models.batch_tuning import InnerBatch, tune
from headrace.domain.models.package import Input, ModelPackage, pack
from headrace.domain.models.sessions import SessionSettings, open_session
from headrace.errors import ConfigurationError, ContractError
from tests.models import graphs

SETTINGS = SessionSettings(device="cpu")


def expected(matrix: np.ndarray) -> np.ndarray:
    """What `graphs.logistic` computes."""
    return 1 / (1 + np.exp(-matrix.astype(np.float64) @ np.array(graphs.WEIGHTS)))


def named_inputs(kind: int = TensorProto.FLOAT) -> bytes:
    """The logistic model with one [n, 1] tensor per input."""
    dtype = np.float64 if kind == TensorProto.DOUBLE else np.float32
    weights = [numpy_helper.from_array(np.array([w], dtype), f"w{i}") for i, w in enumerate(graphs.WEIGHTS)]
    nodes = [helper.make_node("Mul", [name, f"w{i}"], [f"m{i}"]) for i, name in enumerate(graphs.NAMES)]
    nodes += [
        helper.make_node("Add", ["m0", "m1"], ["margin"]),
        helper.make_node("Sigmoid", ["margin"], ["probability"]),
    ]
    inputs = [graphs.vector(name, 1, kind) for name in graphs.NAMES]
    return graphs.serialise(nodes, inputs, weights, graphs.vector("probability", 1, kind))


def two_columns() -> bytes:
    """A classifier as converters write it: probabilities of both classes."""
    node = helper.make_node(
        "LinearClassifier",
        ["features"],
        ["label", "probability"],
        domain="ai.onnx.ml",
        coefficients=[-w for w in graphs.WEIGHTS] + list(graphs.WEIGHTS),
        intercepts=[0.0, 0.0],
        classlabels_ints=[0, 1],
        post_transform="LOGISTIC",
    )
    return graphs.serialise([node], [graphs.vector("features", 2)], output=graphs.vector("probability", 2))


def flat() -> bytes:
    """The logistic model answering a vector [n]."""
    nodes = [
        helper.make_node("MatMul", ["features", "w"], ["margin"]),
        helper.make_node("Sigmoid", ["margin"], ["probability"]),
    ]
    w = numpy_helper.from_array(np.array(graphs.WEIGHTS, np.float32), "w")
    output = helper.make_tensor_value_info("probability", TensorProto.FLOAT, [None])
    return graphs.serialise(nodes, [graphs.vector("features", 2)], [w], output)


@pytest.mark.parametrize("graph", [graphs.logistic(), named_inputs(), two_columns(), flat()])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("rows", [0, 1, 17, 5000])
def test_scores(graph: bytes, order: str, rows: int) -> None:
    """One float64 score a row, in order, for any number of rows and any memory layout."""
    matrix = np.random.default_rng(1).normal(size=(rows, 2)).astype(np.float32, order=order)
    scores = open_session(pack(graphs.manifest(), graph), SETTINGS).run(matrix)
    assert scores.dtype == np.float64
    np.testing.assert_allclose(scores, expected(matrix), rtol=1e-5)


def test_double_inputs() -> None:
    """A graph of 64-bit inputs is fed 64 bits."""
    inputs = [Input(name=n, dtype="float64") for n in graphs.NAMES]
    package = pack(graphs.manifest().model_copy(update={"inputs": tuple(inputs)}), named_inputs(TensorProto.DOUBLE))
    matrix = np.random.default_rng(1).normal(size=(10, 2))
    np.testing.assert_allclose(open_session(package, SETTINGS).run(matrix), expected(matrix), rtol=1e-12)


def mismatched(update: dict[str, object]) -> ModelPackage:
    """A named-inputs graph under a manifest that says something else."""
    return pack(graphs.manifest().model_copy(update=update), named_inputs())


@pytest.mark.parametrize(
    ("update", "both"),
    [
        ({"inputs": (Input(name="customer.nb_tx_1d"), Input(name="amount"))}, r"'amount'.*model\.yaml says"),
        ({"inputs": (Input(name="amount", dtype="float64"), Input(name="customer.nb_tx_1d"))}, "FLOAT.*float64"),
        ({"inputs": (Input(name="amount"),)}, r"takes .*model\.yaml says"),
        ({"output": "score"}, "probability.*'score'"),
    ],
)
def test_mismatch(update: dict[str, object], both: str) -> None:
    """A graph that differs from its manifest in order, dtype, number or output is refused, naming both sides."""
    with pytest.raises(ContractError, match=both):
        open_session(mismatched(update), SETTINGS)


def test_width() -> None:
    """A single tensor of another width than the manifest's inputs is refused."""
    with pytest.raises(ContractError, match=r"3.*2 inputs"):
        open_session(pack(graphs.manifest(), graphs.logistic((1, 2, 3))), SETTINGS)


def test_wrong_output_shape() -> None:
    """An output that is no row of columns for each row is no probability."""
    nodes = [helper.make_node("Concat", ["features", "features", "features"], ["probability"], axis=0)]
    with pytest.raises(ContractError, match=r"\(9, 2\)"):
        open_session(pack(graphs.manifest(), graphs.serialise(nodes, [graphs.vector("features", 2)])), SETTINGS)


def test_cuda_insisted_on() -> None:
    """Asking for CUDA where there is none is a configuration error with the remedy."""
    if "CUDAExecutionProvider" in ort.get_available_providers():
        pytest.skip("this ONNX Runtime has the CUDA provider")
    with pytest.raises(ConfigurationError, match="extra `gpu`"):
        open_session(graphs.package(), SessionSettings(device="cuda"))


def test_every_error_of_the_library_is_mapped() -> None:
    """ONNX Runtime has no error class that the door would let through untranslated."""
    state = ort.capi.onnxruntime_pybind11_state
    kinds = {k for k in vars(state).values() if isinstance(k, type) and issubclass(k, Exception)}
    assert kinds == set(sessions._RUNTIME_ERRORS)


class Clock:
    """Seconds that pass as told."""

    now = 0.0

    def __call__(self) -> float:
        """The time."""
        return self.now


@pytest.mark.parametrize(
    ("per_call", "per_row", "longest", "rows"),
    [
        (0.0, 1e-6, 1.0, 16),  # no cost of a call: the smallest batch is as good as any
        (1e-3, 1e-6, 1.0, 4096),  # a dear call: the larger the better
        (1e-5, 1e-6, 1.0, 256),  # 5% above the best is reached at 256
        (1e-4, 1e-6, 1e-3, 512),  # ... but one call may take a millisecond only
        (1.0, 1e-6, 1e-3, 16),  # nothing fits: the smallest is taken all the same
    ],
)
def test_tuning(per_call: float, per_row: float, longest: float, rows: int) -> None:
    """The smallest batch within 5% of the best time per row is chosen, within the longest call allowed."""
    clock = Clock()

    def run(n: int) -> None:
        clock.now += per_call + n * per_row

    found = tune(run, clock, budget=10.0, longest_call=longest)
    assert found.rows == rows
    assert found.seconds_per_row == pytest.approx(per_row + per_call / rows)


def test_tuning_is_bounded() -> None:
    """Tuning keeps its budget but for the call under way."""
    clock = Clock()

    def run(n: int) -> None:
        clock.now += n * 1e-4

    tune(run, clock, budget=0.15, longest_call=1.0)
    assert clock.now < 0.15 + 0.1 + 0.0016


def test_rows_within() -> None:
    """How many rows fit into a time follows from the cost of one; at least one always does."""
    assert InnerBatch(256, 1e-6).rows_within(0.01) == 10_000
    assert InnerBatch(256, 1e-6).rows_within(0) == 1
