"""The plans topic, read with its history and written one plan after the other, whoever writes.

By `streaming.kafka.fact_writer`, so that no two plans get one version, and none is made from a plan that is not the
newest any more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from headrace.domain.plans.plans import MOST_VERSION, Plan, parsed, rows_of
from headrace.errors import ConfigurationError, HeadraceError, InvalidRecord
from headrace.streaming.kafka.bindings import Channel
from headrace.streaming.kafka.connection import Connection
from headrace.streaming.kafka.fact_writer import Outrun, write_next
from headrace.streaming.kafka.message import place
from headrace.streaming.kafka.reader import ranges, read
from headrace.streaming.watermarks.event_time import EARLIEST, LATEST


class Contested(HeadraceError):
    """Somebody else changed the plan meanwhile; nothing was written."""


@dataclass(frozen=True, slots=True)
class PlanFact:
    """One record of the plans topic.

    Attributes:
        plan: what it says; None where it makes no plan.
        fault: why it makes none.
        version: of the plan; 0 where the record cannot be read.
        time: when it was decided, milliseconds since the epoch, within the years 1 to 9999; of a record that cannot be
            read, when it was written.
        actor, reason: who decided, and why; empty where the record cannot be read.
        offset: its place on the topic.
    """

    plan: Plan | None
    fault: str | None
    version: int
    time: int
    actor: str
    reason: str
    offset: int


def history(connection: Connection, channel: Channel, pipeline: str) -> list[PlanFact]:
    """All facts of the pipeline that the topic still has, in its order; compaction takes older ones away.

    Records that cannot be read are among them, each with its fault.
    """
    found: list[PlanFact] = []
    for intake in read(connection, channel, ranges(connection, channel.name)):
        facts = zip(rows_of(intake.batch.columns), intake.batch.offset.tolist(), strict=True)
        found += [_fact(row, offset) for row, offset in facts if row["pipeline"] == pipeline]
        written = {place(record): record.timestamp()[1] for record in intake.records}
        for bad in intake.rejects:
            fault, time = f"cannot be read: {bad.reason}: {bad.detail}", written[bad.partition, bad.offset]
            found.append(PlanFact(None, fault, 0, min(max(time, 0), LATEST), "", "", bad.offset))
    return sorted(found, key=lambda fact: fact.offset)


def newest(facts: Sequence[PlanFact]) -> PlanFact | None:
    """The fact that holds: of those that make a plan, the one of the highest version, as `plans.latest` has it."""
    return max((fact for fact in facts if fact.plan is not None), key=lambda fact: fact.version, default=None)


def publish(
    connection: Connection,
    channel: Channel,
    pipeline: str,
    change: Callable[[Plan | None], Plan],
    *,
    time: int,
    actor: str,
    reason: str,
) -> Plan:
    """Write the plan that `change` makes of the newest one, durably; returns it with its version.

    Args:
        change: given the newest plan, None for the first; the version of what it answers does not count. It may raise.
        time: now, milliseconds since the epoch.
        actor: who decided: a person or a service.
        reason: why, in a sentence.

    Raises:
        Contested: another writer came in between.
        ConfigurationError: there is no version left.
        Transient: Kafka does not answer; nothing was written.
    """
    made: list[Plan] = []

    def next_plan() -> tuple[str, pa.RecordBatch]:
        facts = history(connection, channel, pipeline)
        held = newest(facts)
        version = max((fact.version for fact in facts if 0 < fact.version <= MOST_VERSION), default=0) + 1
        if version > MOST_VERSION:
            raise ConfigurationError(
                f"plan {version - 1} of {pipeline} is the last that there can be: delete {channel.name} and begin anew"
            )
        made.append(replace(change(held.plan if held else None), version=version))
        fact = made[0].fact(time, actor, reason)
        return pipeline, pa.RecordBatch.from_pylist([fact], schema=channel.codec.reader.arrow)

    try:
        write_next(connection, channel, next_plan)
    except Outrun as outrun:
        raise Contested(
            f"somebody else is changing the plan of {pipeline} at this moment: look at it with `headrace plan show "
            f"{pipeline}`, then try again ({outrun})"
        ) from outrun
    return made[0]


def _fact(row: dict[str, Any], offset: int) -> PlanFact:
    plan, fault = None, None
    try:
        plan = parsed(row)
    except InvalidRecord as found:
        fault = str(found)
    time = min(max(row["time"], EARLIEST), LATEST)
    return PlanFact(plan, fault, row["plan_version"], time, row["actor"], row["reason"], offset)
