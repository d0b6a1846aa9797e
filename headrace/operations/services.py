"""The services there are: the one list that commands, containers, alerts and pages follow.

A service is a folder of `services/` and an entry here. Its folder has
- `__main__.py`: `python -m services.NAME` runs a member;
- `settings.py`: what it may be set to, beyond what every service shares;
- `app.py`: `build(settings)` makes a member that has opened nothing yet;
- with state: `rescale.py`, where `rescale(...)` moves it after topics have grown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from headrace.domain.pipeline.feed.spec import EVENTS_FEED, LABELS_FEED
from headrace.domain.pipeline.spec import EXCHANGE, Pipeline
from headrace.domain.revisions.revision import group_of
from headrace.streaming.process.member import ServiceMember
from headrace.streaming.process.settings import Settings

EACH_VIEW = "view.*"
"""Stands for the topics of all views that another entity keys than the events; as the only input: a group for each."""


@dataclass(frozen=True, slots=True)
class ServiceEntry:
    """A service.

    Attributes:
        name: of its folder, of its consumer group behind the pipeline's name, of its container.
        settings_class: class of its `settings`.
        reads: logical names of the topics that its group reads, in the order of its `inputs`.
        writes: those that it may write, beside dead letters and (with state) checkpoints.
        facts: compacted topics that every member reads whole.
        aside: topics that are read without the group: by jobs of the service, or whole now and then.
        state: what it remembers, in memory and in checkpoints; empty for nothing.
        store: whether it needs the online store.
        models: whether it opens models of the model store.
        trains: whether it has models trained: it needs the extras `train` and `retrain`.
        dark: whether nobody who waits for an answer notices when it is slow or away.
        asked: whether a pipeline has work for it.
        port: where its container answers probes and scrapers.
        profile: of compose, where it has work for few pipelines alone: it is not started without.
    """

    name: str
    settings_class: str
    reads: tuple[str, ...]
    writes: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()
    aside: tuple[str, ...] = ()
    state: str = ""
    store: bool = False
    models: bool = False
    trains: bool = False
    dark: bool = False
    asked: Callable[[Pipeline], bool] = lambda _: True
    port: int = 9100
    profile: str = ""

    @property
    def module(self) -> str:
        """The package that `python -m` runs."""
        return f"services.{self.name}"

    @property
    def settings(self) -> type[Settings]:
        """What it may be set to."""
        found: type[Settings] = getattr(self.part("settings"), self.settings_class)
        return found

    def part(self, name: str) -> Any:
        """A module of its folder, imported now."""
        return import_module(f"{self.module}.{name}")

    def build(self, settings: Settings) -> ServiceMember:
        """A member as it is before it opens anything; imports all that the service needs."""
        made: Callable[[Any], ServiceMember] = self.part("app").build
        return made(settings)

    def groups(self, pipeline: Pipeline) -> Iterator[tuple[str, str, tuple[str, ...]]]:
        """(name behind the pipeline's, view or "", logical topics that it reads) of its consumer groups.

        Labels of a view that a later revision brought are told by a group of its own, from the log's beginning on.
        """
        if self.reads != (EACH_VIEW,):
            feeds = (EVENTS_FEED, LABELS_FEED)
            revised = group_of(pipeline.name, pipeline.revision).removeprefix(f"{pipeline.name}.")
            group = revised if "revisions" in self.facts else self.name
            yield group, "", tuple(topic for topic in self.reads if topic not in feeds or topic in pipeline.feeds)
            for view in pipeline.label_views if EACH_VIEW in self.writes and EXCHANGE in self.reads else ():
                if view.exchange != EXCHANGE:
                    yield f"{self.name}.{view.title}", view.name, ("labels", view.exchange)
            return
        for view in pipeline.foreign_views:
            yield f"{self.name}.{view.title}", view.name, (view.topic,)


SERVICES: Mapping[str, ServiceEntry] = {
    entry.name: entry
    for entry in (
        ServiceEntry(
            "intake",
            "IntakeSettings",
            reads=(EVENTS_FEED, LABELS_FEED),
            writes=("events", "labels"),
            asked=lambda pipeline: bool(pipeline.feeds),
            profile="feeds",
        ),
        ServiceEntry(
            "enrich",
            "EnrichSettings",
            reads=("events",),
            writes=("features", EACH_VIEW, "exchange"),
            facts=("revisions",),
            state="windows of entities",
            store=True,
        ),
        ServiceEntry(
            "views",
            "ViewsSettings",
            reads=(EACH_VIEW,),
            state="windows of entities",
            store=True,
            asked=lambda pipeline: bool(pipeline.foreign_views),
        ),
        ServiceEntry(
            "score",
            "ScoreSettings",
            reads=("features",),
            writes=("predictions", "control"),
            facts=("plans",),
            models=True,
        ),
        ServiceEntry(
            "shadow",
            "ShadowSettings",
            reads=("features",),
            writes=("shadow-predictions", "control"),
            facts=("plans",),
            models=True,
            dark=True,
        ),
        ServiceEntry(
            "labels",
            "LabelsSettings",
            reads=("labels", "predictions", "shadow-predictions", "exchange"),
            writes=("exchange", "outcomes", EACH_VIEW),
            state="open predictions, early labels",
            asked=lambda pipeline: pipeline.labels is not None,
        ),
        ServiceEntry(
            "scorecards",
            "ScorecardsSettings",
            reads=("predictions", "shadow-predictions", "outcomes", "scorecard-parts"),
            writes=("scorecard-parts", "scorecards"),
            state="sums by window and model",
            models=True,
            dark=True,
        ),
        ServiceEntry(
            "drift",
            "DriftSettings",
            reads=("predictions", "shadow-predictions", "outcomes", "dead-letters", "drift-parts"),
            writes=("drift-parts", "drift", "control"),
            state="evidence for changes, by model",
            models=True,
            dark=True,
        ),
        ServiceEntry(
            "release",
            "ReleaseSettings",
            reads=("outcomes", "control", "plans", "release-parts"),
            writes=("release-parts", "control", "ledger"),
            facts=("plans",),
            aside=("ledger",),
            state="releases, and the end of the ledger",
        ),
        ServiceEntry(
            "retrain",
            "RetrainSettings",
            reads=("control",),
            writes=("control",),
            aside=("outcomes", "plans"),
            models=True,
            trains=True,
            dark=True,
            asked=lambda pipeline: pipeline.retrain is not None or pipeline.release is not None,
        ),
        ServiceEntry(
            "kpi",
            "KpiSettings",
            reads=("scorecards", "drift", "dead-letters", "predictions", "kpi-parts"),
            writes=("kpi-parts", "kpis", "control"),
            state="figures that rules are about, and what was told",
            dark=True,
            asked=lambda pipeline: bool(pipeline.kpis),
        ),
        ServiceEntry(
            "notify",
            "NotifySettings",
            reads=("control", "notifications"),
            writes=("notifications",),
            state="who was told of what",
            dark=True,
            asked=lambda pipeline: pipeline.notify is not None,
        ),
    )
}


def needed(pipeline: Pipeline) -> tuple[str, ...]:
    """The services that have something to do in a pipeline."""
    return tuple(name for name, entry in SERVICES.items() if entry.asked(pipeline))


def inputs(pipeline: Pipeline) -> dict[str, tuple[str, ...]]:
    """The topics that each consumer group of a pipeline reads, by the group's name."""
    return {
        f"{pipeline.name}.{group}": tuple(map(pipeline.topic, topics))
        for name in needed(pipeline)
        for group, _, topics in SERVICES[name].groups(pipeline)
    }
