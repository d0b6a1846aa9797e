"""What a model that MLflow keeps says of itself: its file `MLmodel`, read as plain data.

Reference:
    MLflow, model format and signatures: https://mlflow.org/docs/latest/ml/model/
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from headrace.domain.models import plain_yaml
from headrace.errors import ContractError

MLMODEL = "MLmodel"
FLAVOURS = ("onnx", "lightgbm", "xgboost", "sklearn")
"""Those that are understood, the one that needs the least to be read first."""
_FILE = {"onnx": "data", "lightgbm": "data", "xgboost": "data", "sklearn": "pickled_model"}
NUMBERS = ("double", "float", "integer", "long", "boolean")
"""Types of a signature's columns that a number can feed."""


@dataclass(frozen=True, slots=True)
class SignatureColumn:
    """A column of a signature; `type` as MLflow has it, such as `double`."""

    name: str
    type: str
    required: bool = True


@dataclass(frozen=True, slots=True)
class ModelSignature:
    """What a model takes: columns with names in their order, or a tensor of so many columns without; else neither.

    Attributes:
        columns: empty for a tensor.
        width: of a tensor; None where it is open, or the model takes columns.
        dtype: of a tensor.
    """

    columns: tuple[SignatureColumn, ...] = ()
    width: int | None = None
    dtype: str | None = None


@dataclass(frozen=True, slots=True)
class LoggedModel:
    """A model as MLflow keeps it.

    Attributes:
        flavour: of `FLAVOURS`, the one that is read.
        file: of that flavour, relative to the model's directory.
        form: how the file is written, as MLflow says (`skops`, `cloudpickle`, `pickle`); empty where it does not.
        library: version of the flavour's library that it was saved by; empty where it does not say.
        kind: class of the object, such as `lightgbm.sklearn.LGBMClassifier`; empty where it does not say.
        signature: None where it was logged without.
        mlflow_version, run, model_id, created: as it says.
    """

    flavour: str
    file: str
    form: str
    library: str
    kind: str
    signature: ModelSignature | None
    mlflow_version: str = ""
    run: str = ""
    model_id: str = ""
    created: str = ""


def read_logged(folder: Path) -> LoggedModel:
    """What the model in a directory says of itself.

    Raises:
        ContractError: there is no `MLmodel`, it does not hold, or none of its flavours is understood; with the remedy.
    """
    path = folder / MLMODEL
    try:
        text = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise ContractError(f"{folder} is no model of MLflow: {MLMODEL} is missing") from None
    said = plain_yaml.read(text, MLMODEL)
    if not isinstance(said, Mapping) or not isinstance(said.get("flavors"), Mapping):
        raise ContractError(f"{MLMODEL} names no flavors: log the model anew by mlflow.<library>.log_model")
    flavours = said["flavors"]
    flavour = next((name for name in FLAVOURS if isinstance(flavours.get(name), Mapping)), None)
    if flavour is None:
        there = ", ".join(sorted(map(str, flavours))) or "none"
        raise ContractError(
            f"its flavours are {there}; understood are {', '.join(FLAVOURS)}: convert it to ONNX and log that by "
            "mlflow.onnx.log_model"
        )
    told = flavours[flavour]
    file = str(told.get(_FILE[flavour]) or told.get("data") or "")
    if not file or PurePosixPath(file).is_absolute() or ".." in PurePosixPath(file).parts:
        raise ContractError(f"{MLMODEL} names no file of flavour {flavour}: log the model anew")
    if not (folder / file).is_file():
        raise ContractError(f"{MLMODEL} names the file {file}, which is not there: log the model anew")
    short = {"onnx": "onnx", "lightgbm": "lgb", "xgboost": "xgb", "sklearn": "sklearn"}[flavour]
    return LoggedModel(
        flavour,
        file,
        str(told.get("serialization_format") or told.get("model_format") or ""),
        str(told.get(f"{short}_version") or ""),
        str(told.get("model_class") or ""),
        _signature(said.get("signature")),
        *(str(said.get(name) or "") for name in ("mlflow_version", "run_id", "model_id", "utc_time_created")),
    )


def pickle_in(folder: Path) -> str | None:
    """The file of a model in a directory that has to be unpickled; None: none has. Raises as `read_logged`."""
    logged = read_logged(folder)
    native = logged.flavour == "onnx" or PurePosixPath(logged.file).suffix in (".lgb", ".txt", ".json", ".ubj", ".xgb")
    return None if native or logged.form == "skops" or logged.file.endswith(".skops") else logged.file


def _signature(said: Any) -> ModelSignature | None:
    """What its `inputs`, a text of JSON, say."""
    if not isinstance(said, Mapping) or not said.get("inputs"):
        return None
    try:
        inputs = json.loads(said["inputs"])
    except (TypeError, ValueError):
        raise ContractError(f"{MLMODEL}: signature.inputs is no JSON: log the model anew with a signature") from None
    if not isinstance(inputs, list) or not all(isinstance(each, Mapping) for each in inputs):
        raise ContractError(f"{MLMODEL}: signature.inputs is no list of columns: log the model anew with a signature")
    if [each for each in inputs if each.get("type") == "tensor"]:
        return _tensor(inputs)
    names = [each.get("name") for each in inputs]
    if None in names:
        return ModelSignature((), len(names))
    return ModelSignature(
        tuple(
            SignatureColumn(str(each["name"]), str(each.get("type")), bool(each.get("required", True)))
            for each in inputs
        )
    )


def _tensor(inputs: list[Mapping[str, Any]]) -> ModelSignature:
    specs = [each.get("tensor-spec") for each in inputs]
    shapes = [spec.get("shape") if isinstance(spec, Mapping) else None for spec in specs]
    if len(inputs) > 1:
        # Named tensors of one column each, as ONNX graphs with an input per column have them.
        if all(each.get("name") for each in inputs):
            kinds = [str(spec.get("dtype")) if isinstance(spec, Mapping) else "" for spec in specs]
            return ModelSignature(
                tuple(
                    SignatureColumn(str(each["name"]), _TENSORS.get(kind, kind))
                    for each, kind in zip(inputs, kinds, strict=True)
                )
            )
        raise ContractError("its signature takes several tensors without names: log it with names of columns")
    shape, spec = shapes[0], specs[0]
    if not isinstance(shape, list) or len(shape) != 2 or not isinstance(spec, Mapping):
        raise ContractError(f"its signature takes a tensor of shape {shape}; it should be [-1, inputs]")
    width = shape[1] if isinstance(shape[1], int) and shape[1] > 0 else None
    return ModelSignature((), width, str(spec.get("dtype")))


_TENSORS = {"float32": "float", "float64": "double", "int32": "integer", "int64": "long", "bool": "boolean"}
