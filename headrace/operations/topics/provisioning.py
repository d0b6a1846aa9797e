"""What a pipeline needs before its services start: ids for its schemas, and its topics."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from headrace.domain.pipeline.wiring import pins_path
from headrace.domain.pipeline.workspace import Workspace, resolve
from headrace.operations.topics import schema_ids
from headrace.operations.topics.topic_plan import names_of, pipeline_of, topics_of
from headrace.streaming.contracts.topic_changes import apply, plan
from headrace.streaming.kafka.admin import Admin
from headrace.streaming.process.settings import Settings

REPLICAS = 3
"""At most; fewer where there are fewer brokers."""


@dataclass(frozen=True, slots=True)
class Provision:
    """What was done: subjects that got an id in the file of pins, and topics that were created or changed."""

    subjects: tuple[str, ...]
    topics: tuple[str, ...]


def provision(settings: Settings, partitions: int | None = None) -> Provision:
    """Register schemas and apply topics; a repeat does nothing. For a broker of one's own.

    So the topics of producers are created too, as empty as the broker: there is nobody else who would.

    Args:
        settings: say which pipeline, broker, and registry or file of pins.
        partitions: of the topics that are new; None takes what their files say.

    Raises:
        ConfigurationError: something is wrong with the pipeline file, or a topic's change is refused.
        ContractError: a schema cannot read what an older version of it wrote.
    """
    wanted = schema_ids.derived_schemas(settings.pipeline)
    if settings.registry is not None:
        schema_ids.register_with(settings.registry.get_secret_value(), wanted)
        added: list[str] = []
    else:
        workspace = Workspace.of(resolve(settings.pipeline, Path.cwd()))
        _, added = schema_ids.pin(settings.schema_ids or pins_path(workspace), wanted)
    admin = Admin(settings.connection)
    replicas = min(admin.brokers(), REPLICAS)
    pipeline = pipeline_of(settings.pipeline)
    existing = admin.topics(names_of(pipeline))
    _, topics = topics_of(settings.pipeline, partitions, replicas)
    changes = plan(existing, topics)
    apply(admin, changes)
    strange = [feed.topic for feed in pipeline.feeds.values() if feed.topic not in existing]
    events = next(each for each in topics if each.name == pipeline.topic("events"))
    for name in strange:
        admin.create(name, events.partitions, events.replication, {})
    return Provision(tuple(added), tuple(sorted({*strange, *(change.topic for change in changes)})))
