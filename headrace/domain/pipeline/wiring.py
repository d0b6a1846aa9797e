"""Joins a pipeline's contracts to Kafka: which topic carries what, how its values are written, where ids come from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from headrace.domain.pipeline.check import load
from headrace.domain.pipeline.contracts import VIEW_UPDATE, Schema, events, feed_label, schemas
from headrace.domain.pipeline.feed.spec import EVENTS_FEED
from headrace.domain.pipeline.spec import Pipeline, View
from headrace.domain.pipeline.workspace import Workspace, resolve
from headrace.errors import ContractError
from headrace.streaming.contracts.registry import RegistryIds
from headrace.streaming.contracts.schemas import PinnedIds, SchemaIds, load_schema
from headrace.streaming.kafka.bindings import CODECS, FEEDS, Channel, Wiring
from headrace.streaming.process.settings import Settings

EVENT_BYTES = 1_000_000
OURS_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class Contracts:
    """A pipeline with the Avro schemas, by subject, and ids of its topics."""

    pipeline: Pipeline
    workspace: Workspace
    ids: SchemaIds
    schemas: Mapping[str, Schema]

    def channel(self, logical: str) -> Channel:
        """A logical topic of this pipeline; ContractError when its schema is unknown or has no id."""
        if logical in self.pipeline.feeds:
            return self._feed(logical)
        name = f"{self.pipeline.name}.{logical}"
        subject = f"{name}-value"
        if subject not in self.schemas:
            topics = ", ".join(
                sorted(s.removeprefix(f"{self.pipeline.name}.").removesuffix("-value") for s in self.schemas)
            )
            raise ContractError(f"{self.pipeline.name} has no topic {logical}: it has {topics}")
        # Strangers write events and labels; only we write the others, and a dead letter holds a whole event.
        most = EVENT_BYTES if logical in ("events", "labels") else OURS_BYTES
        return Channel(logical, name, CODECS["avro"](subject, load_schema(self.schemas[subject]), self.ids, most))

    def with_views(self, views: Iterable[View]) -> Contracts:
        """The same, with the topics of views that a revision before had."""
        schema = self.workspace.schema(VIEW_UPDATE)
        return replace(
            self, schemas={**{f"{self.pipeline.name}.{v.topic}-value": schema for v in views}, **self.schemas}
        )

    def _feed(self, logical: str) -> Channel:
        """A topic that a producer writes in a form of its own."""
        feed = self.pipeline.feeds[logical]
        made = events(self.pipeline) if logical == EVENTS_FEED else feed_label(self.pipeline)
        codec = FEEDS[feed.form.format](f"{feed.topic}-value", feed.form, load_schema(made), self.ids, EVENT_BYTES)
        return Channel(logical, feed.topic, codec, foreign=True)

    @property
    def topics(self) -> Mapping[str, str]:
        """All topics of the pipeline, feeds too: logical names, and names on the broker."""
        own = (subject.removeprefix(f"{self.pipeline.name}.").removesuffix("-value") for subject in self.schemas)
        return {logical: self.pipeline.topic(logical) for logical in (*own, *self.pipeline.feeds)}

    def wiring(
        self,
        service: str,
        settings: Settings,
        reads: str | Iterable[str],
        writes: Iterable[str] = (),
        facts: Iterable[str] = (),
        beside: Iterable[str] = (),
        revision: int = 1,
        aside: Iterable[str] = (),
    ) -> Wiring:
        """All that a runner needs to know of the outside, for one member of a service.

        `revision`: of the pipeline, for a service of which each revision has a group of its own; of a view that has
        its own group, the one since which it is as it is.
        """
        return Wiring(
            pipeline=self.pipeline.name,
            service=service,
            member=settings.member,
            inputs=tuple(self.channel(logical) for logical in ([reads] if isinstance(reads, str) else reads)),
            dead_letters=self.channel("dead-letters"),
            checkpoints=self.channel("checkpoints"),
            outputs={logical: self.channel(logical) for logical in writes},
            facts={logical: self.channel(logical) for logical in facts},
            aside={logical: self.channel(logical) for logical in aside},
            beside={logical: f"{self.pipeline.name}.{logical}" for logical in beside},
            code_version=settings.code_version or code_version(),
            revision=revision,
        )


def read_contracts(settings: Settings) -> Contracts:
    """The contracts that the settings name. ConfigurationError explains every mistake in the pipeline file."""
    path = resolve(settings.pipeline, Path.cwd())
    workspace = Workspace.of(path)
    pipeline = load(path, workspace)
    return Contracts(pipeline, workspace, schema_ids(settings, workspace), schemas(pipeline, workspace))


def schema_ids(settings: Settings, workspace: Workspace) -> SchemaIds:
    """Ids from a registry if one is set, else from the pinned file."""
    if settings.registry is not None:
        return RegistryIds(settings.registry.get_secret_value())
    return PinnedIds(settings.schema_ids or pins_path(workspace))


def pins_path(workspace: Workspace) -> Path:
    """Where the ids of a project's schemas are pinned: beside its own schemas."""
    return workspace.roots[0] / "schemas" / "ids.json"


def code_version() -> str:
    """The version of the installed package."""
    try:
        return version("headrace")
    except PackageNotFoundError:
        return "unknown"
