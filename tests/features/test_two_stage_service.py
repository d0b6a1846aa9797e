"""A service of another aggregate in two stages than scorecards': figures of features, by window and channel."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge

from headrace.columnar.packing import pack, unpack
from headrace.domain.aggregations.tumbling_windows import WindowSpan
from headrace.domain.aggregations.two_stage_service import PartRules, SourceRules, TwoStageService
from headrace.streaming.records.batch import Batch, Emit, slot

HOUR = 3_600_000
FEATURES = ("amount", "age")
CUTS = np.array([-1.0, 0.0, 1.0])
COUNT = len(CUTS) + 1
PARTS = pa.schema(
    {
        "window_start": pa.timestamp("ms", "UTC"),
        "window_end": pa.timestamp("ms", "UTC"),
        "channel": pa.string(),
        "source": pa.string(),
        "source_partition": pa.int32(),
        "generation": pa.int64(),
        "next_offset": pa.int64(),
        "payload": pa.binary(),
    }
)
FIGURES = pa.schema(
    {"window": pa.int64(), "channel": pa.string(), "rows": pa.int64(), "least": pa.float64(), "most": pa.float64()}
)
Channel = tuple[str]


@dataclass(frozen=True)
class Profile:
    """Of each feature how many values lie between cuts, the least and the greatest; one entry a feature."""

    counts: np.ndarray
    least: np.ndarray
    most: np.ndarray


NONE = Profile(
    np.zeros((len(FEATURES), COUNT), np.int64), np.full(len(FEATURES), np.inf), np.full(len(FEATURES), -np.inf)
)


class Profiles:
    """Histograms as an aggregate in two stages."""

    names: tuple[str, ...] = ("channel",)
    state: tuple[str, ...] = ("profile",)

    def key(self, values: Iterable[str]) -> Channel:
        (channel,) = values
        return (channel,)

    def keys(self, columns: pa.RecordBatch) -> tuple[np.ndarray, list[Channel]]:
        coded = columns["channel"].dictionary_encode()
        return coded.indices.to_numpy().astype(np.int64), [(channel,) for channel in coded.dictionary.to_pylist()]

    def record(self, key: Channel) -> Mapping[str, Any]:
        return {"channel": key[0]}

    def text(self, key: Channel) -> str:
        return key[0]

    def rows(self, payload: bytes) -> int:
        return int(self.unpack(payload).counts[0].sum())

    def empty(self) -> Profile:
        return NONE

    def add(self, held: Profile, columns: pa.RecordBatch, offsets: np.ndarray, generation: int) -> Profile:
        values = [columns[name].to_numpy() for name in FEATURES]
        counts = np.array([np.bincount(np.searchsorted(CUTS, each), minlength=COUNT) for each in values])
        fresh = Profile(counts, np.min(values, axis=1), np.max(values, axis=1))
        return self.merged([held, fresh])

    def told(self, held: Profile) -> Profile:
        return held

    def merged(self, parts: Iterable[Profile]) -> Profile:
        each = [NONE, *parts]
        return Profile(
            np.sum([part.counts for part in each], axis=0),
            np.min([part.least for part in each], axis=0),
            np.max([part.most for part in each], axis=0),
        )

    def pack(self, aggregate: Profile) -> bytes:
        return pack({"counts": aggregate.counts.ravel(), "least": aggregate.least, "most": aggregate.most})

    def unpack(self, data: bytes) -> Profile:
        found: Any = unpack(data)
        return Profile(found["counts"].reshape(len(FEATURES), COUNT), found["least"], found["most"])

    def save(self, held: Profile) -> tuple[bytes, ...]:
        return (self.pack(held),)

    def load(self, saved: tuple[bytes, ...]) -> Profile:
        return self.unpack(saved[0])


class PartCounters:
    """Prometheus's."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.parts = Counter("parts", "published", registry=self.registry)
        self.late = Counter("late", "too late", registry=self.registry)
        self.windows = Gauge("windows", "held", ["kind"], registry=self.registry)


class Statistics(TwoStageService[Channel, Profile, Profile]):
    """Tells each window's figures."""

    inputs = ("features", "parts")

    def followed(self, now: float) -> Emit | None:
        rows, sources = [], []
        for number, aggregate in self.aggregates.items():
            for key, windows in aggregate.windows.items():
                for start, window in windows.items():
                    if window.dirty:
                        window.dirty = False
                        known = window.total(Profiles())
                        bounds = {"least": known.least[0], "most": known.most[0]}
                        rows.append({"window": start, "channel": key[0], "rows": int(known.counts[0].sum()), **bounds})
                        sources.append(number)
        if not rows:
            return None
        keys = pa.array([f"{row['channel']}/{row['window']}" for row in rows])
        return Emit("figures", pa.RecordBatch.from_pylist(rows, FIGURES), keys, np.array(sources, np.int32))


class Group:
    """A member that owns everything, with its topic of parts; lives end and begin at snapshots."""

    def __init__(self, keep: int | None = None) -> None:
        self.keep = keep
        self.log: list[pa.RecordBatch] = []
        self.figures: dict[str, dict[str, Any]] = {}
        self.offsets = {0: 0, 1: 0}
        self.now = 0.0
        self.counters = PartCounters()
        self.service = self.life({})

    def life(self, states: Mapping[int, bytes]) -> Statistics:
        span = WindowSpan(HOUR, 24 * HOUR)
        service = Statistics(
            {"features": SourceRules(Profiles(), span)},
            PartRules("parts", PARTS, Profiles(), HOUR, self.keep),
            1.0,
            self.counters,
            lambda: 0.0,
        )
        service.start({"parts": 1})
        for number in (0, 1, slot(1, 0)):
            service.restore(number, states.get(number))
        return service

    def restart(self) -> None:
        states = {number: self.service.snapshot(number) for number in (0, 1, slot(1, 0))}
        again = self.life(states)
        assert {number: again.snapshot(number) for number in states} == states
        self.service = again

    def take(self, partition: int, rows: pa.RecordBatch) -> None:
        first = self.offsets[partition]
        self.offsets[partition] += len(rows)
        self.service.process(batch("features", partition, rows, first), self.now)

    def told(self, rows: pa.RecordBatch) -> None:
        self.service.process(batch("parts", slot(1, 0), rows, 0), self.now)

    def publish(self) -> None:
        while True:
            self.now += 10.0
            output = self.service.tick(self.now, {})
            for emit in output.emits:
                if emit.topic == "parts":
                    self.log.append(emit.columns)
                    self.told(emit.columns)
                else:
                    assert emit.key is not None
                    self.figures |= dict(zip(emit.key.to_pylist(), emit.columns.to_pylist(), strict=True))
            if not output.emits:
                assert not output.unfinished
                return


def batch(topic: str, number: int, rows: pa.RecordBatch, first: int) -> Batch:
    """Rows of one partition, from an offset on."""
    count = len(rows)
    offsets = np.arange(first, first + count)
    return Batch(
        topic, rows, pa.nulls(count, pa.binary()), np.full(count, number, np.int32), offsets, np.zeros(count, np.int64)
    )


def features(rows: int, seed: int = 0) -> pa.RecordBatch:
    """Made-up rows of five hours, in order."""
    draw = np.random.default_rng(seed)
    return pa.RecordBatch.from_pydict(
        {
            "event_time": pa.array(np.sort(draw.integers(0, 5 * HOUR, rows)), pa.timestamp("ms", "UTC")),
            "channel": draw.choice(["shop", "phone"], rows),
            "amount": draw.normal(0, 1, rows),
            "age": draw.normal(0, 2, rows),
        }
    )


def expected(rows: pa.RecordBatch) -> dict[str, dict[str, Any]]:
    """The figures of one fold of all rows."""
    found: dict[str, dict[str, Any]] = {}
    times = rows["event_time"].cast(pa.int64()).to_numpy()
    channels = np.array(rows["channel"].to_pylist())
    for start in range(0, 5 * HOUR, HOUR):
        for channel in ("shop", "phone"):
            amounts = rows["amount"].to_numpy()[(times // HOUR * HOUR == start) & (channels == channel)]
            found[f"{channel}/{start}"] = {
                "window": start, "channel": channel, "rows": len(amounts), "least": amounts.min(), "most": amounts.max()
            }  # fmt: skip  # one line's worth
    return found


@pytest.mark.parametrize("restarts", [False, True])
def test_partitions_lives_and_repeats_do_not_show(restarts: bool) -> None:
    """Rows of two partitions, cut anywhere, told midway, with parts that come again: figures are those of all rows."""
    rows, group = features(4_000), Group()
    halves = [rows.take(pa.array(np.arange(place, 4_000, 2))) for place in (0, 1)]
    for start in range(0, 2_000, 333):
        for partition, half in enumerate(halves):
            group.take(partition, half.slice(start, 333))
            if restarts:
                group.restart()
        if start % 2:
            group.publish()
    group.publish()
    assert group.figures == expected(rows)
    (aggregate,) = group.service.aggregates.values()
    whole = sum(window.rows for windows in aggregate.windows.values() for window in windows.values())
    assert whole == 4_000
    for again in (*group.log, *group.log[::-1]):  # all of them, and the older ones once more behind the newer
        group.told(again)
    group.publish()
    assert group.figures == expected(rows)
    histogram = Profiles().merged(w.total(Profiles()) for ws in aggregate.windows.values() for w in ws.values()).counts
    for place, name in enumerate(FEATURES):
        assert histogram[place].tolist() == np.histogram(rows[name], [-np.inf, *CUTS, np.inf])[0].tolist()


def test_what_a_member_lost_is_told_again_by_the_next() -> None:
    """A life that ends after its parts were told and before its state was kept: the next one tells the same parts."""
    rows, group = features(600), Group()
    group.take(0, rows.slice(0, 300))
    kept = {number: group.service.snapshot(number) for number in (0, 1, slot(1, 0))}
    group.take(0, rows.slice(300))
    group.publish()
    ahead = group.figures
    group.service = group.life(kept | {slot(1, 0): group.service.snapshot(slot(1, 0))})
    group.publish()  # what it holds is older than what was told of it, and changes nothing
    assert group.figures == ahead
    group.offsets[0] = 300
    group.take(0, rows.slice(300))
    group.publish()
    assert group.figures == expected(rows)


def test_a_partition_that_went_tells_nothing() -> None:
    """What was dropped is in no part; whoever has it now tells it."""
    group = Group()
    group.take(0, features(100))
    group.service.drop(0)
    assert not group.service.tick(10.0, {}).emits


def test_windows_are_kept_for_so_long() -> None:
    """Windows behind the newest by more are forgotten, parts that come for them left out and counted."""
    group = Group(keep=2 * HOUR)
    group.take(0, features(4_000))
    group.publish()
    (aggregate,) = group.service.aggregates.values()
    assert {tuple(sorted(windows)) for windows in aggregate.windows.values()} == {(2 * HOUR, 3 * HOUR, 4 * HOUR)}
    for again in group.log:
        group.told(again)
    assert (group.counters.registry.get_sample_value("late_total") or 0) >= 4
