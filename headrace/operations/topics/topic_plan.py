"""What a broker lacks of a pipeline's topics, and what else is to be said of them."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from headrace.domain.pipeline.check import load
from headrace.domain.pipeline.spec import EXCHANGE, VIEW, Pipeline
from headrace.domain.pipeline.workspace import Workspace, resolve
from headrace.operations.topics.offsets_retention import warnings
from headrace.streaming.contracts.topic_changes import TopicChange, Wanted, apply, plan, unwanted, wanted
from headrace.streaming.contracts.topics import load_topics
from headrace.streaming.kafka.admin import Admin
from headrace.streaming.process.settings import Settings


@dataclass(frozen=True, slots=True)
class TopicPlan:
    """What is to be done, or was.

    Attributes:
        applied: whether it was done.
        not_ours: topics under the pipeline's name that nobody needs.
        warnings: what to mind of the brokers.
    """

    applied: bool
    changes: Sequence[TopicChange]
    not_ours: Sequence[str]
    warnings: Sequence[str]

    @property
    def refused(self) -> bool:
        """Whether one of the changes is, and so all of them are."""
        return any(change.refused for change in self.changes)


def plan_topics(
    settings: Settings,
    partitions: int | None = None,
    replication: int | None = None,
    allow_repartition: bool = False,
    allow_data_loss: bool = False,
) -> TopicPlan:
    """What `apply_topics` would do.

    Args:
        settings: say which pipeline, and how to get into which cluster.
        partitions, replication: of topics that may have more than one.
        allow_repartition: add partitions although keys will move.
        allow_data_loss: set properties although records will be deleted.

    Raises:
        ConfigurationError: there is no such pipeline, or something is wrong with its file or a topic's.
        Transient: the broker does not answer.
    """
    admin = Admin(settings.connection)
    name, topics = topics_of(settings.pipeline, partitions, replication)
    existing = admin.topics(names_of(pipeline_of(settings.pipeline)))
    brokers = admin.brokers()
    changes = plan(
        existing, topics, brokers=brokers, allow_repartition=allow_repartition, allow_data_loss=allow_data_loss
    )
    told = [*warnings(admin, topics), *absent_feeds(pipeline_of(settings.pipeline), existing).values()]
    return TopicPlan(False, changes, unwanted(existing, topics, name), told)


def apply_topics(
    settings: Settings,
    partitions: int | None = None,
    replication: int | None = None,
    allow_repartition: bool = False,
    allow_data_loss: bool = False,
) -> TopicPlan:
    """Create what is missing and set what differs; nothing at all where one change is refused. See `plan_topics`."""
    found = plan_topics(settings, partitions, replication, allow_repartition, allow_data_loss)
    if found.refused:
        return found
    apply(Admin(settings.connection), list(found.changes))
    return replace(found, applied=True)


def names_of(pipeline: Pipeline) -> Callable[[str], bool]:
    """Whether a topic is under a pipeline's name, or one of its producers'."""
    feeds = {feed.topic for feed in pipeline.feeds.values()}
    return lambda name: name.startswith(f"{pipeline.name}.") or name in feeds


def absent_feeds(pipeline: Pipeline, existing: Container[str]) -> dict[str, str]:
    """Which topics of producers are not there, and a sentence of each: they are theirs to create."""
    return {
        feed.topic: f"{feed.topic} is not there yet: who writes it creates it; intake waits for it"
        for feed in pipeline.feeds.values()
        if feed.topic not in existing
    }


def pipeline_of(pipeline: str) -> Pipeline:
    """The pipeline of a file or name; raises as `topics_of`."""
    path = resolve(pipeline, Path.cwd())
    return load(path, Workspace.of(path))


def topics_of(pipeline: str, partitions: int | None = None, replication: int | None = None) -> tuple[str, list[Wanted]]:
    """The name of a pipeline and the topics that it needs.

    Raises:
        ConfigurationError: there is no such pipeline, or something is wrong with its file or a topic's.
    """
    path = resolve(pipeline, Path.cwd())
    workspace = Workspace.of(path)
    found = load(path, workspace)
    several = {file: found.topics_of(file) for file in (VIEW, EXCHANGE)}
    return found.name, wanted(load_topics(workspace.topic_folders()), found.name, several, partitions, replication)
