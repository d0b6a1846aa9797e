"""What the process of a conversion does: reads the model, makes the graph, holds it against the library."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError

from headrace.domain.models.package import Input, Manifest, pack
from headrace.domain.models.positive_class import MANY
from headrace.domain.models.sessions import RUNTIME_VERSION, SessionSettings, open_session
from headrace.domain.registry.conversion import ANSWER, GRAPH, ORDER
from headrace.domain.registry.estimators import Estimator, check_columns, check_positive, read_estimator, trial_rows
from headrace.domain.registry.jail import limit
from headrace.domain.registry.logged_model import LoggedModel
from headrace.domain.registry.model_files.answers import score_output
from headrace.domain.registry.model_files.kind import TORCH_KINDS
from headrace.domain.registry.model_files.work import read_file
from headrace.domain.training.graphs import CLASSES, OUTPUT
from headrace.domain.training.model_build import PARITY
from headrace.errors import ContractError

ROWS = 2_000
LARGEST_FILE = 512 << 20
FLOATS: dict[Any, str] = {onnx.TensorProto.FLOAT: "float32", onnx.TensorProto.DOUBLE: "float64"}


def carry_out(own: Path, problems: Sequence[str]) -> None:
    """Do what the order in a directory says, and leave the graph and an answer there.

    `problems`: what this process could not give up.
    """
    order = json.loads((own / ORDER).read_bytes())
    with contextlib.suppress(ModuleNotFoundError):
        import sklearn  # noqa: F401  # before memory is counted: libraries are no part of what a model takes
    if order.get("kind") in TORCH_KINDS:
        with contextlib.suppress(ModuleNotFoundError):
            import torch  # noqa: F401  # likewise
    limits = order["limits"]
    more = limit(limits["memory"], limits["cpu_s"], LARGEST_FILE)
    try:
        if "file" in order:
            graph, told = read_file(order)
            foreign = order["kind"] != "onnx"
        else:
            logged = LoggedModel(**{**order["logged"], "signature": None})
            graph, told = _converted(
                Path(order["folder"]), logged, order["columns"], order["features"], order["positive"]
            )
            foreign = logged.flavour != "onnx"
        if foreign:
            told["notes"] = [*told["notes"], *_freedom([*problems, *more])]
        (own / GRAPH).write_bytes(graph)
    except ContractError as refusal:
        told = {"refused": str(refusal)}
    except MemoryError:
        told = {"refused": f"reading and converting it takes more than {limits['memory'] >> 20:,} MiB"}
    (own / ANSWER).write_text(json.dumps(told))


def _freedom(problems: Sequence[str]) -> list[str]:
    return [f"while it was read and converted {each}" for each in problems]


def _converted(
    folder: Path, logged: LoggedModel, columns: Sequence[str], features: Sequence[str], positive: Any
) -> tuple[bytes, dict[str, Any]]:
    if logged.flavour == "onnx":
        return _onnx(folder / logged.file, columns, features)
    found = read_estimator(folder, logged)
    if onnx.ModelProto.FromString(found.graph).graph.output[0].name == CLASSES:
        raise ContractError(f"it tells more than two classes, and {MANY}")
    if found.width != len(features):
        raise ContractError(f"it takes {found.width} columns, and its signature has {len(features)}")
    check_columns(found.columns, columns)
    check_positive(found.classes, positive)
    notes = []
    name, here = found.library
    if logged.library and logged.library != here:
        notes.append(f"it was saved by {name} {logged.library} and read by {here}")
    worst, missing = _parity(found, features)
    if not missing:
        notes.append(
            f"{name} refuses rows with missing values, the graph does not: give them a value in the pipeline file "
            "(missing: 0 in a view), or a rule that rejects them"
        )
    told = {
        "dtype": "float32",
        "output": OUTPUT,
        "libraries": {name: here, "onnx": onnx.__version__, "onnxruntime": RUNTIME_VERSION},
        "notes": notes,
        "parity": worst,
        "rows": ROWS,
    }
    return found.graph, told


def _parity(found: Estimator, features: Sequence[str]) -> tuple[float, bool]:
    """(largest difference between graph and library, whether the library takes rows with missing values).

    Raises ContractError where they differ by more than is allowed.
    """
    rows = trial_rows(found.graph, found.width, ROWS)
    holes = rows.copy()
    holes[np.random.default_rng(1).random(rows.shape) < 0.02] = np.nan
    missing = True
    try:
        wanted = found.score(holes)
        rows = holes
    except ValueError:
        missing = False
        wanted = found.score(rows)
    manifest = Manifest(name="m", version="1", inputs=tuple(Input(name=name) for name in features))
    session = open_session(pack(manifest, found.graph), SessionSettings(executor="onnxruntime", device="cpu"))
    scores = session.run(np.asfortranarray(rows))
    worst = float(np.abs(scores - wanted).max())
    if not worst <= PARITY:
        raise ContractError(
            f"the graph made of it differs from its library by {worst:.2g} on {ROWS:,} rows; {PARITY:g} is allowed"
        )
    return worst, missing


def _onnx(path: Path, columns: Sequence[str], features: Sequence[str]) -> tuple[bytes, dict[str, Any]]:
    """A graph as it is, in one file, with its inputs called as their features where it has one a column."""
    try:
        # Tensors that MLflow keeps beside the graph are taken into it; onnx reads none outside of its directory.
        model = onnx.load(str(path))
    except (ValueError, OSError, DecodeError) as fault:
        raise ContractError(f"{path.name} is no ONNX file that can be read: {str(fault)[:300]}") from None
    graph = model.graph
    known = {tensor.name for tensor in graph.initializer}
    inputs = [each for each in graph.input if each.name not in known]
    kinds = {each.type.tensor_type.elem_type for each in inputs}
    if len(kinds) != 1 or not kinds <= set(FLOATS):
        names = ", ".join(onnx.TensorProto.DataType.Name(kind) for kind in sorted(kinds))
        raise ContractError(
            f"its graph takes {names}; inputs are float32 or float64, all of one kind: convert it with "
            "initial_types=[('X', FloatTensorType([None, inputs]))]"
        )
    if len(inputs) > 1:
        _rename(graph, inputs, columns, features)
    told: dict[str, Any] = {
        "dtype": FLOATS[next(iter(kinds))],
        "output": score_output(graph, None),
        "libraries": {"onnx": onnx.__version__, "onnxruntime": RUNTIME_VERSION},
        "notes": [],
        "parity": None,
        "rows": 0,
    }
    return model.SerializeToString(), told


def _rename(graph: onnx.GraphProto, inputs: Sequence[Any], columns: Sequence[str], features: Sequence[str]) -> None:
    names = [each.name for each in inputs]
    if columns and sorted(names) != sorted(columns):
        raise ContractError(f"its graph takes {', '.join(names)}, and its signature says {', '.join(columns)}")
    if columns and names != list(columns):
        raise ContractError("its graph takes its columns in another order than its signature has: log it with theirs")
    if len(names) != len(features):
        raise ContractError(f"its graph takes {len(names)} columns, and its signature has {len(features)}")
    new = dict(zip(names, features, strict=True))
    taken = {name for node in graph.node for name in node.output} | {each.name for each in graph.initializer}
    if clash := sorted(taken & set(features)):
        raise ContractError(f"tensors inside of its graph are called as features are: {', '.join(clash)}")
    for each in inputs:
        each.name = new[each.name]
    for node in graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = new.get(name, name)
