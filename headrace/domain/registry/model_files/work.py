"""What the process of a conversion does with a file: reads it, has features feed it, holds the package against it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pyarrow.parquet as pq
from google.protobuf.message import DecodeError

from headrace.domain.models.checks.graph_policy import answer_of
from headrace.domain.models.package import Manifest, pack
from headrace.domain.models.sessions import RUNTIME_VERSION, SessionSettings, answer_as_it_is, open_session
from headrace.domain.registry.model_files.answers import FileAnswer, read_answer, score_output
from headrace.domain.registry.model_files.columns import ColumnKind, FileColumns, Mapped, MatchedColumn, match
from headrace.domain.registry.model_files.graph_inputs import SCORE, FedGraph, fed_by_features, inputs_of
from headrace.domain.registry.model_files.kind import TORCH_KINDS, Kind
from headrace.domain.registry.model_files.libraries import read_library_model
from headrace.domain.registry.model_files.library_model import Asked, LibraryModel
from headrace.domain.registry.model_files.rows import TriedRows, made_up, sampled, with_holes
from headrace.domain.registry.model_files.torch_modules import read_module
from headrace.errors import ContractError

Scores = npt.NDArray[np.float64]
Run = Callable[[npt.NDArray[Any]], Scores]
OWN_GRAPH = "the graph in the file"
PARITY = 1e-5
"""Most that a package may differ from what it was made of, of the largest answer or of 1."""
ELEMENTS: Mapping[ColumnKind, Any] = {"float32": np.float32, "float64": np.float64, "boolean": np.bool_}


@dataclass(frozen=True, slots=True)
class _ReadFile:
    """A model, fed by features, and what it is held against."""

    what: str
    fed: FedGraph
    matched: Sequence[tuple[FileColumns, Sequence[MatchedColumn]]]
    answer: FileAnswer
    per_class: bool
    wanted: Callable[[TriedRows], Scores] | None
    against: str
    libraries: Mapping[str, str]

    @property
    def columns(self) -> list[MatchedColumn]:
        return [column for _, columns in self.matched for column in columns]


def read_file(order: Mapping[str, Any]) -> tuple[bytes, dict[str, Any]]:
    """(graph, what is told of it) of a file; raises ContractError with what does not fit, and the remedy."""
    path = Path(order["file"])
    mapped = Mapped(order["names"], tuple(order["order"]), tuple(order["inputs"]), order["known"], order["usual"])
    classes = None if order["classes"] is None else tuple(order["classes"])
    asked = Asked(order["positive"], bool(order["quantity"]), tuple(order["several"]), classes, order["output"])
    if order["kind"] == "onnx":
        read = _read_onnx(path, mapped, asked)
    elif order["kind"] in TORCH_KINDS:
        read = _read_torch(path, order["kind"], mapped, asked)
    else:
        read = _read_library(read_library_model(path, order["kind"], asked), mapped, asked.several)
    manifest = Manifest(
        name="m",
        version="1",
        inputs=read.fed.inputs,
        output=read.fed.output,
        classes=read.answer.classes if read.per_class else None,
        positive=read.answer.positive if read.per_class else None,
    )
    settings = SessionSettings(executor="onnxruntime", device="cpu", classes=asked.several)
    session = open_session(pack(manifest, read.fed.graph), settings)
    table = None if order["sample"] is None else pq.read_table(order["sample"])
    rows = None if table is None else sampled(table, read.columns, order["expected"])
    proofs, notes = _proofs(read, rows, session.run)
    told = {
        "what": read.what,
        "opset": _opset(read.fed.graph),
        "inputs": [each.model_dump(mode="json") for each in read.fed.inputs],
        "columns": [asdict(column) for column in read.columns],
        "output": read.fed.output,
        "classes": manifest.classes,
        "positive": manifest.positive,
        "answer": asdict(read.answer),
        "strict": list(read.fed.strict),
        "libraries": dict(read.libraries),
        "proofs": proofs,
        "notes": notes,
    }
    return read.fed.graph, told


def _read_onnx(path: Path, mapped: Mapped, asked: Asked) -> _ReadFile:
    try:
        # Tensors beside the graph are taken into it; onnx reads none outside of its directory.
        model = onnx.load(str(path))
    except (ValueError, OSError, DecodeError) as fault:
        raise ContractError(f"{path.name} is no ONNX file that can be read: {str(fault)[:300]}") from None
    return _read_graph(model, mapped, asked)


def _read_torch(path: Path, kind: Kind, mapped: Mapped, asked: Asked) -> _ReadFile:
    (fed,) = match([FileColumns("features", "float32", None)], mapped)
    module = read_module(path, kind, len(fed))
    read = _read_graph(onnx.ModelProto.FromString(module.graph), mapped, asked)
    place = _place(read.answer, asked.several)

    def wanted(rows: TriedRows) -> Scores:
        return module.answer(rows.numbers.astype(np.float32))[:, place]

    libraries = {"torch": module.version, **read.libraries}
    return replace(read, what=f"{module.what} {module.version}", wanted=wanted, against="PyTorch", libraries=libraries)


def _read_graph(model: onnx.ModelProto, mapped: Mapped, asked: Asked) -> _ReadFile:
    whole = model.SerializeToString()
    inputs = inputs_of(model.graph)
    matched = list(zip(inputs, match(inputs, mapped), strict=True))
    chosen = score_output(model.graph, asked.output)
    answer = read_answer(
        model.graph, chosen, asked.classes, asked.positive, quantity=asked.quantity, several=asked.several
    )
    producer = " ".join(each for each in (model.producer_name, model.producer_version.split("\n")[0]) if each)
    place = _place(answer, asked.several)
    fed = fed_by_features(model, chosen, matched)
    tensor = answer_of(onnx.ModelProto.FromString(whole).graph, chosen)

    def wanted(rows: TriedRows) -> Scores:
        found = answer_as_it_is(whole, tensor, _feed(whole, matched, rows)).astype(np.float64)
        return found.reshape(len(rows), -1)[:, place]

    return _ReadFile(
        f"ONNX of {producer}" if producer else "ONNX",
        fed,
        matched,
        answer,
        answer.classes is not None,
        wanted,
        OWN_GRAPH,
        {"onnx": onnx.__version__, "onnxruntime": RUNTIME_VERSION},
    )


def _place(answer: FileAnswer, several: Sequence[str]) -> int | list[int]:
    """The column that is the score, or those of a pipeline's classes, in its order."""
    if answer.positive is not None and answer.classes is not None:
        return answer.classes.index(answer.positive)
    return _places(answer, several) if several else 0


def _places(answer: FileAnswer, several: Sequence[str]) -> list[int]:
    """The columns of a pipeline's classes, in its order."""
    names = list(map(str, answer.classes or ()))
    return [names.index(each) for each in several]


def _feed(
    graph: bytes, matched: Sequence[tuple[FileColumns, Sequence[MatchedColumn]]], rows: TriedRows
) -> dict[str, Any]:
    """The rows as the file's own graph takes them."""
    tensors = {each.name: each.type.tensor_type for each in onnx.ModelProto.FromString(graph).graph.input}
    feed, at = {}, 0
    for given, columns in matched:
        values = [_typed(rows.values[at + place], given.kind) for place in range(len(columns))]
        at += len(columns)
        joined = np.column_stack(values)
        if given.kind == "integer":
            joined = joined.astype(onnx.helper.tensor_dtype_to_np_dtype(tensors[given.name].elem_type))
        feed[given.name] = joined[:, 0] if len(tensors[given.name].shape.dim) == 1 else joined
    return feed


def _typed(values: Any, kind: ColumnKind) -> npt.NDArray[Any]:
    if kind == "text":
        return np.array(["" if text is None else text for text in values.to_pylist()], object)
    return np.asarray(values, ELEMENTS.get(kind, np.float64))


def _read_library(found: LibraryModel, mapped: Mapped, several: tuple[str, ...]) -> _ReadFile:
    inputs = list(found.inputs)
    if not inputs[0].names:  # a column each, whose kind is that of what feeds it, or a matrix of numbers
        fed = {each.name: mapped.known.get(mapped.feature(each.name) or each.name) for each in inputs}
        inputs = [replace(each, kind="text") if fed[each.name] == "text" else each for each in inputs]
    pairs = match(inputs, mapped)
    graph, output = found.graph([column.kind for columns in pairs for column in columns])
    model = onnx.ModelProto.FromString(graph)
    matched = list(zip(inputs_of(model.graph), pairs, strict=True))
    score = found.score
    if several and score is not None:
        score = _ordered(score, _places(found.answer, several))
    return _ReadFile(
        " ".join((found.what, *found.library[:1], found.library[1])).strip(),
        fed_by_features(model, output, matched, found.levels),
        matched,
        found.answer,
        found.per_class,
        score,
        found.library[0] if found.score is not None else found.unproven,
        {found.library[0]: found.library[1], "onnx": onnx.__version__, "onnxruntime": RUNTIME_VERSION},
    )


def _ordered(score: Callable[[TriedRows], Scores], places: list[int]) -> Callable[[TriedRows], Scores]:
    """A library's answers with their columns in another order."""
    return lambda rows: score(rows)[:, places]


def _opset(graph: bytes) -> dict[str, int]:
    """Version of each set of operators."""
    return {each.domain or "ai.onnx": int(each.version) for each in onnx.ModelProto.FromString(graph).opset_import}


def _proofs(read: _ReadFile, sample: TriedRows | None, run: Run) -> tuple[list[dict[str, Any]], list[str]]:
    """What the package was held against, and what could not be proven. ContractError: it differs."""
    proofs, notes = [], []
    rows = sample or made_up(read.fed.graph, read.fed.inputs, read.columns, read.fed.strict)
    if read.wanted is None:
        notes.append(f"it could not be held against its library: {read.against}")
    else:
        wanted = read.wanted
        try:  # Of a sample, too: its rows may lack nothing, and events will.
            holes = _proof(read, with_holes(rows, read.columns), run, wanted, read.against)
            proofs = [holes] if sample is None else []
        except ValueError:
            notes.append(
                f"{read.against} refuses rows with missing values, the graph does not: give them a value in the "
                "pipeline file (missing: 0 in a view), or a rule that rejects them"
            )
        try:
            proofs = proofs or [_proof(read, rows, run, wanted, read.against)]
        except ValueError as fault:
            raise ContractError(f"{read.against} does not answer these rows: {str(fault)[:300]}") from None
    if sample is not None and sample.expected is not None:
        proofs.append(_proof(read, sample, run, lambda kept: kept.expected, "the answers in the sample"))
    elif read.against == OWN_GRAPH:
        notes.append(
            "an ONNX file does not hold the library that made it, so nothing compares with that: give a sample with "
            "its answers (--sample FILE --expected COLUMN)"
        )
    return proofs, notes


def _proof(
    read: _ReadFile, rows: TriedRows, run: Run, wanted: Callable[[TriedRows], Any], against: str
) -> dict[str, Any]:
    answers = run(rows.matrix(read.fed.inputs))
    unknown = np.asarray(np.isnan(answers.reshape(len(rows), -1)).any(axis=1), np.bool_)
    kept = ~unknown if read.fed.output == SCORE else np.ones(len(rows), np.bool_)
    if not kept.any():
        raise ContractError(
            f"none of the {len(rows):,} rows of the sample gets an answer: they hold categories that it does not know, "
            "or null where it takes integers"
        )
    those = rows.kept(kept)
    told = np.asarray(wanted(those), np.float64)
    found = answers[kept]
    if told.shape != found.shape:
        raise ContractError(
            f"{against} has {_columns(told)} a row, and the model {_columns(found)}: name a column of the sample for "
            "each of the pipeline's classes, in its order: --expected A,B,C"
        )
    gaps = np.abs(found - told)
    gaps[np.isnan(found) & np.isnan(told)] = 0
    limit = PARITY * max(1.0, float(np.nanmax(np.abs(told), initial=0)))
    at = np.unravel_index(int(np.argmax(np.where(np.isnan(gaps), np.inf, gaps))), gaps.shape)
    if not gaps[at] <= limit:
        raise ContractError(
            f"what is made of it differs from {against} by {gaps[at]:.2g} on {len(those):,} rows (row "
            f"{int(np.flatnonzero(kept)[at[0]]) + 1}: {found[at]:.7g} for {told[at]:.7g}); {limit:.1g} "
            "is allowed: a package is fed 32-bit numbers, so fit it on such, or convert it to ONNX of 64 bits "
            "(DoubleTensorType) and add that"
            + ("" if rows.sample else "; made-up rows lie at thresholds of trees, --sample FILE compares on yours")
            + ("; some values of these rows were taken out" if rows.holes else "")
        )
    return {
        "against": against,
        "worst": float(gaps[at]),
        "rows": len(those),
        "unanswered": int((~kept).sum()),
        "sample": rows.sample,
    }


def _columns(answers: Scores) -> str:
    count = 1 if answers.ndim == 1 else answers.shape[1]
    return "one answer" if count == 1 else f"{count} answers"
