"""The one door to ONNX Runtime.

A session takes a matrix of features and gives one score a row, or one for each class. Whether the graph wants one
tensor or one per input, 32 or 64 bits, and where which probability stands in its output, is settled when the session is
opened.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort

from headrace.domain.models import positive_class as classes
from headrace.domain.models.batch_tuning import SIZES, InnerBatch, tune
from headrace.domain.models.checks.graph_policy import inspect
from headrace.domain.models.forest import Forest, read
from headrace.domain.models.package import ModelPackage
from headrace.errors import ConfigurationError, ContractError, OutOfMemory

PARITY = 1e-6  # largest difference between a forest and ONNX Runtime, whose sums are 32 bits wide

Matrix = npt.NDArray[np.float32] | npt.NDArray[np.float64]
RUNTIME_VERSION: str = ort.__version__  # under either distribution name, onnxruntime or onnxruntime-gpu

Scores = npt.NDArray[np.float64]
"""[n], or [n, classes] of a model of several classes."""


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """How models are run.

    Attributes:
        device: `cuda` insists on the CUDA provider (extra `gpu`), `auto` takes it where it helps, `cpu` never does.
        threads: of one session, or of an ensemble's sessions together; members of a group are the way to more cores.
        spinning: whether idle threads burn CPU for a shorter wake-up.
        longest_call: seconds that one call may take; the model's share of the pipeline's latency target.
        rows: of one call; 0 finds the best by measuring.
        executor: `forest` insists on scoring a plain forest by `forest`, `auto` does so where the model is one and the
            answers agree with ONNX Runtime's, `onnxruntime` never does.
        classes: of the pipeline, where it has several: each gets a score, in this order.
    """

    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int = 1
    spinning: bool = False
    longest_call: float = 0.01
    rows: int = 0
    executor: Literal["auto", "onnxruntime", "forest"] = "auto"
    classes: tuple[str, ...] = ()


class Session(Protocol):
    """A model, loaded and warm."""

    batch: InnerBatch
    """What tuning found: the inner batch and its cost."""

    def run(self, matrix: Matrix) -> Scores:
        """Scores of a [n, inputs] matrix, float64 [n], in order, or [n, classes]; NaN stands for a missing value."""


def open_session(package: ModelPackage, settings: SessionSettings) -> Session:
    """Check the package's graph, load and warm it.

    Which executor a model gets follows from the model and the settings alone, not from a measurement: all members of a
    group give the same bits, and so does one that starts again.

    Raises:
        ContractError: the graph is not allowed (`admission`), does not load, or does not give one score a row, or one
            for each of the classes.
        ConfigurationError: `device: cuda` without the provider.
    """
    model = inspect(package)
    if settings.executor != "onnxruntime" and settings.device != "cuda" and not settings.classes:
        forest = read(model)
        if forest is not None and _agrees(forest, package):
            return ForestSession(forest, package, settings)
    if settings.executor == "forest":
        raise ContractError(f"{package.title} is no plain forest of small trees, or differs as one; use executor auto")
    has_trees = any(node.op_type.startswith("TreeEnsemble") for node in model.graph.node)
    return OnnxSession(package, settings, cuda_helps=not has_trees)


class ForestSession:
    """A session of `forest`."""

    def __init__(self, forest: Forest, package: ModelPackage, settings: SessionSettings) -> None:
        self._forest = forest
        self.batch = measured(forest.score, package, settings)

    def run(self, matrix: Matrix) -> Scores:
        """Scores of a [n, inputs] matrix; see `Session.run`. The forest cuts it into blocks by itself."""
        return self._forest.score(matrix.astype(np.float32, copy=False))


def _agrees(forest: Forest, package: ModelPackage) -> bool:
    rows = package.sample(1024)
    reference = OnnxSession(package, SessionSettings(device="cpu", rows=len(rows)))
    return bool(np.abs(forest.score(rows) - reference.run(rows)).max() <= PARITY)


def measured(
    score: Callable[[npt.NDArray[np.float32]], object], package: ModelPackage, settings: SessionSettings
) -> InnerBatch:
    """The inner batch that the settings name, or the best that is found within a sixth of a second."""
    if settings.rows:
        return InnerBatch(settings.rows, 0.0)
    sample = package.sample(2 * SIZES[-1])
    place = 0

    def run(rows: int) -> None:
        # Other rows every time: a processor learns the branches of a few dozen rows by heart and looks twice as fast.
        nonlocal place
        place = place + rows if place + 2 * rows <= len(sample) else 0
        score(sample[place : place + rows])

    return tune(run, time.perf_counter, longest_call=settings.longest_call)


class OnnxSession:
    """A session of ONNX Runtime.

    Args:
        package: an admitted package.
        settings: see `SessionSettings`.
        cuda_helps: False for tree ensembles, which have no CUDA kernel: `auto` then stays on the CPU, where it would
            otherwise copy rows to the device and back for nothing.

    Attributes:
        columns: of the graph's output.
    """

    def __init__(self, package: ModelPackage, settings: SessionSettings, *, cuda_helps: bool = True) -> None:
        self._title = package.title
        self._session = _load(package, _providers(settings.device, cuda_helps), settings)
        self._dtype = np.dtype(package.manifest.inputs[0].dtype)
        self._output = self._session.get_outputs()[0].name
        self._width = len(package.manifest.inputs)
        inputs = self._session.get_inputs()
        self._names = [i.name for i in inputs]
        self._flat = [len(i.shape) == 1 for i in inputs]
        self._dtypes = [np.dtype(i.dtype) for i in package.manifest.inputs]
        first = self._answer(package.sample(3))
        self._pick = _column(first, 3, package, settings.classes)
        self._shape = (len(settings.classes),) if settings.classes else ()
        self.columns = 1 if self._pick is None else first.shape[1]
        self.batch = measured(self._answer, package, settings)

    @property
    def on_cpu(self) -> bool:
        """Whether it runs on the processor."""
        return bool(self._session.get_providers()[0] == "CPUExecutionProvider")

    @property
    def place(self) -> int:
        """The column that is the score, from 0; of several classes, that of the first."""
        return 0 if self._pick is None else int(np.ravel(self._pick)[0])

    def run(self, matrix: Matrix) -> Scores:
        """Scores of a [n, inputs] matrix in inner batches; see `Session.run`."""
        scores = np.empty((len(matrix), *self._shape), dtype=np.float64)
        step = self.batch.rows
        for start in range(0, len(matrix), step):
            answer = self._answer(matrix[start : start + step])
            rows = len(scores[start : start + step])
            if answer.shape != ((rows,) if self._pick is None else (rows, self.columns)):
                raise ContractError(f"{self._title} does not give one score a row: {answer.shape} for {rows} rows")
            scores[start : start + step] = answer if self._pick is None else answer[:, self._pick]
        return scores

    def _answer(self, rows: Matrix) -> npt.NDArray[np.floating]:
        feed: dict[str, npt.NDArray[np.floating]]
        if len(self._names) == 1:
            tensor = np.ascontiguousarray(rows, dtype=self._dtype)
            feed = {self._names[0]: tensor[:, 0] if self._flat[0] else tensor}
        else:
            feed = {}
            for column, (name, flat, dtype) in enumerate(zip(self._names, self._flat, self._dtypes, strict=True)):
                values = np.ascontiguousarray(rows[:, column], dtype=dtype)
                feed[name] = values if flat else values[:, None]
        try:
            answer: npt.NDArray[np.floating] = self._session.run([self._output], feed)[0]
        except _RUNTIME_ERRORS as error:
            said = f"{self._title} does not run: {_first_line(error)}"
            raise (OutOfMemory(said) if _wants_memory(error) else ContractError(said)) from error
        return answer


def answer_as_it_is(graph: bytes, tensor: str, feed: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """What a graph of others answers, in the form that its converter gave it, with its texts and integers.

    Args:
        graph: ONNX.
        tensor: which of its tensors is wanted.
        feed: of its inputs.

    Raises:
        ContractError: it does not load or run.
    """
    model = onnx.ModelProto.FromString(graph)
    if tensor not in [each.name for each in model.graph.output]:
        model.graph.output.append(onnx.ValueInfoProto(name=tensor))
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        found: npt.NDArray[Any] = session.run([tensor], dict(feed))[0]
    except _RUNTIME_ERRORS as error:
        raise ContractError(f"the graph does not run: {_first_line(error)}") from error
    return found


def _load(package: ModelPackage, providers: list[str], settings: SessionSettings) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = settings.threads
    options.log_severity_level = 3
    for pool in ("intra_op", "inter_op"):
        options.add_session_config_entry(f"session.{pool}.allow_spinning", "1" if settings.spinning else "0")
    try:
        return ort.InferenceSession(inspect(package).SerializeToString(), options, providers=providers)
    except _RUNTIME_ERRORS as error:
        raise ContractError(f"{package.title} does not load: {_first_line(error)}") from error


def _providers(device: str, cuda_helps: bool) -> list[str]:
    present = "CUDAExecutionProvider" in ort.get_available_providers()
    if device == "cuda" and not present:
        raise ConfigurationError("device: cuda, but ONNX Runtime has no CUDA provider; install the extra `gpu`")
    wanted = device == "cuda" or (device == "auto" and present and cuda_helps)
    return [*(["CUDAExecutionProvider"] if wanted else []), "CPUExecutionProvider"]


def _column(
    answer: object, rows: int, package: ModelPackage, wanted: tuple[str, ...]
) -> int | npt.NDArray[np.int64] | None:
    """Which column of the output is the positive class, or which are the classes wanted; None for a vector."""
    title = package.title
    if not isinstance(answer, np.ndarray) or answer.dtype.kind != "f":
        raise ContractError(
            f"{title}: the output {package.manifest.output} is {_kind(answer)}; name the one that holds probabilities"
        )
    if answer.shape == (rows,) and not wanted:
        return None
    if answer.ndim != 2 or len(answer) != rows or not answer.shape[1]:
        raise ContractError(f"{title} answers shape {answer.shape} for {rows} rows; expected [n] or [n, classes]")
    width = answer.shape[1]
    if wanted:
        return classes.columns(package, width, wanted)
    if width > 1 or package.manifest.classes is not None:
        return classes.column(package, width)
    return 0


def _kind(answer: object) -> str:
    return f"a tensor of {answer.dtype}" if isinstance(answer, np.ndarray) else f"no tensor ({type(answer).__name__})"


def _wants_memory(error: Exception) -> bool:
    """ONNX Runtime has no error of its own for it."""
    return any(word in str(error) for word in ("Failed to allocate memory", "bad_alloc", "bad allocation"))


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


_STATE = ort.capi.onnxruntime_pybind11_state
_RUNTIME_ERRORS = (
    _STATE.DeviceReset,
    _STATE.EPFail,
    _STATE.EngineError,
    _STATE.Fail,
    _STATE.InvalidArgument,
    _STATE.InvalidGraph,
    _STATE.InvalidProtobuf,
    _STATE.ModelLoadCanceled,
    _STATE.ModelLoaded,
    _STATE.ModelRequiresCompilation,
    _STATE.NoModel,
    _STATE.NoSuchFile,
    _STATE.NotFound,
    _STATE.NotImplemented,
    _STATE.RuntimeException,
)
