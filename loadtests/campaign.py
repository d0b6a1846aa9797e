"""The Handbook's weeks through the running system: features, training, a plan, and a week that all models score."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from loadtests.arena import Arena, alive
from loadtests.following import Follower
from loadtests.meters import Meter
from loadtests.protocol import AS_OF, DAY, START, TESTED, TRAINED, Contender
from loadtests.stream import DATA
from services.cli.planning import now
from services.cli.train import between, revision, used
from services.inference.package import ModelPackage
from services.inference.planning import publish
from services.inference.plans import CHAMPION, SHADOW, Arm, Plan
from services.inference.store import ModelStore
from services.kit.batch import Batch
from services.kit.reading import read_topic
from services.training.bootstrap import train_offline
from services.training.dataset import milliseconds, newest, truth
from tests.project import ROOT, Project, handbook_labels, handbook_transactions

FIRST = START - 37 * DAY
"""The longest window and the delay of terminals' risk before the first day of training."""
QUIET_S = 600.0

kernels: Any = pc  # its stubs know too few of the overloads
Pick = Callable[[Batch], pa.Table]


@dataclass(frozen=True, slots=True)
class Entry:
    """A model that takes part: a contender with a seed."""

    contender: Contender
    seed: int

    @property
    def version(self) -> str:
        """Of its package."""
        return f"{self.contender.title.lower().replace(',', '').replace(' ', '-')}-{self.seed}"


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
        past = given.events_of(FIRST, AS_OF)
        with watch.step("history", f"{len(past):,} events up to the day of training, through enrich, views and labels"):
            project.publish(given.labels_of(FIRST, AS_OF), "event_id", "labels")
            project.publish(past, "customer_id")
            for member in ("labels-0", "enrich-0", "views-0", "shadow-0"):
                project.start(member)
            dark = Meter(project, "shadow-0", whole_log=True)
            features = gathered(project, "features", _training_rows, given.count(*TRAINED))
            _await_shadow(project, dark, len(past))
        with watch.step("training", f"training {len(entries)} models on {given.count(*TRAINED):,} of them"):
            arms, trained = _arms(project, entries, champion, features, ground.say)
        with watch.step("plan", f"a plan of a champion and {len(arms) - 1} shadows"):
            channel = project.contracts.channel("plans")
            plan = Plan(project.name, 1, tuple(arms))
            publish(
                project.connection,
                channel,
                project.name,
                lambda _: plan,
                time=now(),
                actor="load test",
                reason="the Handbook's table",
            )
            _await_models(project, dark, len(arms) - 1)
        week = given.events_of(*TESTED)
        with watch.step("test", f"{len(week):,} events of the test week, scored by {len(arms)} models"):
            project.publish(given.labels_of(AS_OF, TESTED[1] + 2 * 7 * DAY), "event_id", "labels")
            project.publish(week, "customer_id")
            project.start("score-0")
            answers = gathered(project, "predictions", _answers_from(START), given.count(START, TESTED[1]))
            shadows = gathered(project, "shadow-predictions", _answers_from(TESTED[0]), len(week) * (len(arms) - 1))
        with watch.step("outcomes", "the champion's outcomes of the week"):
            outcomes = gathered(project, "outcomes", _outcomes, len(week))
        labels, _ = read_topic(project.connection, project.contracts.channel("labels"))
        rule = project.contracts.pipeline.labels
    order = np.argsort(_ids(answers))
    answers = answers.take(pa.array(order))
    ids, times = _ids(answers), milliseconds(answers["event_time"])
    assert len(np.unique(ids)) == len(ids), "an event was answered twice"
    fraud = truth(answers, labels, rule, newest(answers, labels))
    tested = (times >= TESTED[0]) & (times < TESTED[1])
    scores = {champion.version: np.where(tested, answers["score"].to_numpy(), np.nan)}
    for version, rows in _by_version(shadows):
        scores[version] = _at(ids, rows)
        assert (np.isfinite(scores[version]) == tested).all(), f"{version} did not score each event of the week once"
    joined = _at(ids, outcomes.select(["event_id", "label"]).rename_columns(["event_id", "score"]))
    states = outcomes["state"].value_counts().to_pylist()
    return Played(
        times=times,
        customers=answers["entity"].cast(pa.int64()).to_numpy(),
        fraud=fraud.astype(np.int64),
        scores=scores,
        champion=champion.version,
        trained=trained,
        outcomes={each["values"]: each["counts"] for each in states},
        outcome_labels_differ=int((joined[tested] != fraud[tested]).sum()),
        events={"history": len(past), "test": len(week), "scores": len(week) * len(arms)},
        seconds=watch.seconds,
    )


# ---- what is kept of each topic ----------------------------------------------------------------------------------


def _training_rows(batch: Batch) -> pa.Table:
    rows = pa.Table.from_batches([batch.columns])
    rows = rows.append_column("_partition", pa.array(batch.partition)).append_column("_offset", pa.array(batch.offset))
    return between(rows, *TRAINED)


def _answers_from(start: int) -> Pick:
    def pick(batch: Batch) -> pa.Table:
        rows = between(pa.Table.from_batches([batch.columns]), start, TESTED[1])
        version = kernels.struct_field(rows["model"], "version").dictionary_encode()
        return rows.select(["event_id", "entity", "event_time", "score"]).append_column("version", version)

    return pick


def _outcomes(batch: Batch) -> pa.Table:
    rows = pa.Table.from_batches([batch.columns])
    rows = between(rows.filter(kernels.equal(rows["arm"], CHAMPION)), *TESTED)
    return rows.select(["event_id", "label", "state", "revision"])


def gathered(project: Project, logical: str, pick: Pick, count: int) -> pa.Table:
    """What `pick` keeps of a topic's records, once that is `count` rows.

    Raises:
        AssertionError: nothing came for `QUIET_S`, a member ended, or there are more rows; with the members' logs.
    """
    parts: list[pa.Table] = []
    got, waited = 0, 0.0
    with Follower(project.connection, project.contracts.channel(logical)) as follower:
        before, _ = follower.poll(0)
        while got < count:
            at, intake = follower.poll(0.5)
            if intake is not None:
                parts.append(pick(intake.batch))
                got += len(parts[-1])
            waited = 0.0 if intake is not None else waited + at - before
            before = at
            assert waited < QUIET_S, f"{got} of {count} {logical}\n{project.logs()}"
            alive(project)
    assert got == count, f"{got} of {count} {logical}"
    return pa.concat_tables(parts, promote_options="default").unify_dictionaries()


# ---- models ------------------------------------------------------------------------------------------------------


def _arms(
    project: Project, entries: Sequence[Entry], champion: Entry, features: pa.Table, say: Callable[[str], None]
) -> tuple[list[Arm], tuple[int, int]]:
    """Train all; the champion by the command as well, which must make the same package. Also rows and frauds."""
    labels, _ = read_topic(project.connection, project.contracts.channel("labels"))
    offsets = {f"{project.name}.{name}": used(rows) for name, rows in (("features", features), ("labels", labels))}
    store = ModelStore(str(project.directory / "models"), project.directory / "trained")
    code = revision()
    arms, trained = [], (0, 0)
    for entry in entries:
        contender, begin = entry.contender, time.monotonic()
        package, uri = train_offline(
            project.contracts.pipeline,
            features,
            labels,
            store,
            entry.version,
            trainer=contender.trainer,
            parameters=contender.parameters,
            seed=entry.seed,
            holdout=0.0,
            as_of=AS_OF,
            revision=code,
            offsets=offsets,
        )
        say(f"  {entry.version}: {time.monotonic() - begin:.1f} s")
        manifest = package.manifest
        assert manifest.training is not None
        trained = manifest.training.rows, manifest.training.positives
        if entry == champion:
            made = _by_command(project, entry)
            assert made == package.digest, f"headrace train made {made}, not {package.digest}"
        arms.append(_arm(package, uri, CHAMPION if entry == champion else SHADOW))
    return arms, trained


def _arm(package: ModelPackage, uri: str, kind: str) -> Arm:
    return Arm(kind, package.manifest.name, package.manifest.version, package.digest, uri)


def _by_command(project: Project, entry: Entry) -> str:
    """The digest of what `headrace train` makes of the same topics and choices."""
    contender = entry.contender
    command = [sys.executable, "-m", "services.cli", "train", str(project.path), "--no-plan", "--json"]
    days = {"from": TRAINED[0], "to": TRAINED[1], "as-of": AS_OF}
    command += [text for name, at in days.items() for text in (f"--{name}", str(at))]
    command += ["--trainer", contender.trainer, "--holdout", "0", "--seed", str(entry.seed)]
    command += ["--model-version", entry.version]
    command += [text for name, value in contender.parameters.items() for text in ("--param", f"{name}={value}")]
    environment = project.environment("train", HEADRACE_HOME=str(project.directory / "home"))
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert ran.returncode == 0, ran.stdout[-1000:] + ran.stderr[-3000:]
    return str(json.loads(ran.stdout)["digest"])


def _await_shadow(project: Project, meter: Meter, count: int) -> None:
    """Return once the shadow has passed all features: what comes from now on is scored, what was is not."""
    _await(project, lambda: meter.sample().records >= count, "the shadow does not read all features")


def _await_models(project: Project, meter: Meter, count: int) -> None:
    def playing() -> bool:
        return meter.metrics().get(("headrace_dark_models", "playing"), 0.0) == count

    _await(project, playing, f"the shadow does not play {count} models")


def _await(project: Project, done: Callable[[], bool], otherwise: str) -> None:
    end = time.monotonic() + QUIET_S
    while not done():
        assert time.monotonic() < end, f"{otherwise}\n{project.logs()}"
        alive(project)
        time.sleep(0.5)  # Polls its metrics: there is no event to wait for.


# ---- columns -----------------------------------------------------------------------------------------------------


def _ids(rows: pa.Table) -> npt.NDArray[np.int64]:
    found: npt.NDArray[np.int64] = rows["event_id"].cast(pa.int64()).to_numpy()
    return found


def _by_version(rows: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    versions = rows["version"].combine_chunks()
    codes = versions.indices.to_numpy()
    for code, name in enumerate(versions.dictionary.to_pylist()):
        yield name, rows.take(pa.array(np.flatnonzero(codes == code)))


def _at(ids: npt.NDArray[np.int64], rows: pa.Table) -> npt.NDArray[np.float64]:
    """The scores of rows at their events' places among ascending ids; NaN for events without a row."""
    own = _ids(rows)
    assert len(np.unique(own)) == len(own), "an event has two rows"
    found = np.full(len(ids), np.nan)
    found[np.searchsorted(ids, own)] = rows["score"].to_numpy()
    return found
