"""A pipeline is turned into another under a steady load, with each service killed once meanwhile.

    python -m loadtests.revising [--rate N] [--seconds N] [--members NAMES] [--pause N]

Transactions of now come at a steady rate. All that follows `enrich` is killed and started with the next file, which has
a view more, a feature less, and another view of terminals, which folds labels; the next `enrich`, and `views` and
`labels` of that view, are built and killed, the present ones killed, then they switch. Each
event must have one features record and one prediction, and its features must be what an undisturbed run of the revision
that answered it makes of the same events. Ends with 1 on any difference, or where a partition paused for too long.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from rich.table import Table

from headrace.domain.pipeline.wiring import read_contracts
from headrace.operations.revision.steps import RevisionSteps
from headrace.operations.topics.schema_ids import derived_schemas, pin
from headrace.operations.topics.topic_plan import topics_of
from headrace.streaming.contracts.topic_changes import apply as apply_changes
from headrace.streaming.contracts.topic_changes import plan
from headrace.streaming.kafka.admin import Admin
from headrace.streaming.process.settings import Settings
from loadtests.arena import PARTITIONS, Arena, alive, arena, begin, collected, console
from loadtests.following import Follower
from loadtests.living import live, remember
from loadtests.load import LEAD_S, started, write_events
from loadtests.meters import log_lines, moment
from loadtests.scaling import once
from loadtests.stream import Stream
from tests.members import ROOT
from tests.project import Project

BAR_S = 2.0
HISTORY = 20_000
MEMBERS = ("views-0", "labels-0", "score-0", "scorecards-0", "drift-0")
BASKET = "  basket: {key: customer_id, windows: [1d, 7d], features: {most: max(amount), least: min(amount)}}\n"
NEXT = (
    "  basket: {key: customer_id, windows: [1d, 7d], features: {most: max(amount)}}\n"
    "  pace: {key: customer_id, windows: [1h], features: {nb_tx: count, spent: sum(amount)}}\n"
)
"""What the next revision has instead: a feature less, a view more; the model reads neither."""
TERMINAL, WIDER = "key: terminal_id\n", "risk: mean(label)}"
"""In the view of terminals, another entity's: where the next revision counts it, and where it has a feature more."""
FOLLOWERS = {"enrich-1": "", "views-1": "terminal", "labels-1": "terminal"}
"""Members of the next revision that are built beside, and the view that each is for."""
PATIENCE_S = 300.0
BEHIND = 20_000
"""What `headrace revise --switch` allows: one that was killed catches up in leaps, and who follows it lags in leaps."""
HANDED_OVER = (("enrich-0", "ended"), ("enrich-1", "answers on"))
"""Who says what when a partition goes from the one to the other."""
NEAR_S = 0.5
"""So many seconds' events the next one may be behind the present one in a partition when they switch: it folds them."""


class Watch(threading.Thread):
    """Notes when features became readable, by partition and revision, and keeps them.

    Attributes:
        seen: (monotonic seconds, partition, revision) of each batch's part.
        parts: the records, and how many `rows` they are.
        over: set to end it.
    """

    def __init__(self, project: Project) -> None:
        super().__init__(daemon=True)
        self.project = project
        self.seen: list[tuple[float, int, int]] = []
        self.parts: list[pa.RecordBatch] = []
        self.rows = 0
        self.over = threading.Event()

    def run(self) -> None:
        """Until `over` is set."""
        with Follower(self.project.connection, self.project.contracts.channel("features")) as follower:
            while not self.over.is_set():
                at, intake = follower.poll(0.05)
                if intake is None:
                    continue
                revisions = intake.batch.columns["pipeline_revision"].to_numpy()
                pairs = np.unique(np.column_stack([intake.batch.partition, revisions]), axis=0)
                self.seen += [(at, *pair) for pair in pairs.tolist()]
                self.parts.append(intake.batch.columns)
                self.rows += len(intake.batch)

    def pauses(self) -> dict[int, float]:
        """By partition, seconds between the last features of the one revision and the first of the other."""
        parts = sorted({partition for _, partition, _ in self.seen})
        return {part: self._first(part, 2) - max(at for at, p, r in self.seen if (p, r) == (part, 1)) for part in parts}

    def edges(self, since: float) -> dict[int, tuple[float, float]]:
        """By partition, when the last features of the one and the first of the other came, seconds after a moment."""
        parts = sorted({partition for _, partition, _ in self.seen})
        last = {part: max(at for at, p, r in self.seen if (p, r) == (part, 1)) for part in parts}
        return {part: (round(last[part] - since, 2), round(self._first(part, 2) - since, 2)) for part in parts}

    def _first(self, partition: int, revision: int) -> float:
        return min(at for at, p, r in self.seen if (p, r) == (partition, revision))

    def usual(self) -> float:
        """The median of the time between two batches of a partition, seconds, over the whole run."""
        gaps = [np.diff([at for at, p, _ in self.seen if p == part]) for part in {p for _, p, _ in self.seen}]
        return float(np.median(np.concatenate(gaps)))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a run.

    Attributes:
        events: that were published.
        by: how many each revision answered.
        pauses: see `Watch.pauses`.
        usual: see `Watch.usual`.
        load: of the machine, over the last minute, at the switch.
        wrong: what is not as it should be.
    """

    events: int
    by: dict[int, int]
    pauses: dict[int, float]
    usual: float
    load: float
    wrong: list[str]


def file_of(ground: Arena, views: str) -> Path:
    """The pipeline file of card fraud with the views of a revision, in a project of its own."""
    folder = ground.directory / f"source-{abs(hash(views)):x}" / "pipelines"
    text = (ROOT / "pipelines/card_fraud.yaml").read_text()
    assert "\nmodel:\n" in text
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder.parent / "schemas").exists():
        (folder.parent / "schemas").symlink_to(ROOT / "schemas")
    path = folder / "card_fraud.yaml"
    text = text.replace("\nmodel:\n", f"{views}\nmodel:\n", 1)
    path.write_text(widened(text) if views == NEXT else text)
    return path


def widened(text: str) -> str:
    """The file with a feature more of terminals."""
    assert WIDER in text
    return text.replace(WIDER, "risk: mean(label), most: max(amount)}")


def next_file(project: Project) -> Path:
    """The next revision of a project, with ids for its schemas."""
    text = project.path.read_text().replace(f"pipeline: {project.name}\n", f"pipeline: {project.name}\nrevision: 2\n")
    assert BASKET in text
    path = project.path.with_name("next.yaml")
    assert TERMINAL in text
    path.write_text(widened(text.replace(BASKET, NEXT).replace(TERMINAL, f"{TERMINAL}    revision: 2\n")))
    pin(project.directory / "schemas" / "ids.json", derived_schemas(str(path)))
    admin = Admin(project.bootstrap)
    apply_changes(admin, plan(admin.topics(), topics_of(str(path), PARTITIONS, 1)[1]))
    return path


def revised(ground: Arena, stream: Stream, rate: float, seconds: float, members: Sequence[str]) -> Outcome:
    """One run.

    Args:
        stream: its first `HISTORY` transactions lie in the past.
        rate, seconds: of the load.
        members: beside those of `enrich`.
    """
    events = write_events(ground.directory / "revising.arrow", stream.events)
    rows, near = HISTORY + int(rate * seconds), int(NEAR_S * rate / PARTITIONS)
    with ground.project(file_of(ground, BASKET)) as project:
        project.champion()
        remember(ground, project, stream, HISTORY)
        path = next_file(project)
        project.contracts = read_contracts(Settings(pipeline=str(path), bootstrap=project.bootstrap))
        steps, watch = RevisionSteps(project.connection, project.contracts), Watch(project)
        begin(project, ("enrich-0", *members))
        watch.start()
        await_(lambda: watch.rows >= HISTORY, project)
        load = live(project, events, HISTORY, rows - HISTORY, rate, time.monotonic() + LEAD_S)
        generator = started(load)
        try:
            steps.build(path, "a load test", project.path.read_text())
            for member in members:  # The present view of terminals is kept until the switch.
                killed(project, member, project.path if member == "views-0" else path)
            for member, view in FOLLOWERS.items():
                project.start(member, HEADRACE_PIPELINE=str(path), **({"HEADRACE_VIEW": view} if view else {}))
            await_(lambda: built(steps, near), project)
            for member, view in FOLLOWERS.items():
                killed(project, member, path, view)
            killed(project, "enrich-0", project.path)
            again = watch.rows + int(rate)
            await_(lambda: watch.rows >= again and built(steps, near), project)
            ground.say(f"switching after {time.monotonic() - load.begin:.0f} s of load")
            assert generator.is_alive(), "the load ended before the switch: give it more --seconds"
            busy = os.getloadavg()[0]
            asked, since = time.time(), time.monotonic()
            steps.switch("a load test", PATIENCE_S, BEHIND, lambda lacks: ground.say("; ".join(lacks)))
            told = {event: said(project, member, event) - asked for member, event in HANDED_OVER}
            ground.say("; ".join(f"{event} after {after:.2f} s" for event, after in told.items()))
            for member in ("enrich-0", "views-0"):
                project.stop(member)
            generator.join(PATIENCE_S)
            await_(lambda: watch.rows >= rows, project)
        finally:
            generator.terminate()
            generator.join()
        watch.over.set()
        watch.join()
        ground.say(f"last of the first, first of the second, seconds after: {watch.edges(since)}")
        predictions = collected(project, "predictions", rows)
        given = {logical: project.read(logical) for logical in ("events", "labels")}
    features = pa.Table.from_batches(watch.parts)
    wrong = [
        f"{name}: {wrongs}"
        for name, ids in (("features", features["event_id"]), ("predictions", predictions["event_id"]))
        if (wrongs := once(ids, rows))
    ]
    by = dict(zip(*np.unique(features["pipeline_revision"].to_numpy(), return_counts=True), strict=True))
    for revision, views in ((1, BASKET), (2, NEXT)):
        ground.say(f"revision {revision} undisturbed, over the same events")
        mine = features.filter(pa.array(features["pipeline_revision"].to_numpy() == revision))
        wrong += differing(mine, undisturbed(ground, file_of(ground, views), given))
    return Outcome(rows, {int(n): int(c) for n, c in by.items()}, watch.pauses(), watch.usual(), busy, wrong)


def built(steps: RevisionSteps, near: int) -> bool:
    """Whether the next revision is built up to so many events."""
    return not steps.lacking(steps.standing(), near)


def said(project: Project, member: str, event: str) -> float:
    """When a member said that something had happened to its last partition, seconds since the epoch."""
    lines = [line for line in log_lines(project.directory / f"{member}.log") if line["event"] == event]
    return max(map(moment, lines))


def killed(project: Project, member: str, path: Path, view: str = "") -> None:
    """Kill a member, and start it with a pipeline file."""
    project.stop(member, signal.SIGKILL)
    project.start(member, HEADRACE_PIPELINE=str(path), **({"HEADRACE_VIEW": view} if view else {}))


def await_(what: Callable[[], bool], project: Project) -> None:
    """Wait until something holds."""
    end = time.monotonic() + PATIENCE_S
    while not what():
        assert time.monotonic() < end, project.logs()
        alive(project)
        time.sleep(0.2)  # Polls the broker, or what a thread has seen.


def undisturbed(ground: Arena, source: Path, told: dict[str, pa.Table]) -> pa.Table:
    """Features of the same events by a pipeline that nobody revises or kills."""
    with ground.project(source) as project:
        for logical, key in (("labels", "event_id"), ("events", "customer_id")):
            for batch in told[logical].combine_chunks().to_batches():
                project.publish(batch, key, logical)
        begin(project, ("enrich-0", "views-0", "labels-0"))
        return collected(project, "features", told["events"].num_rows)


def differing(mine: pa.Table, wanted: pa.Table) -> list[str]:
    """Features that are not the same to the bit, with how many rows, of the events that both have."""
    ours, theirs = (flat(table) for table in (mine, wanted))
    pairs = ours.join(theirs, on="event_id", how="left", suffix=" wanted")
    found = []
    for name in theirs.columns:
        if name == "event_id":
            continue
        if name not in ours.columns:
            continue  # What went with the next revision; its readers have no column for it.
        count = int((~pairs[name].eq_missing(pairs[f"{name} wanted"])).sum())
        found += [f"{name}: {count} of {len(pairs)} rows differ"] if count else []
    return found


def flat(table: pa.Table) -> pl.DataFrame:
    """Features by event, a column each."""
    columns: dict[str, Any] = {"event_id": table["event_id"].combine_chunks()}
    for each in table.schema:
        if pa.types.is_struct(each.type):
            struct = table[each.name].combine_chunks()
            columns |= {f"{each.name}.{part.name}": struct.field(part.name) for part in each.type}
    return pl.DataFrame(pl.from_arrow(pa.table(columns)))


def main() -> int:
    """Run, print, and say by the exit code whether all is as it should be."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rate", type=float, default=5_000, help="events per second (5,000)")
    parser.add_argument("--seconds", type=float, default=90, help="of load (90)")
    parser.add_argument("--members", default=",".join(MEMBERS), help=f"beside those of enrich ({','.join(MEMBERS)})")
    parser.add_argument("--pause", type=float, default=BAR_S, help="longest that a partition may pause, seconds (2)")
    options = parser.parse_args()
    shown = console()
    with arena(say=shown.print, brief=True) as ground:
        stream = ground.stream(HISTORY + int(options.rate * options.seconds))
        found = revised(ground, stream, options.rate, options.seconds, options.members.split(","))
    table = Table(
        title=f"a revision at {options.rate:,.0f} events/s for {options.seconds:g} s, each service killed once"
    )
    for heading in ("events", "by the first", "by the second", "longest pause", "usual (median)", "load", "wrong"):
        table.add_column(heading, overflow="fold")
    pause = max(found.pauses.values())
    table.add_row(
        f"{found.events:,}", *(f"{found.by.get(number, 0):,}" for number in (1, 2)), f"{pause:.2f} s",
        f"{found.usual:.2f} s", f"{found.load:.1f} on {os.cpu_count()} CPUs", "; ".join(found.wrong) or "nothing",
    )  # fmt: skip  # one row
    shown.print(table)
    return 1 if found.wrong or pause > options.pause else 0


if __name__ == "__main__":
    sys.exit(main())
