"""Whether the members that a revision needs run and have caught up, as Kafka has it: groups, offsets, records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from headrace.domain.pipeline.spec import Pipeline
from headrace.domain.revisions.revision import FIRST, group_of
from headrace.operations.services import SERVICES, needed
from headrace.streaming.kafka.admin import Admin
from headrace.streaming.kafka.connection import Connection
from headrace.streaming.kafka.lag import measure

YOUNG_S = 2.0
"""Records of a view that nobody has folded for longer would hold the switch up: every event waits for them."""


def new_groups(pipeline: Pipeline) -> Mapping[str, tuple[str, Sequence[str]]]:
    """The groups that come with a revision, with the service of each and what it reads, but for `enrich`."""
    if pipeline.revision == FIRST:
        return {}
    return {
        f"{pipeline.name}.{group}": (name, [pipeline.topic(each) for each in topics])
        for name in needed(pipeline)
        for group, view, topics in SERVICES[name].groups(pipeline)
        if view and pipeline.views[view].revision == pipeline.revision
    }


def absent(connection: Connection, pipeline: Pipeline) -> list[str]:
    """Of which groups of a revision no member runs, with the remedy."""
    admin = Admin(connection)
    wanted = {group_of(pipeline.name, pipeline.revision): "enrich"}
    wanted |= {group: service for group, (service, _) in new_groups(pipeline).items()}
    return [
        f"{group} has no members: run {service} with the file of revision {pipeline.revision}"
        for group, service in wanted.items()
        if not admin.members(group)
    ]


def lagging(connection: Connection, pipeline: Pipeline, now: float) -> list[str]:
    """Which groups that come with a revision, but for `enrich`, have records before them that are no longer young.

    `now`: seconds since the epoch.
    """
    groups = {group: topics for group, (_, topics) in new_groups(pipeline).items()}
    late: dict[tuple[str, str], float] = {}
    for each in measure(connection, groups, now, counted=0) if groups else ():
        if each.seconds > YOUNG_S:
            place = each.group, each.topic
            late[place] = max(late.get(place, 0.0), each.seconds)
    return [f"{group} has not read what came to {topic} {age:,.0f} s ago" for (group, topic), age in late.items()]
