"""What dark models cost, and that they cost the champion nothing.

    python -m loadtests.shadowing [--only cost,isolation] [--rounds N] [--quick] [--json PATH]

Cost: CPU of `shadow` with three models beside that of `score` with one, over the same features, in turn. Isolation: the
champion's throughput over a backlog and its p99 on a live stream, by turns without and with a shadow whose model takes
a hundred times as long as the champion and never sheds; runs are paired, each with its neighbour, and the difference is
held against that of runs of one kind among themselves.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from loadtests.arena import Arena, alive, arena, collected, console
from loadtests.bench import machine
from loadtests.latency import await_rows, during, summary
from loadtests.load import Load, write_events
from loadtests.meters import Meter
from loadtests.report import number, table
from loadtests.throughput import flow
from services.inference.package import ModelPackage, pack
from services.inference.plans import CHALLENGER, CHAMPION, SHADOW, Arm, Plan
from services.inference.sessions import SessionSettings, open_session
from services.inference.store import ModelStore
from services.kit.kafka import Producer
from tests.inference.graphs import deep
from tests.project import Project

DARK = 3
COST_BAR = 3.3
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
    model_rows: int = 60_000


QUICK = Size(4_000, 1, 200, 2.0, 1.0, 12_000)


def cost(ground: Arena, size: Size) -> dict[str, Any]:
    """CPU microseconds per event of `score` with one model and of `shadow` with three, and their ratio by round."""
    features = made_features(ground, size.events)
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


def isolation(ground: Arena, size: Size) -> dict[str, Any]:
    """The champion without and with a shadow of a model `SLOWER` times as slow.

    `throughput` is events per second of wall time over a backlog, which is what anybody's load on the machine changes;
    `us_per_event` is the champion's own CPU for them; `p99_ms` is of a live stream.
    """
    package, uri = ground.model
    slow, times = slow_model(package)
    arms = [arm(package, uri, CHAMPION), dark(ground, slow)]
    features = made_features(ground, size.events)
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
    waits = live(ground, size, arms, order)
    return {
        "slower": times,
        "rate": size.rate,
        "throughput": paired(speed[False], speed[True]),
        "us_per_event": paired(work[False], work[True]),
        "p99_ms": paired(waits[False], waits[True]),
    }


def live(ground: Arena, size: Size, arms: Sequence[Arm], order: Sequence[bool]) -> dict[bool, list[float]]:
    """The p99 of each run of a live stream through enrich, views and score, by whether the slow shadow runs."""
    warm, rows = int(size.rate * size.warm_seconds), int(size.rate * size.seconds)
    stream = ground.stream(HISTORY + len(order) * (warm + rows))
    path = write_events(ground.directory / "shadowing.arrow", stream.events)
    found: dict[bool, list[float]] = {False: [], True: []}
    with ground.project(HEADRACE_SHED_AFTER_S="0") as project:
        plan(ground, project, arms)
        ground.label(project, stream)
        project.publish(stream.events.slice(0, HISTORY), "customer_id")
        for member in ("enrich-0", "views-0", "score-0"):
            project.start(member)
        await_rows(project, HISTORY)
        load = Load(
            ground.bootstrap, str(project.path), project.contracts.channel("events").name, str(path),
            HISTORY, warm + rows, size.rate, 0.0,
        )  # fmt: skip  # where, what
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
    meter, end = Meter(project, "shadow-0"), time.monotonic() + 60
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
        ground.label(project, stream)
        project.publish(stream.events, "customer_id")
        project.start("enrich-0")
        project.start("views-0")
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


def show(figures: Mapping[str, Any]) -> None:
    """Print the tables."""
    shown = console()
    if "cost" in figures:
        by = figures["cost"]
        costs = table("CPU microseconds per event", "service", *(f"round {n + 1}" for n in range(len(by["ratios"]))))
        for name, runs in by["us_per_event"].items():
            costs.add_row(f"{name}, {'one model' if name == 'score' else f'{DARK} models'}", *map(number, runs))
        costs.add_row(f"ratio, bar {COST_BAR}", *(f"{ratio:.2f}" for ratio in by["ratios"]))
        shown.print(costs)
    if "isolation" in figures:
        by = figures["isolation"]
        title = f"champion beside a shadow {by['slower']:.0f} times as slow, live at {by['rate']:,} events/s"
        beside = table(title, "figure", "without", "with", "with / without", "noise", "within")
        shown_as = {
            "throughput": "events/s over a backlog",
            "us_per_event": "CPU us per event over it",
            "p99_ms": "p99, ms, live",
        }
        for name, what in shown_as.items():
            pair = by[name]
            runs = [" ".join(map(number, pair[kind])) for kind in ("without", "with")]
            beside.add_row(what, *runs, f"{pair['effect']:.3f}", f"{pair['noise']:.3f}", str(pair["within"]))
        shown.print(beside)


def main() -> int:
    """Run the parts, show and write the figures."""
    parts = {"cost": cost, "isolation": isolation}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", default=",".join(parts), help="parts, comma separated: " + ", ".join(parts))
    parser.add_argument("--rounds", type=int, help="pairs of runs (4)")
    parser.add_argument("--events", type=int, help="of a backlog (200,000)")
    parser.add_argument("--made-up", action="store_true", help="simulated transactions although real ones are there")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: does it run at all?")
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args()
    names = options.only.split(",")
    if unknown := sorted(set(names) - set(parts)):
        parser.error(f"no part {', '.join(unknown)}; there are {', '.join(parts)}")
    asked = {name: getattr(options, name) for name in ("rounds", "events")}
    size = replace(QUICK if options.quick else Size(), **{name: value for name, value in asked.items() if value})
    figures: dict[str, Any] = {"machine": machine()}
    with arena(options.made_up, console().print) as ground:
        ground.model_rows = size.model_rows
        for name in names:
            figures[name] = parts[name](ground, size)
            show({name: figures[name]})
            # After every part: a part that fails takes nothing with it.
            if options.json:
                options.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
