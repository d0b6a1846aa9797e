"""What a broker lacks of a pipeline's topics."""

from __future__ import annotations

from pathlib import Path

from headrace.domain.pipeline.check import load
from headrace.domain.pipeline.workspace import Workspace, resolve
from headrace.streaming.contracts.topic_changes import Wanted, wanted
from headrace.streaming.contracts.topics import load_topics


def topics_of(pipeline: str, partitions: int | None = None, replication: int | None = None) -> tuple[str, list[Wanted]]:
    """The name of a pipeline and the topics that it needs.

    Raises:
        ConfigurationError: there is no such pipeline, or something is wrong with its file or a topic's.
    """
    path = resolve(pipeline, Path.cwd())
    workspace = Workspace.of(path)
    found = load(path, workspace)
    views = [view.name for view in found.foreign_views]
    return found.name, wanted(load_topics(workspace.topic_folders()), found.name, views, partitions, replication)
