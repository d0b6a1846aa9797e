"""Which kind of model a file holds: by its first bytes and what is in it, never by its name alone."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Literal

from headrace.errors import ContractError

Kind = Literal[
    "onnx",
    "lightgbm",
    "lightgbm-json",
    "xgboost",
    "pickle",
    "skops",
    "torchscript",
    "torch-pickle",
]
TORCH_KINDS: tuple[Kind, ...] = ("torchscript", "torch-pickle")
HEAD = 4_096
KNOWN = (
    "an ONNX file, a model of LightGBM (text, or a JSON dump) or XGBoost (JSON, UBJSON), an object of scikit-learn "
    "(pickle, joblib, skops), a module of PyTorch, a package's directory, or a model of MLflow"
)
EXPORT = (
    "export it where it was made, "
    "torch.onnx.export(model.eval(), (torch.zeros(1, INPUTS),), 'model.onnx', input_names=['features'], "
    "output_names=['probability'], dynamic_axes={'features': {0: 'rows'}, 'probability': {0: 'rows'}}, "
    "external_data=False), with a sigmoid or softmax as its last layer, and add model.onnx"
)
"""How a module of PyTorch becomes a file that is understood anywhere."""
CATBOOST = (
    "is a model of CatBoost in its own format: save it as ONNX where it was made, "
    "model.save_model('model.onnx', format='onnx'), and add that"
)


def kind_of(path: Path) -> Kind:
    """What a file holds, from its bytes; nothing of it is run.

    Raises:
        ContractError: it is none that is understood; with the way to one that is.
    """
    with path.open("rb") as file:
        head = file.read(HEAD)
    if not head:
        raise ContractError(f"{path.name} is empty: name {KNOWN}")
    if zipfile.is_zipfile(path):
        return _zipped(path)
    if head.startswith(b"CBM1"):
        raise ContractError(f"{path.name} {CATBOOST}")
    if head.startswith((b"tree\n", b"tree\r\n")):
        return "lightgbm"
    if head[:1] == b"{":
        return _json(path, head)
    # A pickle of protocol 2 or later, as it is or packed by joblib; an older one begins with an opcode for a global.
    if head[0] == 0x80 or path.suffix in (".pkl", ".pickle", ".joblib"):
        return "pickle"
    if head[0] == 0x08 or path.suffix == ".onnx":
        return "onnx"  # the first field of a model in protobuf is its IR version
    if head.startswith(b"binf"):
        raise ContractError(
            f"{path.name} is a model of XGBoost in the format that it gave up: read it by the version that wrote it, "
            "booster.save_model('model.ubj'), and add that"
        )
    raise ContractError(f"{path.name} is no model that is understood: name {KNOWN}")


def _zipped(path: Path) -> Kind:
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    if "schema.json" in names:
        return "skops"
    parts = {name.rpartition("/")[2] for name in names}
    if parts & {"archive_format", "serialized_exported_program.json"}:
        raise ContractError(
            f"{path.name} is an exported program of PyTorch: save the module as TorchScript, "
            f"torch.jit.script(model.eval()).save('model.pt'), and add that, or {EXPORT}"
        )
    if "data.pkl" in parts:
        return "torchscript" if "constants.pkl" in parts else "torch-pickle"
    raise ContractError(f"{path.name} is an archive and no model that is understood: name {KNOWN}")


def _json(path: Path, head: bytes) -> Kind:
    if b"learner" in head:
        return "xgboost"
    if b'"tree_info"' in head or b'"num_tree_per_iteration"' in head:
        return "lightgbm-json"
    if b"oblivious_trees" in path.read_bytes():
        raise ContractError(f"{path.name} {CATBOOST}")
    raise ContractError(f"{path.name} is JSON and no model that is understood: name {KNOWN}")
