"""Open-loop latency: from the moment an event was meant to be sent to when its prediction is readable.

Readable is read_committed: what a consumer that wants no doubles sees. Beside it, in the same run, the broker's own two
hops: the same generator and reader around two bare copying loops with the same modes, clients and commit rhythm.

Events happen when they are sent, while labels of earlier ones trickle in; then again while no label comes at all.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace.streaming.kafka.bindings import Channel
from loadtests.arena import SERVING, Arena, alive, begin
from loadtests.following import Follower
from loadtests.living import live, remember, trickle
from loadtests.load import LEAD_S, Load, started, write_events
from loadtests.throughput import MODES
from tests.members import ROOT
from tests.project import Project

QUANTILES = (0.5, 0.99, 0.999)
PATIENCE_S = 300.0
HISTORY = 20_000
"""Events that are there before the load begins: windows are not empty, everything was compiled and joined."""


def measure(
    ground: Arena, rates: Sequence[int], seconds: float, warm_seconds: float, modes: Sequence[str] = MODES
) -> dict[str, Any]:
    """Milliseconds at p50, p99 and p99.9 by mode and rate: ours with labels and without, and the bare loops'."""
    _, _ = ground.model
    history = HISTORY if seconds >= 10 else HISTORY // 20
    stream = ground.stream(history + 2 * int(max(rates) * (seconds + warm_seconds)))
    path = write_events(ground.directory / "latency.arrow", stream.events)
    figures: dict[str, Any] = {"seconds": seconds, "source": stream.source, "modes": {}}
    for mode in modes:
        by_rate = figures["modes"][mode] = {}
        for rate in rates:
            warm, rows = int(rate * warm_seconds), int(rate * seconds)
            with ground.project(HEADRACE_MODE=mode) as project:
                ground.plan(project)
                past = remember(ground, project, stream, history)
                begin(project, SERVING)
                load = live(project, path, history, warm + rows, rate)
                predictions = project.contracts.channel("predictions")
                with trickle(project, past, 2 * PATIENCE_S + load.seconds):
                    await_rows(project, history)
                    ground.say(f"{mode}: {rate:,} events/s for {seconds:g} s")
                    ours = during(project, load, predictions, "event_id")
                ground.say(f"{mode}: {rate:,} events/s, no labels")
                load = replace(load, first=load.first + load.rows)
                silent = during(project, load, predictions, "event_id")
                for member in list(project.processes):
                    project.stop(member)
                ground.say(f"{mode}: {rate:,} events/s, two bare hops")
                with hops(ground, project, mode) as (first, last):
                    channel = Channel("bare", last, project.contracts.channel("events").codec)
                    bare = during(project, replace(load, topic=first), channel, "transaction_id")
            by_rate[str(rate)] = {
                "headrace": summary(ours[warm:]),
                "without_labels": summary(silent[warm:]),
                "bare": summary(bare[warm:]),
                "ratio": ratio(ours[warm:], bare[warm:]),
            }
    return figures


def during(project: Project, load: Load, channel: Channel, name: str) -> npt.NDArray[np.float64]:
    """Send a load; the latency of each of its records, seconds, in the order of sending.

    Raises:
        AssertionError: not all arrived within `PATIENCE_S` after the last was sent.
    """
    with pa.memory_map(load.events) as file:
        sent = pa.ipc.open_file(file).read_all().slice(load.first, load.rows)["transaction_id"].to_numpy()
    order = np.argsort(sent)
    arrived = np.full(load.rows, np.nan)
    with Follower(project.connection, channel, from_end=True) as follower:
        load = replace(load, begin=time.monotonic() + LEAD_S)
        generator = started(load)
        end = load.begin + load.seconds + PATIENCE_S
        missing = load.rows
        while missing:
            now, intake = follower.poll(0.1)
            assert now < end, f"{missing} of {load.rows} did not come\n{project.logs()}"
            alive(project)
            if intake is None:
                continue
            ids = np.asarray(intake.batch.columns[name].cast(pa.int64()))
            place = np.searchsorted(sent, ids, sorter=order).clip(0, load.rows - 1)
            rows = order[place]
            rows = rows[sent[rows] == ids]
            rows = rows[np.isnan(arrived[rows])]  # The first counts; at least once may repeat.
            arrived[rows] = now
            missing -= len(np.unique(rows))
        generator.join(PATIENCE_S)
    return arrived - (load.begin + np.arange(load.rows) / load.rate)


def await_rows(project: Project, rows: int) -> None:
    """Wait until so many predictions are there."""
    got, end = 0, time.monotonic() + PATIENCE_S
    with Follower(project.connection, project.contracts.channel("predictions")) as follower:
        while got < rows:
            now, intake = follower.poll(0.2)
            got += len(intake.batch) if intake is not None else 0
            alive(project)
            assert now < end, f"{got} of {rows} predictions\n{project.logs()}"


@contextmanager
def hops(ground: Arena, project: Project, mode: str) -> Iterator[tuple[str, str]]:
    """Two bare loops in a row; the first topic and the last."""
    topics = [ground.topic(project, f"hop{number}") for number in range(3)]
    command = [sys.executable, "-m", "loadtests.bare", ground.bootstrap]
    loops = [
        subprocess.Popen([*command, source, target, mode], cwd=ROOT, stdout=subprocess.DEVNULL)
        for source, target in pairwise(topics)
    ]
    try:
        yield topics[0], topics[-1]
    finally:
        for loop in loops:
            loop.send_signal(signal.SIGTERM)
        for loop in loops:
            loop.wait(30)


def summary(latencies: npt.NDArray[np.float64]) -> dict[str, float]:
    """Milliseconds."""
    found = {f"p{quantile * 100:g}_ms": float(np.quantile(latencies, quantile) * 1e3) for quantile in QUANTILES}
    return {**found, "max_ms": float(latencies.max() * 1e3), "events": len(latencies)}


def ratio(ours: npt.NDArray[np.float64], bare: npt.NDArray[np.float64]) -> dict[str, float]:
    """Ours by the bare loops', at each quantile."""
    pairs: Iterable[tuple[float, float]] = zip(np.quantile(ours, QUANTILES), np.quantile(bare, QUANTILES), strict=True)
    names = (f"p{quantile * 100:g}" for quantile in QUANTILES)
    return {name: float(our / their) for name, (our, their) in zip(names, pairs, strict=True)}
