"""Bicycle trips for the stranger's pipeline, and its features recomputed by brute force, one event at a time."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa

from tests.project import Project

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

    A trip is written up to `disorder_ms` after ones that are newer; a share `late` of them 75 s after.
    """
    draw = np.random.default_rng(seed)
    number = np.arange(first, first + count)
    times = START + number * 10_000 + draw.integers(0, 9_000, count)
    written = times + draw.integers(0, disorder_ms + 1, count) + np.where(draw.random(count) < late, 75_000, 0)
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


def expected(events: pa.Table, rules: Rules) -> pd.DataFrame:
    """The features of every event, by its id, from the events topic as it lies there.

    A trip is late when it is more than the lateness behind the newest before it in its partition; late ones are
    answered and never counted. Of its rider it sees what stands before it in the log; of a station what happened by its
    time less the delay, wherever that was written.
    """
    rows = events.to_pandas().sort_values(["_partition", "_offset"]).reset_index(drop=True)
    rows["time"] = rows["returned_at"].astype("datetime64[ms, UTC]").astype("int64")
    rows["minutes"] = rows["minutes"].where(rows["minutes"].between(0, 1440), 0)
    rows["charge"] = rows["charge"].fillna(1.0)
    newest = rows.groupby("_partition")["time"].transform(lambda times: times.cummax().shift(fill_value=times.iloc[0]))
    late = (rows["time"] < newest - rules.lateness).to_numpy()
    kept_from = np.maximum(newest, rows["time"]).to_numpy() - rules.lateness
    kept_from -= max(length for _, length in rules.rider_windows)
    time, minutes, charge = (rows[name].to_numpy() for name in ("time", "minutes", "charge"))
    rider, station, electric = (rows[name].to_numpy() for name in ("rider", "station", "electric"))
    local = pd.to_datetime(rows["time"], unit="ms", utc=True).dt.tz_convert(ZoneInfo("Europe/Paris")).dt
    answers = {
        "clock.rush": local.hour.between(7, 9).to_numpy(),
        "clock.guest": (rows["tariff"] == "guest").to_numpy(),
        "clock.month": local.month.to_numpy(),
    }
    place = np.arange(len(rows))
    windows = []
    for row in place:
        answer = {}
        mine = ~late & (rider == rider[row]) & (place <= row) & (time <= time[row])
        for name, length in rules.rider_windows:
            # A late trip looks no further back than entries are kept.
            window = mine & (time > max(time[row] - length, kept_from[row]))
            answer[f"rider.trips_{name}"] = window.sum()
            answer[f"rider.longest_{name}"] = minutes[window].max() if window.any() else np.nan
            answer[f"rider.shortest_{name}"] = minutes[window].min() if window.any() else np.nan
        end = time[row] - rules.delay
        there = ~late & (station == station[row]) & (time <= end)
        for name, length in rules.station_windows:
            window = there & (time > end - length)
            answer[f"station.returns_{name}"] = window.sum()
            answer[f"station.ridden_{name}"] = minutes[window].sum() if window.any() else -1
            answer[f"station.least_charge_{name}"] = charge[window].min() if window.any() else -1
            answer[f"station.electric_{name}"] = electric[window].mean() if window.any() else -1
        windows.append(answer)
    return pd.DataFrame(answers).join(pd.DataFrame(windows)).set_index(pd.Index(rows["trip"], name="id")).astype(float)


def found(features: pa.Table) -> pd.DataFrame:
    """The features of every event, by its id, as they were published; fails when one was twice."""
    columns = {}
    for field in features.schema:
        if pa.types.is_struct(field.type) and field.name not in ("event", "model"):
            struct = features[field.name].combine_chunks()
            columns |= {f"{field.name}.{part.name}": struct.field(part.name).to_pandas() for part in field.type}
    table = pd.DataFrame(columns).set_index(pd.Index(features["event_id"].to_pylist(), name="id")).astype(float)
    assert not table.index.has_duplicates
    return table


def assert_exact(project: Project, rules: Rules) -> pd.DataFrame:
    """Every event has its features once, and they are those of the brute force; which they are."""
    wanted = expected(project.read("events"), rules).sort_index()
    got = found(project.read("features")).sort_index()
    assert list(got.index) == list(wanted.index)
    pd.testing.assert_frame_equal(got[wanted.columns], wanted, rtol=1e-9, check_dtype=False)
    assert set(got.columns) == set(wanted.columns)
    return wanted
