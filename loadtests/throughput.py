"""Events per CPU-second: our services alone and together, beside a bare copying loop and a naive Python loop.

Everything is published before anything is measured, so services run at their full batches. A service's steady cost is
the CPU time of its whole process, user and system, all threads, from the moment when it is given partitions (what
it fetches ahead counts) to its last answer; its whole cost is all its CPU time, start-up too. The broker is apart, and
so is `labels`, which has read all labels before and brings events to them: its CPU while the others worked is told
beside theirs, and `joining` measures it alone.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from loadtests.arena import Arena
from loadtests.meters import Meter, Sample, cpu_seconds, watched
from tests.members import ROOT
from tests.project import Project

MODES = ("exactly_once", "at_least_once")
LABELS = "labels-0"
NAIVE_SHARE = 10
"""The naive loop gets one event in so many: it would take all day."""


def measure(ground: Arena, rows: int, modes: Sequence[str] = MODES, rounds: int = 1) -> dict[str, Any]:
    """All contenders on the same events, some rounds of them in turn; of each, its best round counts.

    Rounds alternate between the modes, so that a machine that is busy for a while spoils all alike.

    Returns under `modes`, by mode: `enrich` (with `views` beside it and `all` of both, and `labels`, which is in no
    sum), `score`, `together`, `bare`; and `naive`. Numbers are events per CPU-second, `steady` and `whole`; `stages_us`
    microseconds per event; `rounds` the steady number of every round.
    """
    stream = ground.stream(rows)
    _, _ = ground.model  # Trained before anything is measured.
    tried: dict[str, dict[str, list[dict[str, Any]]]] = {mode: {} for mode in modes}
    slow: list[dict[str, Any]] = []
    for turn in range(rounds):
        for mode in modes:
            ground.say(f"{mode}, round {turn + 1} of {rounds}: {rows:,} events")
            with ground.project(HEADRACE_MODE=mode) as project:
                ground.publish(project, stream)
                ground.plan(project)
                found = {
                    "enrich": flow(ground, project, ["enrich-0", "views-0"], rows, LABELS),
                    "score": flow(ground, project, ["score-0"], rows),
                    "bare": bare(ground, project, rows, mode),
                }
                if mode == modes[-1]:
                    slow.append(naive(ground, project, max(rows // NAIVE_SHARE, 1_000)))
            with ground.project(HEADRACE_MODE=mode) as project:
                ground.publish(project, stream)
                ground.plan(project)
                found["together"] = flow(ground, project, ["enrich-0", "views-0", "score-0"], rows, LABELS)
            for name, cost in found.items():
                tried[mode].setdefault(name, []).append(cost)
    figures: dict[str, Any] = {"events": rows, "source": stream.source, "naive": best(slow)}
    figures["modes"] = {mode: {name: best(costs) for name, costs in by.items()} for mode, by in tried.items()}
    return {**figures, "ratios": ratios(figures)}


def best(costs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The round with the most events per CPU-second, and what the others gave."""
    found = [float(cost["all"]["steady"] if "all" in cost else cost["steady"]) for cost in costs]
    return {**costs[found.index(max(found))], "rounds": found}


def flow(
    ground: Arena, project: Project, members: Sequence[str], rows: int, beside: str | None = None
) -> dict[str, Any]:
    """Start members on what is published, let them answer all of it, stop them; what it cost, each and in sum.

    Args:
        beside: a member that runs already, and is stopped with them; it is not in the sum.
    """
    before = cpu_seconds(project.processes[beside].pid) if beside is not None else 0.0
    for member in members:
        project.start(member)
    meters = [Meter(project, member) for member in members]
    # `views` counts its own records, not events; it is measured over the time of whom it works for.
    clocks = [0 if meter.service == "views" else place for place, meter in enumerate(meters)]
    broker = cpu_seconds(ground.broker_pid)

    def done(newest: list[Sample]) -> bool:
        for member in members:
            status = project.processes[member].poll()
            assert status is None, f"{member} ended with {status}\n{project.logs()}"
        return all(newest[clock].records >= rows for clock in clocks)

    watch = watched(meters, done, 300 + rows / 500, project.logs)
    broker = cpu_seconds(ground.broker_pid) - broker
    found: dict[str, Any] = {}
    if beside is not None:
        whole = cpu_seconds(project.processes[beside].pid)
        cost = {"steady": rows / (whole - before), "whole": rows / whole, "us_per_event": (whole - before) / rows * 1e6}
        found[beside.partition("-")[0]] = cost
        project.stop(beside)
    for member in members:
        project.stop(member)
    inverse = whole = 0.0
    for place, meter in enumerate(meters):
        events, last = watch[clocks[place]][-1].records, watch[place][-1]
        cpu = last.cpu - meter.cpu_when_assigned()
        inverse += cpu / events
        whole += last.cpu
        found[meter.service] = {
            "steady": events / cpu,
            "whole": rows / last.cpu,
            "us_per_event": cpu / events * 1e6,
            "start_cpu_s": last.cpu - cpu,
            "rows_a_batch": last.rows / max(last.batches, 1),
            "stages_us": {stage: seconds / events * 1e6 for stage, seconds in last.stages.items()},
        }
    begin = max(sample.at for sample in watch[0] if not sample.records)
    found["all"] = {"steady": 1 / inverse, "whole": rows / whole}
    found["wall_events_per_s"] = rows / (watch[-1][-1].at - begin)
    found["broker_us_per_event"] = broker / rows * 1e6
    return found


def bare(ground: Arena, project: Project, rows: int, mode: str) -> dict[str, float]:
    """The bare loop over the project's events."""
    target = ground.topic(project, "bare")
    source = project.contracts.channel("events").name
    return child("loadtests.bare", ground.bootstrap, source, target, mode, "--rows", str(rows))


def naive(ground: Arena, project: Project, rows: int) -> dict[str, float]:
    """The naive loop over a part of the project's events."""
    target = ground.topic(project, "naive")
    package, _ = ground.model
    graph = ground.directory / "naive.onnx"
    graph.write_bytes(package.graph)
    arguments = [ground.bootstrap, str(project.path), target, str(graph), "--rows", str(rows)]
    return {**child("loadtests.naive", *arguments), "events": rows}


def child(module: str, *arguments: str) -> dict[str, float]:
    """Run a contender and read what it prints."""
    ran = subprocess.run([sys.executable, "-m", module, *arguments], cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, f"{module}: {ran.returncode}\n{ran.stderr[-3000:]}"
    told: dict[str, float] = json.loads(ran.stdout.splitlines()[-1])
    return told


def ratios(figures: Mapping[str, Any]) -> dict[str, float]:
    """What must be compared within the run, steady."""
    found: dict[str, float] = {}
    naive = figures["naive"]["steady"]
    for mode, by in figures["modes"].items():
        together = by["together"]["all"]["steady"]
        found[f"{mode}: together / bare"] = together / by["bare"]["steady"]
        found[f"{mode}: together / naive"] = together / naive
    if len(figures["modes"]) == len(MODES):
        for what in ("enrich", "score", "together"):
            once, least = (figures["modes"][mode][what]["all"]["steady"] for mode in MODES)
            found[f"exactly once / at least once: {what}"] = once / least
    return found
