"""Members of enrich and labels come and go in the middle of a backfill, and are killed while partitions move.

    python -m loadtests.scaling [--rows N] [--seeds N] [--first N] [--protocols classic,consumer]

In each run both services are scaled from one member to three and back, twice, at moments that a seed decides, with
kill -9 of members inside these rebalances. Rows are held all the time: labels of the terminals' view are told
partition by partition. Each event must have one features record equal to the published ones, one prediction, and one
outcome with the right label. Ends with 1 on any difference.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import time
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from rich.table import Table

from loadtests.arena import Arena, arena, collected, console
from loadtests.following import Follower
from loadtests.parity import compared
from loadtests.stream import Stream
from tests.project import Project

SCALED = ("enrich", "labels")
MOST = 3
SESSIONS = {
    "group.consumer.min.session.timeout.ms": "6000",
    "group.consumer.session.timeout.ms": "6000",
    "group.consumer.min.heartbeat.interval.ms": "1000",
    "group.consumer.heartbeat.interval.ms": "1000",
}
"""Under the consumer protocol it is the broker that says when a member is dead: 45 s, by default."""
WITHIN_S = 3.0
"""A rebalance is over after this, mostly: kills come earlier."""


@dataclass
class Scaler:
    """Decides, whenever it is called, who comes, goes or is killed.

    Attributes:
        features: follows them: their share of all is how far the work is.
        steps: shares of the work at which members come (+1) or go (-1), or nobody does and one is killed (0).
        kills: members killed so far, each soon after somebody came or went.
    """

    project: Project
    features: Follower
    rng: random.Random
    rows: int
    got: int = 0
    steps: list[tuple[float, int]] = field(default_factory=list)
    kills: int = 0
    _kill_at: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        for begin, change in ((0.08, 1), (0.3, -1), (0.52, 1), (0.74, -1)):
            self.steps += [(begin + self.rng.uniform(0, 0.08) * n, change) for n in (1, 2)]
        self.steps.sort()

    def __call__(self, _: int) -> None:
        now = time.monotonic()
        intake = self.features.poll(0)[1]
        self.got += len(intake.batch) if intake is not None else 0
        while self.steps and self.got >= self.steps[0][0] * self.rows:
            _, change = self.steps.pop(0)
            for service in SCALED:
                self._scale(service, change)
            self._kill_at.append(now + self.rng.uniform(0, WITHIN_S))
        if self._kill_at and now >= self._kill_at[0]:
            self._kill_at.pop(0)
            member = self.rng.choice([name for name in sorted(self.project.processes) if name.startswith(SCALED)])
            self.project.stop(member, signal.SIGKILL)
            self.project.start(member)
            self.kills += 1
        self.project.revive()

    def _scale(self, service: str, change: int) -> None:
        members = sorted(name for name in self.project.processes if name.startswith(service))
        if change > 0 and len(members) < MOST:
            self.project.start(f"{service}-{len(members)}")
        elif change < 0 and len(members) > 1:
            how = self.rng.choice([signal.SIGTERM, signal.SIGTERM, signal.SIGKILL])
            self.project.stop(members[-1], how)


def run(ground: Arena, stream: Stream, protocol: str, seed: int) -> tuple[str, ...]:
    """One run; the cells of its row, the last of which names what is wrong, if anything is."""
    labels = stream.labels()
    with ground.project(HEADRACE_GROUP_PROTOCOL=protocol, HEADRACE_SESSION_TIMEOUT_MS="6000") as project:
        ground.plan(project)
        project.publish(stream.events, "customer_id")
        project.publish(labels, "event_id", "labels")
        begun = time.monotonic()
        for member in ("enrich-0", "views-0", "labels-0", "score-0"):
            project.start(member)
        rows = len(stream)
        # Outcomes are the end of the way; members stop once all are there, so nothing more can come after them.
        with Follower(project.connection, project.contracts.channel("features")) as follower:
            scaler = Scaler(project, follower, random.Random(seed), rows)
            outcomes = collected(project, "outcomes", rows, between=scaler)
        seconds = time.monotonic() - begun
        features, predictions = project.read("features"), project.read("predictions")
    verdict = compared(features, stream.events, 1, scaler.kills, seconds)
    found = {"features": features, "predictions": predictions}
    wrong = [f"{name}: {wrongs}" for name, table in found.items() if (wrongs := once(table["event_id"], rows))]
    wrong += [f"{name}: {count} rows differ" for name, count in verdict.differing.items()]
    wrong += wrong_outcomes(outcomes, labels)
    return protocol, str(seed), f"{rows:,}", str(scaler.kills), f"{seconds:.0f}", "; ".join(wrong)


def once(ids: pa.ChunkedArray, rows: int) -> str:
    """What is wrong with ids of which each should be there once."""
    different = len(ids.unique())
    told = [f"{len(ids) - different} doubled"] if len(ids) > different else []
    return ", ".join(told + ([f"{rows - different} missing"] if different < rows else []))


def wrong_outcomes(outcomes: pa.Table, labels: pa.RecordBatch) -> list[str]:
    """Outcomes against the labels: the newest revision of each prediction counts, each revision once."""
    said = pa.table({"id": outcomes["prediction_id"], "revision": outcomes["revision"]}).group_by(["id", "revision"])
    doubled = outcomes.num_rows - said.aggregate([]).num_rows
    order = np.argsort(outcomes["revision"].to_numpy(), kind="stable")
    newest = outcomes.take(pa.array(order))
    truth = dict(zip(labels["event_id"].to_pylist(), labels["value"].to_pylist(), strict=True))
    final = dict(zip(newest["event_id"].to_pylist(), newest["label"].to_pylist(), strict=True))
    differing = sum(1 for name, value in truth.items() if name in final and final[name] != value)
    found = [(doubled, "doubled"), (len(truth.keys() - final.keys()), "missing"), (differing, "with another label")]
    return [f"outcomes: {count} {what}" for count, what in found if count]


def main() -> int:
    """Run, print, and say by the exit code whether all is as it was without any of this."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=120_000, help="transactions in a run (120,000)")
    parser.add_argument("--seeds", type=int, default=10, help="runs with each protocol (10)")
    parser.add_argument("--first", type=int, default=0, help="the first seed (0)")
    parser.add_argument("--protocols", default="classic,consumer", help="group protocols (classic,consumer)")
    options = parser.parse_args()
    shown = console()
    table = Table(title="enrich and labels scaled 1 -> 3 -> 1, twice, in a backfill, with kills inside rebalances")
    for heading in ("protocol", "seed", "events", "kills", "seconds", "wrong"):
        table.add_column(heading, overflow="fold")
    rows = []
    with arena(say=shown.print, brief=True, overrides=SESSIONS) as ground:
        stream = ground.stream(options.rows)
        for protocol in options.protocols.split(","):
            for seed in range(options.first, options.first + options.seeds):
                rows.append(run(ground, stream, protocol, seed))
                shown.print("  ".join(rows[-1]) or "nothing")
    for row in rows:
        table.add_row(*row[:-1], row[-1] or "nothing")
    shown.print(table)
    return 1 if any(row[-1] for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
