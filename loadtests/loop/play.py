"""A data set through the running system, a day at a time, with the loop on; then the first champion on the same events.

The next day is published once nothing is left to do of the one before: no record unread, no training or evaluation at
work. So what is decided on a day depends on what was known by its end, and not on how fast this machine is.
"""

from __future__ import annotations

import math
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from headrace.domain.control.events import ControlEvent
from headrace.domain.training.dataset import milliseconds
from headrace.streaming.kafka.client import Consumer
from headrace.streaming.kafka.message import TopicPartition
from headrace.streaming.kafka.reader import Range, ranges
from loadtests.arena import Arena, begin
from loadtests.gathering import followed
from loadtests.loop.calm import Observer, published
from loadtests.loop.cases import LoopCase
from loadtests.loop.costs import CostMeter
from tests.members import ROOT
from tests.project import Project

SETTINGS = {
    "HEADRACE_IDLE_AFTER_S": "2",
    "HEADRACE_LOOK_S": "0.4",
    "HEADRACE_SHED_AFTER_S": "0",
    "HEADRACE_SILENCE_S": "600",
    "PYTHONDONTWRITEBYTECODE": "",
}
"""Of all members: who waits for an idle source does so briefly, and dark models are never left out, as on a replay
everything is late."""
FIRST = "first"
"""Version of the champion that is left alone."""
LOOP = ("score-0", "shadow-0", "drift-0", "release-0", "retrain-0")
CARDS = "scorecards-0"
"""Beside the loop, and not waited for: nobody who decides reads scorecards, which take some time after a step."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """What came out.

    Attributes:
        answers: event_id, event_time, score, arm and version of all that was published in the span, by event id.
        alone: score of the first champion for each of these events, float64 [n].
        labels: truth of each, int64 [n].
        control: control events, and of each the end of the step in which it was said: before the span its beginning.
        cpu: CPU-seconds of the span, by service.
        seconds: that the span took by the clock.
        before: events before it.
        outcomes: how many answers have one, and how many of these were corrected.
        whole: whether it came to the end of the data.
        restarts: members that ended by themselves and were started again, as a supervisor does.
    """

    case: LoopCase
    answers: pa.Table
    alone: npt.NDArray[np.float64]
    labels: npt.NDArray[np.int64]
    control: list[tuple[int, ControlEvent]]
    cpu: Mapping[str, float]
    seconds: float
    before: int
    restarts: list[str]
    outcomes: tuple[int, int]
    whole: bool


def play(ground: Arena, case: LoopCase, minutes: float = math.inf) -> Replayed:
    """All of it, in the order of time; no further step once `minutes` have gone by since the loop began.

    Raises:
        AssertionError: something was answered twice or never, or a member ended for good; with what members say.
    """
    given, last = case.given, int(case.given.times[-1])
    with project_of(ground, case) as project:
        views = [
            f"views-{number}" for number, view in enumerate(project.contracts.pipeline.views) if _apart(project, view)
        ]
        source = ("labels-0", "enrich-0", *views)
        before = given.count(case.first, case.opens)
        ground.say(f"{case.title}: {before:,} events up to the day on which the loop begins")
        begin(project, source)
        passed = _history(project, case)
        ground.say(command(project, "train", "--from", case.trained, "--to", case.opens, "--as-of", case.opens,
                           "--version", FIRST, "--reason", "the champion that the loop begins with"))  # fmt: skip
        _score_from(project, passed)
        begin(project, (*LOOP, CARDS))
        with Observer(project, (*source, *LOOP)) as observer:
            observer.settle(case.opens, given.count(case.trained, case.opens), _known(case, case.opens))
            since = time.monotonic()
            costs = CostMeter(project, {"kafka": ground.broker_pid})
            for number, day in enumerate(range(case.opens, case.ends, case.step)):
                end = min(day + case.step, case.ends)
                _publish(project, case, day, end)
                observer.settle(end, given.count(case.trained, end), _known(case, end))
                costs.note()
                if time.monotonic() - since > minutes * 60:
                    case = replace(case, ends=end)
                    break
                if number % 7 == 6:
                    ground.say(f"  {np.datetime64(end, 'ms')}: {time.monotonic() - since:,.0f} s, "
                               f"{len(observer.control)} control events")  # fmt: skip
            seconds, restarts = time.monotonic() - since, observer.restarts
            answers = published(observer.answers)
            outcomes = (observer.outcomes, observer.corrected)
            control = list(zip(observer.steps, observer.control, strict=True))
        alone = _alone(project, case, ground.directory / f"{case.name}.parquet")
    answers = _in_order(answers.filter(pa.array(milliseconds(answers["event_time"]) >= case.opens)))
    assert answers["event_id"].equals(alone["event_id"]), "the first champion was not shown the same events"
    scores = alone["score"].to_numpy().astype(float)
    own = answers["version"].to_numpy() == FIRST
    assert (scores[own] == answers["score"].to_numpy()[own]).all(), "a replay says something else than was said then"
    truth, whole = _truth(case, answers), case.ends > last
    return Replayed(case, answers, scores, truth, control, costs.spent, seconds, before, restarts, outcomes, whole)


@contextmanager
def project_of(ground: Arena, case: LoopCase) -> Iterator[Project]:
    """The pipeline as it is played, on topics of its own; its members end with the block."""
    source = ground.directory / f"{case.name}-source"
    (source / "pipelines").mkdir(parents=True)
    shutil.copytree(ROOT / "schemas", source / "schemas")
    path = source / "pipelines" / case.source.name
    path.write_text(case.text())
    project = Project(path, case.name, ground.directory / case.name, ground.bootstrap, ground.redis, case.partitions)
    project.settings = {**SETTINGS, "HEADRACE_TRAININGS": str(project.directory / "trainings")}
    try:
        yield project
    finally:
        project.close()


def command(project: Project, name: str, *words: object) -> str:
    """What a `headrace` command of the pipeline says; AssertionError when it fails."""
    argv = [sys.executable, "-m", "headrace.cli", name, str(project.path), *map(str, words)]
    ran = subprocess.run(argv, cwd=ROOT, env=project.environment(name), capture_output=True, text=True)
    assert ran.returncode == 0, f"{' '.join(argv)}: {ran.returncode}\n{ran.stdout}\n{ran.stderr}"
    return ran.stdout.strip()


def _apart(project: Project, view: str) -> bool:
    """Whether a view is kept by a service of its own."""
    found = project.contracts.pipeline.views[view]
    return found.key is not None and found.key != project.contracts.pipeline.events.key


def _publish(project: Project, case: LoopCase, start: int, stop: int) -> None:
    """What becomes known, and what happens, in a span: labels first, which nobody looks at before their time."""
    project.publish(case.given.labels_of(start, stop), "event_id", "labels")
    project.publish(case.given.events_of(start, stop), case.key)


def _history(project: Project, case: LoopCase) -> list[Range]:
    """Have features made of all events before the loop; where on their topic those are that only filled windows."""
    passed: list[Range] = []
    got = 0
    features = followed(project, "features")
    for start, stop in ((case.first, case.trained), (case.trained, case.opens)):
        _publish(project, case, start, stop)
        wanted = case.given.count(case.first, stop)
        while got < wanted:
            got += len(next(features))
        assert got == wanted, f"{got} features of {wanted} events"
        if stop == case.trained:
            passed = ranges(project.connection, project.contracts.channel("features").name)
    features.close()
    return passed


def _score_from(project: Project, passed: list[Range]) -> None:
    """Have `score` and `shadow` begin behind some features, as an operator does by resetting a group's offsets."""
    topic = project.contracts.channel("features").name
    offsets = [TopicPartition(topic, part.partition, part.stop) for part in passed]
    for service in ("score", "shadow"):
        consumer = Consumer(project.connection, group=f"{project.name}.{service}")
        consumer.assign(offsets)
        consumer.commit(offsets)
        consumer.close()


def _known(case: LoopCase, moment: int) -> int:
    """How many of the events that are scored have a label by a moment."""
    known = milliseconds(case.given.labels["label_time"])
    return max(int(np.searchsorted(known, moment)) - int(np.searchsorted(case.given.times, case.trained)), 0)


def _alone(project: Project, case: LoopCase, path: Path) -> pa.Table:
    """What the first champion says to the events of the span, in the order of their ids."""
    name = project.contracts.pipeline.model.name
    command(project, "replay", "--model", f"{name}@{FIRST}", "--from", case.opens, "--to", case.ends, "--out", path)
    return _in_order(pq.read_table(path, columns=["event_id", "score"]).combine_chunks())


def _in_order(rows: pa.Table) -> pa.Table:
    return rows.take(pa.array(np.argsort(rows["event_id"].cast(pa.int64()).to_numpy()))).combine_chunks()


def _truth(case: LoopCase, answers: pa.Table) -> npt.NDArray[np.int64]:
    """Labels of answers, those too that are known after the span alone."""
    ids = case.given.labels["event_id"].cast(pa.int64()).to_numpy()
    values = case.given.labels["value"].to_numpy()
    order = np.argsort(ids)
    own = answers["event_id"].cast(pa.int64()).to_numpy()
    found: npt.NDArray[np.int64] = values[order][np.searchsorted(ids[order], own)].astype(np.int64)
    return found
