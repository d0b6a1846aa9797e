"""A shadow service with a model store and a clock that costs say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from headrace.domain.control.events import ControlEvents
from headrace.domain.models.model_loader import Opener
from headrace.domain.models.sessions import SessionSettings
from headrace.domain.models.store import ModelStore
from headrace.domain.records.predictions import PredictionRecords
from headrace.streaming.contracts.schemas import load_schema
from services.shadow.load_shedder import Shedding
from services.shadow.metrics import ShadowMetrics
from services.shadow.service import Shadow
from services.shadow.shadow_models import Dark
from tests.members import ROOT
from tests.models.parts import FEATURES, PREDICTIONS

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
def start(store: ModelStore, counters: CollectorRegistry) -> Callable[..., Shadow]:
    """Makes the service: of pipeline `p`, member `m`, whose models take as long as `clock` says."""

    def make(bound: float = 30.0, clock: Callable[[], float] = lambda: 0.0, longest: float = 15.0) -> Shadow:
        figures = ShadowMetrics(counters)
        opener = Opener(store, SessionSettings(device="cpu", rows=1024), FEATURES)
        dark = Dark("p", opener, Shedding(bound), ControlEvents("p", "shadow", "m", CONTROL), figures)
        return Shadow(PredictionRecords("shadow-predictions", FEATURES, PREDICTIONS), dark, figures, clock, longest)

    return make
