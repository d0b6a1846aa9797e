"""The services there are: how a member of each is started, and what it may be set to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from headrace.domain.pipeline.spec import Pipeline
from headrace.streaming.process.settings import Settings
from headrace.streaming.task.runner import Runner


@dataclass(frozen=True, slots=True)
class Kind:
    """A service.

    Attributes:
        module: the package that `python -m` runs.
        settings_class: class of the package's `settings`.
        builder: function of the package's `app` that makes a member from its settings.
        state: what it remembers, in memory and in checkpoints; empty for nothing.
    """

    module: str
    settings_class: str
    builder: str
    state: str = ""

    @property
    def settings(self) -> type[Settings]:
        """What it may be set to."""
        found: type[Settings] = getattr(import_module(f"{self.module}.settings"), self.settings_class)
        return found

    def build(self, settings: Settings) -> Runner:
        """A member as it is before it opens anything; imports all that the service needs."""
        made: Callable[[Any], Runner] = getattr(import_module(f"{self.module}.app"), self.builder)
        return made(settings)


SERVICES: Mapping[str, Kind] = {
    "enrich": Kind("services.enrich", "EnrichSettings", "build_enrich", "windows of entities"),
    "views": Kind("services.views", "ViewsSettings", "build_views", "windows of entities"),
    "score": Kind("services.score", "ScoreSettings", "build_score"),
    "shadow": Kind("services.shadow", "ShadowSettings", "build_shadow"),
    "labels": Kind("services.labels", "LabelsSettings", "build_labels", "open predictions, early labels"),
    "scorecards": Kind("services.scorecards", "ScorecardsSettings", "build_scorecards", "sums by window and model"),
}


def needed(pipeline: Pipeline) -> tuple[str, ...]:
    """The services that have something to do in a pipeline."""
    idle = {"views": not pipeline.foreign_views, "labels": pipeline.labels is None}
    return tuple(service for service in SERVICES if not idle.get(service, False))
