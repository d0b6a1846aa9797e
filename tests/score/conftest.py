"""A score service with a model store."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from headrace.domain.control.events import ControlEvents
from headrace.domain.models.package import ModelPackage
from headrace.domain.models.sessions import SessionSettings
from headrace.domain.models.store import ModelStore
from headrace.streaming.contracts.schemas import load_schema
from services.score.metrics import ScoreMetrics
from services.score.service import Score
from tests.members import ROOT
from tests.models.parts import FEATURES, PREDICTIONS, arm, plans

CONTROL = load_schema(ROOT / "schemas/control_event.avsc").arrow


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    """An empty model store."""
    return ModelStore(str(tmp_path / "models"), tmp_path / "cache")


@pytest.fixture
def counters() -> CollectorRegistry:
    """Where the service's metrics are."""
    return CollectorRegistry()


@pytest.fixture
def start(store: ModelStore, counters: CollectorRegistry) -> Callable[..., Score]:
    """Makes the service; with packages, plans 1, 2, ... are learned, each naming the next package."""

    def make(*packages: ModelPackage) -> Score:
        events, figures = ControlEvents("p", "score", "m", CONTROL), ScoreMetrics(counters)
        settings = SessionSettings(device="cpu")
        service = Score("p", FEATURES, PREDICTIONS, events, store, settings, figures, time.perf_counter)
        for version, package in enumerate(packages, 1):
            service.learn(plans(("p", version, [arm(package, store.put(package))])), now=0.0)
        return service

    return make
