"""A shadow service with a model store and a clock that costs say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from services.inference.answers import Answers
from services.inference.arms import Opener
from services.inference.sessions import SessionSettings
from services.inference.store import ModelStore
from services.kit.schemas import load_schema
from services.shadow.dark import Dark
from services.shadow.figures import Figures
from services.shadow.news import News
from services.shadow.scoring import Shadow
from services.shadow.shedding import Shedding
from tests.inference.parts import FEATURES, PREDICTIONS
from tests.members import ROOT

CONTROL = load_schema(ROOT / "schemas/control_event.avsc").arrow


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    """An empty model store."""
    return ModelStore(str(tmp_path / "models"), tmp_path / "cache")


@pytest.fixture
def registry() -> CollectorRegistry:
    """Where the service's metrics are."""
    return CollectorRegistry()


@pytest.fixture
def start(store: ModelStore, registry: CollectorRegistry) -> Callable[..., Shadow]:
    """Makes the service: of pipeline `p`, member `m`, whose models take as long as `clock` says."""

    def make(bound: float = 30.0, clock: Callable[[], float] = lambda: 0.0, longest: float = 15.0) -> Shadow:
        figures = Figures(registry)
        opener = Opener(store, SessionSettings(device="cpu", rows=1024), FEATURES)
        dark = Dark("p", opener, Shedding(bound), News("p", "m", CONTROL), figures)
        return Shadow(Answers("shadow-predictions", FEATURES, PREDICTIONS), dark, figures, clock, longest)

    return make
