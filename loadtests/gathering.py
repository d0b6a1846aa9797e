"""What a campaign keeps of each topic, read while it is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from headrace.domain.plans.plans import CHAMPION
from headrace.domain.training.dataset import milliseconds
from headrace.operations.models.training import between
from headrace.streaming.records.batch import Batch
from loadtests.arena import alive, stuck
from loadtests.following import Follower
from loadtests.protocol import TESTED, TRAINED
from tests.project import Project

QUIET_S = 300.0
"""Without anything new for so long, something hangs."""

kernels: Any = pc  # its stubs know too few of the overloads
Pick = Callable[[Batch], pa.Table]
Card = Mapping[str, float | None]


def followed(project: Project, logical: str) -> Iterator[Batch]:
    """The records of a topic as they come, without an end.

    Raises:
        AssertionError: nothing came for `QUIET_S`, or a member ended; with the members' logs.
    """
    waited = 0.0
    with Follower(project.connection, project.contracts.channel(logical)) as follower:
        before, _ = follower.poll(0)
        while True:
            at, intake = follower.poll(0.5)
            waited = 0.0 if intake is not None else waited + at - before
            before = at
            assert waited < QUIET_S, f"nothing new on {logical}\n{stuck(project)}"
            alive(project)
            if intake is not None:
                yield intake.batch


def gathered(project: Project, logical: str, pick: Pick, count: int) -> pa.Table:
    """What `pick` keeps of a topic's records, once that is `count` rows; AssertionError when it becomes more."""
    parts: list[pa.Table] = []
    got = 0
    for batch in followed(project, logical):
        parts.append(pick(batch))
        got += len(parts[-1])
        if got >= count:
            break
    assert got == count, f"{got} of {count} {logical}"
    return pa.concat_tables(parts, promote_options="default").unify_dictionaries()


def training_rows(batch: Batch) -> pa.Table:
    """Features of the training week, with their places on the topic."""
    rows = pa.Table.from_batches([batch.columns])
    rows = rows.append_column("_partition", pa.array(batch.partition)).append_column("_offset", pa.array(batch.offset))
    return between(rows, *TRAINED)


def answers_from(start: int) -> Pick:
    """Of predictions of events from a moment (milliseconds) to the end of the test week who scored whom how."""

    def pick(batch: Batch) -> pa.Table:
        rows = between(pa.Table.from_batches([batch.columns]), start, TESTED[1])
        version = kernels.struct_field(rows["model"], "version").dictionary_encode()
        return rows.select(["event_id", "entity", "event_time", "score"]).append_column("version", version)

    return pick


def champions_outcomes(batch: Batch) -> pa.Table:
    """What became of the champion's predictions of the test week."""
    rows = pa.Table.from_batches([batch.columns])
    rows = between(rows.filter(kernels.equal(rows["arm"], CHAMPION)), *TESTED)
    return rows.select(["event_id", "label", "state"])


def champions_cards(project: Project, counts: Mapping[int, int]) -> dict[int, Card]:
    """The champion's scorecard of each day, once it holds all predictions and outcomes of the day: figures by name.

    Args:
        counts: how many events each day has, by its begin in milliseconds.
    """
    found: dict[int, Card] = {}
    for batch in followed(project, "scorecards"):
        rows = pa.Table.from_batches([batch.columns])
        rows = rows.filter(kernels.and_(kernels.equal(rows["arm"], CHAMPION), kernels.equal(rows["segment"], "")))
        for day, row in zip(milliseconds(rows["window_start"]).tolist(), rows.to_pylist(), strict=True):
            if row["mature"] and row["outcomes"] == counts.get(day):
                found[day] = {figure["name"]: figure["value"] for figure in row["figures"]}
        if len(found) == len(counts):
            break
    return found
