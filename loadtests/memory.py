"""Memory: what enrich and views hold with weeks of state, what an entry costs, whether a soak adds to it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from headrace.columnar.partitioner import partitions_of
from headrace.domain.features.keyed_windows import EntityWindows, question_of
from headrace.domain.features.value_columns import values_of
from headrace.domain.pipeline.spec import Pipeline
from loadtests.arena import PARTITIONS, SERVING, Arena, alive, begin
from loadtests.latency import await_rows
from loadtests.load import LEAD_S, Load, started, write_events
from loadtests.meters import resident_mib
from loadtests.stream import A_DAY
from tests.project import Project


def measure(ground: Arena, days: int, minutes: float, rate: int) -> dict[str, Any]:
    """MiB of each process after so many days of events, and the trend over a soak that goes on from there.

    The soak's events follow the days, faster than they happened, so windows slide and entries go as others come. Each
    has its label beside it, known a week later by its own time.
    """
    _, _ = ground.model
    rows = min(days, 37) * A_DAY
    soak = int(rate * minutes * 60)
    stream = ground.stream(rows + soak)
    labels = stream.labels()
    path = write_events(ground.directory / "memory.arrow", stream.events)
    told = write_events(ground.directory / "memory.labels.arrow", labels)
    figures: dict[str, Any] = {"events": rows, "days": days, "source": stream.source}
    with ground.project() as project:
        figures["held"] = held(project.contracts.pipeline, stream.events.slice(0, rows))
        ground.plan(project)
        ground.say(f"{rows:,} events")
        begin(project, SERVING)
        figures["started_mib"] = resident(project)
        project.publish(labels.slice(0, rows), "event_id", "labels")
        project.publish(stream.events.slice(0, rows), "customer_id")
        await_rows(project, rows)
        figures["filled_mib"] = resident(project)
        ground.say(f"soak: {minutes:g} minutes at {rate:,} events/s")
        load = Load(
            ground.bootstrap, str(project.path), project.contracts.channel("events").name, str(path), rows, soak, rate,
            time.monotonic() + LEAD_S,
        )  # fmt: skip  # where, what, when
        topic = project.contracts.channel("labels").name
        generator, beside = started(load), started(replace(load, topic=topic, events=str(told), logical="labels"))
        taken: list[tuple[float, dict[str, float]]] = []
        while generator.is_alive():
            alive(project)
            taken.append((time.monotonic(), resident(project)))
            generator.join(max(minutes * 60 / 200, 0.2))
        beside.join()
        assert generator.exitcode == beside.exitcode == 0
        await_rows(project, rows + soak)
        taken.append((time.monotonic(), resident(project)))
    figures["soak"] = {"minutes": minutes, "rate": rate, **{member: trend(taken, member) for member in SERVING}}
    return figures


def resident(project: Project) -> dict[str, float]:
    """MiB of each member."""
    return {member: resident_mib(project.processes[member].pid) for member in SERVING}


def trend(taken: Sequence[tuple[float, dict[str, float]]], member: str) -> dict[str, float]:
    """How a member's memory went over the soak; the slope leaves out the first quarter, while caches still fill."""
    times = np.array([at for at, _ in taken])
    sizes = np.array([by[member] for _, by in taken])
    late = slice(len(times) // 4, None)
    slope = np.polyfit(times[late], sizes[late], 1)[0] if len(times[late]) > 2 else 0.0
    quarter = max(len(times) // 4, 1)
    return {
        "highest_mib": float(sizes.max()),
        "second_quarter_mib": float(sizes[quarter : 2 * quarter].mean()) if len(sizes) > quarter else float(sizes[0]),
        "last_quarter_mib": float(sizes[-quarter:].mean()),
        "slope_mib_per_hour": float(slope * 3600),
    }


def held(pipeline: Pipeline, events: pa.RecordBatch) -> dict[str, dict[str, float]]:
    """What the windows of each view weigh after these events, partition by partition, as the services hold them.

    `bytes_an_entry` are those of the live entries with all slack, `bytes_an_entity` those of the key index alone.
    """
    found = {}
    times = events["tx_datetime"].cast(pa.int64()).to_numpy()
    lateness = pipeline.events.allowed_lateness
    for view in pipeline.views.values():
        if not view.windows:
            continue
        key = view.key
        assert key is not None
        strings = events[key].cast(pa.string())
        place = partitions_of(strings, PARTITIONS)
        entries = entities = weight = index = 0
        for partition in range(PARTITIONS):
            rows = place == partition
            windows = EntityWindows(question_of(view, lateness))
            mine = events.filter(pa.array(rows))
            values = values_of(view, mine, times[rows])
            windows.fold_and_answer(mine[key], times[rows], values, np.ones(int(rows.sum()), np.bool_))
            windows.index.release(windows.windows.sweep())
            entries += int(windows.windows.lengths().sum())
            entities += len(windows.index)
            weight += windows.windows.nbytes
            index += windows.index.nbytes
        found[view.name] = {
            "entries": entries,
            "entities": entities,
            "mib": (weight + index) / 2**20,
            "bytes_an_entry": weight / entries,
            "bytes_an_entity": index / entities,
        }
    return found
