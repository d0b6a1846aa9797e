"""What an operator may set for every service that reads or runs models."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from headrace.domain.models.sessions import SessionSettings
from headrace.streaming.process.settings import Settings


class PackageSettings(Settings):
    """Settings of services that read model packages."""

    model_cache: Path = Field(Path(".headrace/models"), description="where fetched model packages are kept")


class InferenceSettings(PackageSettings):
    """Settings of services that run models."""

    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="where models run; cuda needs the extra `gpu`")
    executor: Literal["auto", "onnxruntime", "forest"] = Field(
        "auto", description="what runs a model; auto: bit masks for plain tree ensembles, ONNX Runtime for all else"
    )
    threads: int = Field(1, ge=1, le=64, description="threads of a model, or of the models of an ensemble")
    spinning: bool = Field(False, description="let idle model threads burn CPU for a shorter wake-up")

    def session(self, longest_call: float, classes: tuple[str, ...] = ()) -> SessionSettings:
        """How models are run: seconds that one call may take, and the pipeline's classes where it has several."""
        how = self.device, self.threads, self.spinning, longest_call
        return SessionSettings(*how, executor=self.executor, classes=classes)
