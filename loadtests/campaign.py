"""The Handbook's weeks through the running system: features, training, a plan, and a week that all models score."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from headrace.domain.plans.plan_log import publish
from headrace.domain.plans.plans import CHAMPION, Arm, Plan
from headrace.domain.training.dataset import milliseconds, newest, truth
from headrace.operations.plan_changes.plan_topic import now
from headrace.streaming.kafka.reader import read_topic
from loadtests.arena import Arena, alive, stuck
from loadtests.entrants import Entry, trained
from loadtests.gathering import (
    QUIET_S,
    Card,
    answers_from,
    champions_cards,
    champions_outcomes,
    gathered,
    training_rows,
)
from loadtests.meters import Meter
from loadtests.protocol import AS_OF, DAY, DAYS, START, TESTED, TRAINED
from loadtests.stream import DATA
from tests.project import Project, handbook_labels, handbook_transactions

FIRST = START - 37 * DAY
"""The longest window and the delay of terminals' risk before the first day of training."""
KNOWN = TESTED[1] + DAYS * DAY
"""When the last label of the test week is known."""


@dataclass(frozen=True, slots=True)
class Weeks:
    """Transactions in time order and what each turned out to be, a week after it.

    Attributes:
        times: event times in milliseconds, int64 [n]; ascending.
    """

    events: pa.RecordBatch
    labels: pa.RecordBatch
    times: npt.NDArray[np.int64]

    def count(self, start: int, stop: int) -> int:
        """How many transactions there are in a span of milliseconds."""
        first, last = np.searchsorted(self.times, (start, stop))
        return int(last - first)

    def events_of(self, start: int, stop: int) -> pa.RecordBatch:
        """Transactions of a span of milliseconds."""
        first = int(np.searchsorted(self.times, start))
        return self.events.slice(first, self.count(start, stop))

    def labels_of(self, start: int, stop: int) -> pa.RecordBatch:
        """Labels that became known in a span of milliseconds."""
        known = milliseconds(self.labels["label_time"])
        first, last = np.searchsorted(known, (start, stop))
        return self.labels.slice(int(first), int(last - first))


@dataclass(frozen=True, slots=True)
class Played:
    """What came out.

    Attributes:
        times, customers, fraud: of all transactions from the first day of training on, [n], by transaction id.
        scores: by version of the model, [n]; NaN outside of the test week.
        champion: version of the model that answered.
        trained: rows and frauds that models were fitted on.
        outcomes: of the champion in the test week: state -> how many.
        outcome_labels_differ: how many of these have another label than the labels topic says.
        cards: the champion's scorecards of the test week: begin of the day in milliseconds -> figures by name.
        events: how many went through, by step.
        seconds: how long each step took.
    """

    times: npt.NDArray[np.int64]
    customers: npt.NDArray[np.int64]
    fraud: npt.NDArray[np.int64]
    scores: Mapping[str, npt.NDArray[np.float64]]
    champion: str
    trained: tuple[int, int]
    outcomes: Mapping[str, int]
    outcome_labels_differ: int
    cards: Mapping[int, Card]
    events: Mapping[str, int]
    seconds: Mapping[str, float]


@dataclass
class Watch:
    """Times the steps and tells of them."""

    say: Callable[[str], None]
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str, what: str) -> Iterator[None]:
        """One step."""
        self.say(what)
        begin = time.monotonic()
        yield
        self.seconds[name] = time.monotonic() - begin
        self.say(f"  {self.seconds[name]:.0f} s")


def weeks(sample: int = 1) -> Weeks:
    """The real transactions that the table needs; of every `sample`-th customer alone, for a rehearsal."""
    path = DATA / "transactions.parquet"
    clock = pq.read_table(path, columns=["tx_datetime"])["tx_datetime"].cast(pa.timestamp("ms")).cast(pa.int64())
    first, last = np.searchsorted(clock.to_numpy(), (FIRST, TESTED[1])).tolist()
    events, labels = (read(path, slice(first, last)) for read in (handbook_transactions, handbook_labels))
    if sample > 1:
        kept = pa.array(events["customer_id"].to_numpy() % sample == 0)
        events, labels = events.filter(kept), labels.filter(kept)
    return Weeks(events, labels, milliseconds(events["tx_datetime"]))


def play(ground: Arena, entries: Sequence[Entry], champion: Entry, given: Weeks) -> Played:
    """All of it, in the order of time: nobody is told anything that was not known at that moment.

    Args:
        entries: all models, the champion among them.
        champion: who answers; the others are scored in the dark.
    """
    watch = Watch(ground.say)
    # Replayed at full speed, everything is late and nothing is shed; 30 models take their time to load.
    with ground.project(HEADRACE_SHED_AFTER_S="0", HEADRACE_SILENCE_S="600") as project:
        past, week = given.events_of(FIRST, AS_OF), given.events_of(*TESTED)
        with watch.step("history", f"{len(past):,} events up to the day of training, through enrich, views and labels"):
            project.publish(given.labels_of(FIRST, AS_OF), "event_id", "labels")
            project.publish(past, "customer_id")
            for member in ("labels-0", "enrich-0", "views-0"):
                project.start(member)
            features = gathered(project, "features", training_rows, given.count(*TRAINED))
        with watch.step("training", f"training {len(entries)} models on {given.count(*TRAINED):,} of them"):
            arms, rows = trained(project, entries, champion, features, ground.say)
        with watch.step("plan", f"a plan of the champion, then one with {len(arms) - 1} shadows beside it"):
            _play(project, [arm for arm in arms if arm.arm == CHAMPION])
            for member in ("score-0", "shadow-0"):
                project.start(member)
            shadow = Meter(project, "shadow-0", whole_log=True)
            # By a plan without dark models the shadow passes what was: what comes after the next plan is scored.
            _await(project, lambda: shadow.sample().records >= len(past), "the shadow does not read all features")
            _play(project, arms)
            playing = ("headrace_dark_models", "playing")
            _await(project, lambda: shadow.metrics().get(playing) == len(arms) - 1, "the shadow does not play all")
        with watch.step("test", f"{len(week):,} events of the test week, scored by {len(arms)} models"):
            project.publish(given.labels_of(AS_OF, KNOWN), "event_id", "labels")
            project.publish(week, "customer_id")
            answers = gathered(project, "predictions", answers_from(START), given.count(START, TESTED[1]))
            shadows = gathered(project, "shadow-predictions", answers_from(TESTED[0]), len(week) * (len(arms) - 1))
        with watch.step("outcomes", "the champion's outcomes of the week"):
            outcomes = gathered(project, "outcomes", champions_outcomes, len(week))
        with watch.step("cards", "its scorecards"):
            project.start("scorecards-0")
            days = range(*TESTED, DAY)
            cards = champions_cards(project, {day: given.count(day, day + DAY) for day in days})
        labels, _ = read_topic(project.connection, project.contracts.channel("labels"))
        rule = project.contracts.pipeline.labels
    answers = answers.take(pa.array(np.argsort(_ids(answers))))
    ids, times = _ids(answers), milliseconds(answers["event_time"])
    assert len(np.unique(ids)) == len(ids), "an event was answered twice"
    fraud = truth(answers, labels, rule, newest(answers, labels))
    tested = (times >= TESTED[0]) & (times < TESTED[1])
    scores = {champion.version: np.where(tested, answers["score"].to_numpy(), np.nan)}
    for version, own in _by_version(shadows):
        scores[version] = _at(ids, own, "score")
        assert (np.isfinite(scores[version]) == tested).all(), f"{version} did not score each event of the week once"
    joined = _at(ids, outcomes, "label")
    return Played(
        times=times,
        customers=answers["entity"].cast(pa.int64()).to_numpy(),
        fraud=fraud.astype(np.int64),
        scores=scores,
        champion=champion.version,
        trained=rows,
        outcomes={each["values"]: each["counts"] for each in outcomes["state"].value_counts().to_pylist()},
        outcome_labels_differ=int((joined[tested] != fraud[tested]).sum()),
        cards=cards,
        events={"history": len(past), "test": len(week), "scores": len(week) * len(arms)},
        seconds=watch.seconds,
    )


def _play(project: Project, arms: Sequence[Arm]) -> None:
    """Make them the plan, after the one before."""
    plan, channel = Plan(project.name, 0, tuple(arms)), project.contracts.channel("plans")
    told: dict[str, Any] = {"time": now(), "actor": "load test", "reason": "the Handbook's table"}
    publish(project.connection, channel, project.name, lambda _: plan, **told)


def _await(project: Project, done: Callable[[], bool], otherwise: str) -> None:
    end = time.monotonic() + QUIET_S
    alive(project)
    while not done():
        assert time.monotonic() < end, f"{otherwise}\n{stuck(project)}"
        time.sleep(0.5)  # Polls its metrics: there is no event to wait for.
        alive(project)


def _ids(rows: pa.Table) -> npt.NDArray[np.int64]:
    found: npt.NDArray[np.int64] = rows["event_id"].cast(pa.int64()).to_numpy()
    return found


def _by_version(rows: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    versions = rows["version"].combine_chunks()
    codes = versions.indices.to_numpy()
    for code, name in enumerate(versions.dictionary.to_pylist()):
        yield name, rows.take(pa.array(np.flatnonzero(codes == code)))


def _at(ids: npt.NDArray[np.int64], rows: pa.Table, name: str) -> npt.NDArray[np.float64]:
    """A column's values at their events' places among ascending ids; NaN for events without a row."""
    own = _ids(rows)
    assert len(np.unique(own)) == len(own), f"an event has two rows with a {name}"
    found = np.full(len(ids), np.nan)
    found[np.searchsorted(ids, own)] = rows[name].to_numpy()
    return found
