"""Modules of PyTorch in a file, where PyTorch is installed: the graph that it exports, and its own answers."""

from __future__ import annotations

import io
import pickle
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from headrace.domain.registry.model_files.kind import EXPORT, Kind
from headrace.errors import ContractError

OPSET = 17
Rows32 = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class TorchModule:
    """A module as it was loaded.

    Attributes:
        what: it is, for people.
        version: of PyTorch.
        graph: ONNX, one tensor `features`, float32 [n, width], and one output, `probability`.
        answer: its own answers, float64 [n, columns], to rows, float32 [n, width].
    """

    what: str
    version: str
    graph: bytes
    answer: Callable[[Rows32], npt.NDArray[np.float64]]


def read_module(path: Path, kind: Kind, width: int) -> TorchModule:
    """The module in a file, exported; `width`: how many features feed it.

    Raises:
        ContractError: PyTorch is not installed, or the file holds no module that takes rows of so many numbers and can
            be exported; with the remedy.
    """
    try:
        import torch
    except ModuleNotFoundError:
        raise ContractError(
            f"{path.name} is a file of PyTorch, which is not installed here: pip install torch, or {EXPORT}"
        ) from None
    module, what = _loaded(torch, path, kind)
    example = torch.zeros(2, width)

    def answer(rows: Rows32) -> npt.NDArray[np.float64]:
        with torch.no_grad():
            found = module(torch.from_numpy(np.ascontiguousarray(rows, np.float32)))
        return np.asarray(found.detach().numpy(), np.float64).reshape(len(rows), -1)

    try:
        answer(example.numpy())
    except (RuntimeError, TypeError, AttributeError, ValueError) as fault:
        raise ContractError(
            f"{path.name} does not answer rows of {width} numbers, one for each feature that feeds it (--map features="
            f"...): {_short(fault)}"
        ) from None
    written = io.BytesIO()
    axes = {"features": {0: "rows"}, "probability": {0: "rows"}}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                module,
                (example,),
                written,
                input_names=["features"],
                output_names=["probability"],
                dynamic_axes=axes,
                opset_version=OPSET,
                dynamo=False,
            )
    except (RuntimeError, TypeError, AttributeError, ValueError, torch.onnx.OnnxExporterError) as fault:
        raise ContractError(
            f"PyTorch {torch.__version__} cannot export {path.name} to ONNX: {_short(fault)}; {EXPORT}"
        ) from None
    return TorchModule(what, str(torch.__version__), written.getvalue(), answer)


def _loaded(torch: Any, path: Path, kind: Kind) -> tuple[Any, str]:
    try:
        if kind == "torchscript":
            return torch.jit.load(str(path), map_location="cpu").eval(), "TorchScript of PyTorch"
        found = torch.load(str(path), map_location="cpu", weights_only=False)
    except (RuntimeError, AttributeError, ImportError, EOFError, KeyError, pickle.UnpicklingError) as fault:
        raise ContractError(
            f"{path.name} cannot be read by PyTorch {torch.__version__}: {_short(fault)}; {EXPORT}"
        ) from None
    if not isinstance(found, torch.nn.Module):
        raise ContractError(
            f"{path.name} holds a {type(found).__name__}, such as a module's weights without the module: save that "
            "itself, torch.jit.script(model.eval()).save('model.pt'), and add it"
        )
    return found.eval(), f"{type(found).__name__} of PyTorch"


def _short(fault: Exception) -> str:
    return " ".join(str(fault).split())[:300]
