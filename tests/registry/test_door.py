"""The door to MLflow: which of its errors may pass, and what it makes of a registry that is away."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.domain.registry.model_source import AliasSource
from headrace.errors import ConfigurationError, Transient
from headrace.operations.registry.mlflow_door import ABSENT, LATER, REFUSED, MlflowRegistry

pytest.importorskip("mlflow", reason="the extra `mlflow` is not installed")


def test_each_code_of_an_error_has_been_decided() -> None:
    """MLflow may gain one: then somebody says whether it passes."""
    from mlflow.protos.databricks_pb2 import ErrorCode

    assert set(ErrorCode.keys()) == ABSENT | LATER | REFUSED
    assert len(ABSENT) + len(LATER) + len(REFUSED) == len(ErrorCode.keys())


def test_a_registry_that_does_not_answer_may_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is Transient, and named."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    registry = MlflowRegistry("http://127.0.0.1:1")
    with pytest.raises(Transient, match="MLflow at http"):
        registry.version_behind(AliasSource("fraud", "challenger"))


def test_a_model_that_is_not_there_is_said(tmp_path: Path) -> None:
    """With what to do; so is an address that MLflow does not know."""
    registry = MlflowRegistry(f"sqlite:///{tmp_path}/mlflow.db")
    with pytest.raises(ConfigurationError, match="no registered model fraud: register one by"):
        registry.version_behind(AliasSource("fraud", "challenger"))
    with pytest.raises(ConfigurationError, match="nowhere"):
        MlflowRegistry("nowhere://host").version_behind(AliasSource("fraud", "challenger"))
