"""Bicycle trips for the stranger's pipeline, and its features recomputed by brute force, one event at a time."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
from polars.testing import assert_frame_equal

from tests.project import Project
from tests.watermarks import watermarks

STRANGER = Path(__file__).parents[1] / "pipeline" / "stranger"
START = 1_711_846_800_000
"""A Sunday in 2024, 31 March, 01:00 UTC: the hour in which Paris sets its clocks forward."""
MINUTE = 60_000
HOUR = 60 * MINUTE


@dataclass(frozen=True, slots=True)
class Rules:
    """What of the pipeline decides about its features, in ms."""

    lateness: int = MINUTE
    delay: int = 30_000
    station_windows: tuple[tuple[str, int], ...] = (("10m", 10 * MINUTE), ("1h", HOUR))
    rider_windows: tuple[tuple[str, int], ...] = (("30m", 30 * MINUTE), ("6h", 6 * HOUR))


def source(directory: Path, changes: Mapping[str, str] | None = None) -> Path:
    """A copy of the stranger's project, with words of its pipeline file replaced."""
    shutil.copytree(STRANGER, directory)
    path = directory / "pipelines" / "bike_demand.yaml"
    text = path.read_text()
    for old, new in (changes or {}).items():
        assert old in text, f"the pipeline says nothing of {old}"
        text = text.replace(old, new)
    path.write_text(text)
    return path


def trips(count: int, seed: int, first: int = 0, disorder_ms: int = 0, late: float = 0.0) -> pa.RecordBatch:
    """Trips about ten seconds apart, in the order in which they are written.

    A trip is written up to `disorder_ms` after ones that are newer; a share `late` of them half an hour after.
    """
    draw = np.random.default_rng(seed)
    number = np.arange(first, first + count)
    times = START + number * 10_000 + draw.integers(0, 9_000, count)
    written = times + draw.integers(0, disorder_ms + 1, count) + np.where(draw.random(count) < late, HOUR // 2, 0)
    charge = draw.random(count).round(3)
    columns = {
        "trip": pa.array([f"trip-{n}" for n in number]),
        "returned_at": pa.array(times, pa.timestamp("ms", "UTC")),
        "rider": pa.array([f"rider \u00e9{n}" for n in draw.integers(0, 60, count)]),
        "station": pa.array([f"station-{n}" for n in draw.integers(0, 15, count)]),
        "minutes": pa.array(draw.integers(-5, 90, count), pa.int32()),
        "charge": pa.array(charge, mask=draw.random(count) < 0.4),
        "electric": pa.array(draw.random(count) < 0.5),
        "tariff": pa.array(draw.choice(["member", "guest"], count)),
    }
    return pa.RecordBatch.from_pydict(columns).take(pa.array(np.argsort(written, kind="stable")))


def longer(events: pa.RecordBatch) -> pa.RecordBatch:
    """The same trips, an hour longer each."""
    place = events.schema.get_field_index("minutes")
    minutes = pa.array(events["minutes"].to_numpy() + 60, pa.int32())
    return events.set_column(place, "minutes", minutes)


def expected(events: pa.Table, rules: Rules) -> pl.DataFrame:
    """The features of every event, by its id, from the events topic as it lies there; NaN for none.

    A trip is late when it is more than the lateness behind what was firm of its partition's time before it (see
    `tests.watermarks`); late ones are answered and never counted. Of its rider it sees what stands before it in the
    log; of a station what happened by its time less the delay, wherever that was written, but for trips that came more
    than the lateness behind what was credible.
    """
    rows = pl.DataFrame(pl.from_arrow(events)).sort("_partition", "_offset")
    rows = rows.with_columns(
        time=pl.col("returned_at").dt.epoch("ms"),
        minutes=pl.when(pl.col("minutes").is_between(0, 1440)).then("minutes").otherwise(0),
        charge=pl.col("charge").fill_null(1.0),
        local=pl.col("returned_at").dt.convert_time_zone("Europe/Paris"),
    )
    time, minutes, charge, rider, station, electric = (
        rows[name].to_numpy() for name in ("time", "minutes", "charge", "rider", "station", "electric")
    )
    before = watermarks(rows["_partition"].to_list(), time.tolist(), rules.lateness)
    watermark, credible = (np.array(times, np.int64) for times in before[:2])
    late, behind = time < watermark - rules.lateness, time < credible - rules.lateness
    kept_from = watermark - rules.lateness - max(length for _, length in rules.rider_windows)
    place = np.arange(len(rows))
    windows = []
    for row in place:
        answer = {}
        mine = ~late & (rider == rider[row]) & (place <= row) & (time <= time[row])
        for name, length in rules.rider_windows:
            # A late trip looks no further back than entries are kept.
            window = mine & (time > max(time[row] - length, kept_from[row]))
            answer[f"rider.trips_{name}"] = float(window.sum())
            answer[f"rider.longest_{name}"] = float(minutes[window].max()) if window.any() else np.nan
            answer[f"rider.shortest_{name}"] = float(minutes[window].min()) if window.any() else np.nan
        end = time[row] - rules.delay
        there = ~late & ~behind & (station == station[row]) & (time <= end)
        for name, length in rules.station_windows:
            window = there & (time > end - length)
            answer[f"station.returns_{name}"] = float(window.sum())
            answer[f"station.ridden_{name}"] = float(minutes[window].sum()) if window.any() else -1.0
            answer[f"station.least_charge_{name}"] = float(charge[window].min()) if window.any() else -1.0
            answer[f"station.electric_{name}"] = float(electric[window].mean()) if window.any() else -1.0
        windows.append(answer)
    calendar = rows.select(
        pl.col("trip").alias("id"),
        pl.col("local").dt.hour().is_between(7, 9).cast(pl.Float64).alias("clock.rush"),
        (pl.col("tariff") == "guest").cast(pl.Float64).alias("clock.guest"),
        pl.col("local").dt.month().cast(pl.Float64).alias("clock.month"),
    )
    return calendar.hstack(pl.DataFrame(windows)).sort("id")


def found(features: pa.Table) -> pl.DataFrame:
    """The features of every event, by its id, as they were published, NaN for none; fails when one was twice."""
    columns = {"id": features["event_id"].combine_chunks()}
    for field in features.schema:
        if pa.types.is_struct(field.type) and field.name not in ("event", "model"):
            struct = features[field.name].combine_chunks()
            for part in field.type:
                columns[f"{field.name}.{part.name}"] = struct.field(part.name).cast(pa.float64()).fill_null(np.nan)
    table = pl.DataFrame(pl.from_arrow(pa.table(columns))).sort("id")
    assert table["id"].is_unique().all()
    return table


def assert_exact(project: Project, rules: Rules) -> pl.DataFrame:
    """Every event has its features once, and they are those of the brute force; which they are."""
    wanted = expected(project.read("events"), rules)
    got = found(project.read("features"))
    assert set(got.columns) == set(wanted.columns)
    assert_frame_equal(got.select(wanted.columns), wanted, check_exact=False, rel_tol=1e-9, abs_tol=0)
    return wanted
