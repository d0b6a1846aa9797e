"""What dark models cost, and that they cost the champion nothing.

Cost: CPU of `shadow` with three models beside that of `score` with one, over the same features, in turn. Isolation: the
champion's throughput over a backlog and its p99 on a live stream, by turns without and with a shadow whose model takes
a hundred times as long as the champion and never sheds; runs are paired, each with its neighbour, and the difference is
held against that of runs of one kind among themselves.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from headrace.domain.models.package import ModelPackage, pack
from headrace.domain.models.sessions import SessionSettings, open_session
from headrace.domain.models.store import ModelStore
from headrace.domain.plans.plans import CHALLENGER, CHAMPION, SHADOW, Arm, Plan
from headrace.streaming.kafka.client import Producer
from loadtests.arena import SERVING, Arena, alive, begin, collected
from loadtests.latency import PATIENCE_S, await_rows, during, summary
from loadtests.living import live, remember, trickle
from loadtests.load import write_events
from loadtests.meters import Meter
from loadtests.throughput import flow
from tests.models.graphs import deep
from tests.project import Project

DARK = 3
SLOWER = 100
WIDTH = 256
"""Of the slow model's layers: it is slow by their number, and small enough for a core's own cache. A model that streams
tens of megabytes of weights takes memory bandwidth from all who share the machine; no priority gives that back."""
HISTORY = 5_000


@dataclass(frozen=True, slots=True)
class Size:
    """How much is done; `--quick` is for a test that the benchmark runs at all, its figures mean nothing."""

    events: int = 200_000
    rounds: int = 4
    rate: int = 1_000
    seconds: float = 20.0
    warm_seconds: float = 5.0


WHOLE = Size()
QUICK = Size(4_000, 1, 200, 2.0, 1.0)


def measure(ground: Arena, size: Size) -> dict[str, Any]:
    """Cost and isolation; see there."""
    features = made_features(ground, size.events)
    return {"cost": cost(ground, size, features), "isolation": isolation(ground, size, features)}


def cost(ground: Arena, size: Size, features: pa.Table) -> dict[str, Any]:
    """CPU microseconds per event of `score` with one model and of `shadow` with three, and their ratio by round."""
    package, uri = ground.model
    rivals = [pack(package.manifest.model_copy(update={"version": f"dark-{n}"}), package.graph) for n in range(DARK)]
    found: dict[str, list[dict[str, Any]]] = {"score": [], "shadow": []}
    for turn in range(size.rounds):
        ground.say(f"cost, round {turn + 1} of {size.rounds}: {size.events:,} events")
        with ground.project(HEADRACE_SHED_AFTER_S="0") as project:
            publish(project, features)
            plan(ground, project, [arm(package, uri, CHAMPION), *(dark(ground, rival) for rival in rivals)])
            for service in sorted(found, reverse=bool(turn % 2)):
                found[service].append(flow(ground, project, [f"{service}-0"], size.events)[service])
    each = {name: [float(run["us_per_event"]) for run in runs] for name, runs in found.items()}
    ratios = [dark / light for dark, light in zip(each["shadow"], each["score"], strict=True)]
    stages = {name: runs[0]["stages_us"] for name, runs in found.items()}
    return {"us_per_event": each, "ratios": ratios, "ratio": float(np.median(ratios)), "stages_us": stages}


def isolation(ground: Arena, size: Size, features: pa.Table) -> dict[str, Any]:
    """The champion without and with a shadow of a model `SLOWER` times as slow.

    `throughput` is events per second of wall time over a backlog, which is what anybody's load on the machine changes;
    `us_per_event` is the champion's own CPU for them; `p99_ms` is of a live stream.
    """
    package, uri = ground.model
    slow, times = slow_model(package)
    arms = [arm(package, uri, CHAMPION), dark(ground, slow)]
    order = [with_shadow for turn in range(size.rounds) for with_shadow in ((False, True), (True, False))[turn % 2]]
    runs: dict[bool, list[dict[str, Any]]] = {False: [], True: []}
    for with_shadow in order:
        ground.say(f"isolation, backlog {'with' if with_shadow else 'without'} the slow shadow")
        with ground.project(HEADRACE_SHED_AFTER_S="0") as project:
            publish(project, features)
            plan(ground, project, arms)
            if with_shadow:
                busy_shadow(project)
            runs[with_shadow].append(flow(ground, project, ["score-0"], size.events))
            if with_shadow:
                project.stop("shadow-0")
    speed = {kind: [float(run["wall_events_per_s"]) for run in by] for kind, by in runs.items()}
    work = {kind: [float(run["score"]["us_per_event"]) for run in by] for kind, by in runs.items()}
    delays = waits(ground, size, arms, order)
    return {
        "slower": times,
        "rate": size.rate,
        "throughput": paired(speed[False], speed[True]),
        "us_per_event": paired(work[False], work[True]),
        "p99_ms": paired(delays[False], delays[True]),
    }


def waits(ground: Arena, size: Size, arms: Sequence[Arm], order: Sequence[bool]) -> dict[bool, list[float]]:
    """The p99 of each run of a live stream through enrich, views and score, by whether the slow shadow runs."""
    warm, rows = int(size.rate * size.warm_seconds), int(size.rate * size.seconds)
    stream = ground.stream(HISTORY + len(order) * (warm + rows))
    path = write_events(ground.directory / "shadowing.arrow", stream.events)
    found: dict[bool, list[float]] = {False: [], True: []}
    with ground.project(HEADRACE_SHED_AFTER_S="0") as project:
        plan(ground, project, arms)
        past = remember(ground, project, stream, HISTORY)
        begin(project, SERVING)
        load = live(project, path, HISTORY, warm + rows, size.rate)
        with trickle(project, past, PATIENCE_S + len(order) * (PATIENCE_S + load.seconds)):
            await_rows(project, HISTORY)
            for with_shadow in order:
                ground.say(f"isolation, live {'with' if with_shadow else 'without'} the slow shadow")
                if with_shadow:
                    busy_shadow(project)
                latencies = during(project, load, project.contracts.channel("predictions"), "event_id")
                if with_shadow:
                    project.stop("shadow-0")
                found[with_shadow].append(summary(latencies[warm:])["p99_ms"])
                load = replace(load, first=load.first + warm + rows)
    return found


def busy_shadow(project: Project) -> None:
    """Start the shadow, and return once it has its partitions and models: its start is not what is measured."""
    project.start("shadow-0", HEADRACE_BATCH_ROWS="256")
    meter, end = Meter(project, "shadow-0"), time.monotonic() + PATIENCE_S
    while not meter.metrics().get(("headrace_ready", "")):
        assert time.monotonic() < end, f"the shadow does not get ready\n{project.logs()}"
        alive(project)
        time.sleep(0.2)  # Polls its metrics: there is no event to wait for.


def paired(without: Sequence[float], with_it: Sequence[float]) -> dict[str, Any]:
    """Neighbouring runs compared.

    `effect`: the geometric mean of with/without over pairs. `noise`: the factor by which runs of one kind differ from
    their own mean, twice the standard error of a paired difference; the effect is within it when it is no further from
    1 than that.
    """
    logs = np.log(with_it) - np.log(without)
    spread = np.concatenate([np.log(runs) - np.log(runs).mean() for runs in (without, with_it)])
    freedom = max(len(spread) - 2, 1)
    error = float(np.sqrt((spread**2).sum() / freedom) * np.sqrt(2 / len(logs)))
    effect, noise = float(np.exp(logs.mean())), float(np.exp(2 * error))
    return {
        "without": list(without),
        "with": list(with_it),
        "effect": effect,
        "noise": noise,
        "within": 1 / noise <= effect <= noise,
    }


def slow_model(champion: ModelPackage) -> tuple[ModelPackage, float]:
    """A deep network on the champion's inputs that takes `SLOWER` times as long, and how much longer it does take."""
    settings = SessionSettings(device="cpu")
    light = open_session(champion, settings).batch.seconds_per_row
    inputs = len(champion.manifest.inputs)
    manifest = champion.manifest.model_copy(update={"version": "slow"})
    layers, times = 16, 0.0
    while times < SLOWER:
        layers *= 2
        package = pack(manifest, deep(inputs, WIDTH, layers))
        times = open_session(package, replace(settings, rows=0)).batch.seconds_per_row / light
    return package, times


def made_features(ground: Arena, rows: int) -> pa.Table:
    """The features of the stream's first events, made once by `enrich`."""
    stream = ground.stream(rows)
    with ground.project() as project:
        ground.publish(project, stream)
        begin(project, ("enrich-0", "views-0"))
        return collected(project, "features", rows)


def publish(project: Project, features: pa.Table) -> None:
    """Write features to a project's topic, in their order."""
    channel = project.contracts.channel("features")
    producer = Producer(project.connection)
    for batch in features.combine_chunks().to_batches(max_chunksize=10_000):
        producer.send(channel.name, batch["entity"].to_pylist(), channel.codec.encode(batch))
        producer.poll()
    producer.flush()


def arm(package: ModelPackage, uri: str, kind: str, priority: int = 0) -> Arm:
    """An arm of a plan."""
    return Arm(kind, package.manifest.name, package.manifest.version, package.digest, uri, priority=priority)


def dark(ground: Arena, package: ModelPackage) -> Arm:
    """A shadow of this package, which is put into the store."""
    store = ModelStore(str(ground.directory / "models"), ground.directory / "cache")
    kind = SHADOW if package.manifest.version == "slow" else CHALLENGER
    return arm(package, store.put(package), kind)


def plan(ground: Arena, project: Project, arms: Sequence[Arm]) -> None:
    """Publish a plan of these arms."""
    project.settings["HEADRACE_MODELS"] = str(ground.directory / "models")
    project.settings["HEADRACE_MODEL_CACHE"] = str(ground.directory / "cache")
    channel = project.contracts.channel("plans")
    fact = Plan(project.name, 1, tuple(arms)).fact(0, "load test", "load test")
    rows = pa.RecordBatch.from_pylist([fact], schema=channel.codec.reader.arrow)
    producer = Producer(project.connection)
    producer.send(channel.name, [project.name], channel.codec.encode(rows))
    producer.flush()
