"""Models as data scientists log them: with MLflow's own functions, into a directory or a registry."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tests.registry.mlflow_server import QUIET, rows

os.environ.update(QUIET)

import mlflow  # reads the environment
import mlflow.lightgbm
import mlflow.onnx
import mlflow.sklearn
import mlflow.xgboost
from mlflow.models import infer_signature

FLAVOURS = {"sklearn": mlflow.sklearn, "lightgbm": mlflow.lightgbm, "xgboost": mlflow.xgboost, "onnx": mlflow.onnx}
TREE = "sklearn.tree._tree.Tree"


def frame(columns: Sequence[str]) -> tuple[pd.DataFrame, np.ndarray]:
    """Rows with these columns, and labels."""
    matrix, labels = rows(len(columns))
    return pd.DataFrame(matrix, columns=list(columns)), labels


def save(flavour: str, model: Any, path: Path, columns: Sequence[str] | None, **more: Any) -> Path:
    """Save a model into a directory, with the signature of these columns; None: without one."""
    if columns is not None:
        table, labels = frame(columns)
        more = {"signature": infer_signature(table, labels.astype(float)), **more}
    FLAVOURS[flavour].save_model(model, path=str(path), pip_requirements=[], **more)
    return path


def register(address: str, name: str, flavour: str, model: Any, columns: Sequence[str]) -> int:
    """Log a model in a run and register it; its version."""
    table, labels = frame(columns)
    mlflow.set_tracking_uri(address)
    mlflow.set_registry_uri(address)
    with mlflow.start_run():
        done = FLAVOURS[flavour].log_model(
            model,
            name="model",
            signature=infer_signature(table, labels.astype(float)),
            registered_model_name=name,
            pip_requirements=[],
        )
    return int(done.registered_model_version)
