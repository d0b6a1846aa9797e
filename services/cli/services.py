"""The services there are: how a member of each is started, and what it may be set to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from services.enrich.settings import EnrichSettings, ViewsSettings
from services.kit.runner import Runner
from services.kit.settings import Settings
from services.labels.settings import LabelsSettings
from services.pipeline.spec import Pipeline
from services.score.settings import ScoreSettings
from services.scorecards.settings import ScorecardsSettings
from services.shadow.settings import ShadowSettings


@dataclass(frozen=True, slots=True)
class Kind:
    """A service.

    Attributes:
        module: the package that `python -m` runs.
        arguments: what it is told on the command line.
        settings: its settings.
        builder: function of the package's `app` that makes a member from its settings.
        state: what it remembers, in memory and in checkpoints; empty for nothing.
    """

    module: str
    arguments: tuple[str, ...]
    settings: type[Settings]
    builder: str
    state: str = ""

    def build(self, settings: Settings) -> Runner:
        """A member as it is before it opens anything; imports all that the service needs."""
        made: Callable[[Any], Runner] = getattr(import_module(f"{self.module}.app"), self.builder)
        return made(settings)


SERVICES: Mapping[str, Kind] = {
    "enrich": Kind("services.enrich", ("enrich",), EnrichSettings, "build_enrich", "windows of entities"),
    "views": Kind("services.enrich", ("views",), ViewsSettings, "build_views", "windows of entities"),
    "score": Kind("services.score", (), ScoreSettings, "build_score"),
    "shadow": Kind("services.shadow", (), ShadowSettings, "build_shadow"),
    "labels": Kind("services.labels", (), LabelsSettings, "build_labels", "open predictions, early labels"),
    "scorecards": Kind("services.scorecards", (), ScorecardsSettings, "build_scorecards", "sums by window and model"),
}


def needed(pipeline: Pipeline) -> tuple[str, ...]:
    """The services that have something to do in a pipeline."""
    idle = {"views": not pipeline.foreign_views, "labels": pipeline.labels is None}
    return tuple(service for service in SERVICES if not idle.get(service, False))
