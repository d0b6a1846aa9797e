"""Random pipelines: a schema, rules, views and events made up from a seed, and what DuckDB makes of the same events.
`sql_features` runs them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

LATENESS = 40
DEVICES = ("phone", "web", "pos")
SCHEMA = {
    "type": "record",
    "name": "sale",
    "fields": [
        {"name": "sale", "type": "string"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "buyer", "type": "string"},
        {"name": "shop", "type": "string"},
        {"name": "counter", "type": "long"},
        {"name": "price", "type": ["null", "double"], "default": None},
        {"name": "pieces", "type": "int"},
        {"name": "rebate", "type": ["null", "long"], "default": None},
        {"name": "gift", "type": ["null", "boolean"], "default": None},
        {"name": "device", "type": ["null", "string"], "default": None},
    ],
}
Text = tuple[str, str]
"""An expression as the pipeline file has it, and as SQL has it."""


class Words:
    """Makes up expressions; numbers are such that sums of products are exact."""

    def __init__(self, draw: np.random.Generator) -> None:
        self.draw = draw

    def one(self, choices: Sequence[Text]) -> Text:
        """Any of them."""
        return choices[int(self.draw.integers(len(choices)))]

    def number(self, deep: int = 2) -> Text:
        """A number."""
        plain: list[Text] = [(name, f"e.{name}") for name in ("price", "pieces", "rebate")]
        if deep == 0 or self.draw.random() < 0.4:
            return self.one([*plain, (str(number := int(self.draw.integers(1, 9))), str(number))])
        (a, p), (b, q) = self.number(deep - 1), self.number(deep - 1)
        condition = self.condition(deep - 1)
        return self.one(
            [
                (f"({a} + {b})", f"({p} + {q})"),
                (f"({a} - {b})", f"({p} - {q})"),
                (f"({a} * {b})", f"({p} * {q})"),
                (f"coalesce({a}, {b})", f"coalesce({p}, {q})"),
                (f"min({a}, {b})", f"least({p}, {q})"),
                (f"max({a}, {b})", f"greatest({p}, {q})"),
                (f"abs({a} - {b})", f"abs({p} - {q})"),
                (f"{a} / 4", f"{p} / 4"),
                condition,
            ][: 8 if deep < 2 else 9]
        )

    def condition(self, deep: int = 2) -> Text:
        """A condition."""
        number = str(int(self.draw.integers(0, 40)))
        plain = [
            ('device == "phone"', "e.device = 'phone'"),
            ('device != "web"', "e.device <> 'web'"),
            ('device in ("phone", "pos")', "e.device IN ('phone', 'pos')"),
            ('device not in ("web", "pos")', "e.device NOT IN ('web', 'pos')"),
            ("device is null", "e.device IS NULL"),
            ("price is not null", "e.price IS NOT NULL"),
            ("gift", "e.gift"),
            ("gift is null", "e.gift IS NULL"),
            (f"price > {number}", f"e.price > {number}"),
            (f"price != {number}", f"e.price <> {number}"),
            (f"2 < rebate <= {number}", f"(2 < e.rebate AND e.rebate <= {number})"),
            ("pieces * 2 >= rebate", "e.pieces * 2 >= e.rebate"),
            ("hour < 12", "(e.t // 3600000) % 24 < 12"),
        ]
        if deep == 0 or self.draw.random() < 0.5:
            return self.one(plain)
        (a, p), (b, q) = self.condition(deep - 1), self.condition(deep - 1)
        return self.one(
            [
                (f"({a} and {b})", f"(({p}) AND ({q}))"),
                (f"({a} or {b})", f"(({p}) OR ({q}))"),
                (f"(not {a})", f"(NOT ({p}))"),
            ]
        )


@dataclass
class Asked:
    """A feature: as the file has it, and the SQL of its value over the entries `e` of the event `r`."""

    text: str
    sql: str
    exact: bool = True
    mode: str = ""
    """Of `top`: what is counted."""
    filter: str = "TRUE"


def aggregation(words: Words, listed: bool) -> Asked:
    """Any aggregation of anything."""
    draw = words.draw
    (value, sql), (where, filter) = words.number(), words.condition()
    name = str(draw.choice(NAMES))
    conditional = draw.random() < 0.5
    behind = f" where {where}" if conditional else ""
    kept = f"e.seq IS NOT NULL AND ({filter})" if conditional else "e.seq IS NOT NULL"
    number = f"CAST({sql} AS DOUBLE)"
    known = f"FILTER (WHERE {kept} AND ({number}) IS NOT NULL)"
    strings = draw.random() < 0.3
    code = f"list_position({list(DEVICES)!r}, e.device) - 1"
    if name in ("last", "first", "previous", "top") and strings and listed:
        value, number = "device", f"CAST({code} AS DOUBLE)"
        known = f"FILTER (WHERE {kept} AND ({number}) IS NOT NULL)"
    if name in ("count", "count_distinct") and strings:
        value, number = "device", "e.device"
        known = f"FILTER (WHERE {kept} AND e.device IS NOT NULL)"
    before = known[:-1] + " AND e.t < r.t)"
    share = float(draw.choice([0.0, 0.25, 0.5, 0.9, 1.0]))
    match name:
        case "count" if draw.random() < 0.5:
            text = f"count(where {where})" if conditional else "count"
            return Asked(text, f"count(*) FILTER (WHERE {kept})")
        case "time_since_last":
            text = f"time_since_last(where {where})" if conditional else "time_since_last"
            return Asked(text, f"(r.t - max(e.t) FILTER (WHERE {kept} AND e.t < r.t)) / 1000.0")
        case "quantile":
            return Asked(f"quantile({value}, {share}{behind})", f"quantile_cont({number}, {share}) {known}", False)
        case "decayed_sum":
            sum = f"sum({number} * pow(0.5, (r.t - e.t) / 30.0)) {known}"
            return Asked(f"decayed_sum({value}, 30ms{behind})", sum, False)
        case "first":
            return Asked(f"first({value}{behind})", f"first({number} ORDER BY e.t, {number}) {known}")
        case "last":
            return Asked(f"last({value}{behind})", f"last({number} ORDER BY e.t, {number}) {known}")
        case "previous":
            return Asked(f"previous({value}{behind})", f"last({number} ORDER BY e.t, {number}) {before}")
        case "count_distinct":
            return Asked(f"count_distinct({value}{behind})", f"count(DISTINCT {number}) {known}")
        case "top":
            return Asked(f"top({value}{behind})", "", mode=number, filter=kept)
    of = {"mean": "avg", "var": "var_samp", "std": "stddev_samp"}.get(name, name)
    return Asked(f"{name}({value}{behind})", f"{of}({number}) {known}", exact=name in ("sum", "count", "min", "max"))


NAMES = (
    "count", "sum", "mean", "min", "max", "first", "last", "previous", "time_since_last", "var", "std", "quantile",
    "count_distinct", "decayed_sum", "top",
)  # fmt: skip


@dataclass
class Made:
    """A pipeline that was made up: its file, what is asked of each view, its events, and derived columns."""

    text: str
    views: dict[str, dict[str, Asked]]
    events: pa.Table
    derived: dict[str, Text]
    labels: pa.Table | None = None


def made(seed: int) -> Made:
    """The pipeline of a seed."""
    draw = np.random.default_rng(seed)
    words = Words(draw)
    listed = bool(draw.random() < 0.7)
    asked: dict[str, dict[str, Asked]] = {}
    columns: dict[str, list[str]] = {}
    unique = bool(draw.random() < 0.5)
    """Whether no two events are of one time: in the store these are in no order that SQL knows."""
    lines = [
        f"pipeline: made{seed}",
        f"events: {{schema: sale, id: sale, time: at, key: buyer, allowed_lateness: {LATENESS}ms, repeats: drop}}",
        *(["rules: {device: {one_of: [phone, web, pos], else: warn}}"] if listed else []),
        "views:",
    ]
    keys = {
        "own": str(draw.choice(["buyer", "buyer", "[buyer, shop]", "[counter, buyer]"])),
        "other": str(draw.choice(["shop", "shop", "counter", "[shop, counter]", '"*"'])),
    }
    labelled, presumed = bool(draw.random() < 0.3), str(draw.choice(["null", "0"]))
    for name, delays in (("own", (0, 0, 25)), ("other", (60, 100))):
        asked[name] = {f"f{at}": aggregation(words, listed) for at in range(int(draw.integers(1, 6)))}
        if name == "other" and labelled:
            asked[name] |= {of: Asked(f"{of}(label)", _LABELLED[of].format(presumed), mode="label") for of in _LABELLED}
        windows = [f"{each}ms" for each in sorted({int(each) for each in draw.choice([5, 30, 80, 200], 3)})]
        if draw.random() < 0.3 and (name == "own" or (unique and not labelled)):
            windows.insert(int(draw.integers(len(windows) + 1)), f"{int(draw.integers(1, 6))} in 150ms")
        lines += [
            f"  {name}:",
            f"    key: {keys[name]}",
            f"    windows: [{', '.join(windows)}]",
            f"    delay: {int(draw.choice(delays))}ms",
            "    features:",
            *(f"      {feature}: {json.dumps(each.text)}" for feature, each in asked[name].items()),
        ]
        if draw.random() < 0.3:
            lines.append("    missing: -1")
        if name == "other":
            lines.append("    idle_after: 1s")
        columns[name] = [f"{name}.{feature}_{each.replace(' ', '_')}" for each in windows for feature in asked[name]]
    derived = {f"d{at}": _derived(draw, columns) for at in range(3)}
    lines += ["  more:", *(f"    {name}: {json.dumps(text)}" for name, (text, _) in derived.items())]
    if labelled:
        known = "" if presumed == "null" else ", unlabelled_is: 0, matures_after: 50ms"
        lines.append(f"labels: {{id: sale, value: fraud{known}}}")
    lines.append("model: {name: m, inputs: [pieces, own.*, other.*, more.*]}")
    events = _events(draw, int(draw.integers(30, 120)), unique)
    return Made("\n".join(lines) + "\n", asked, events, derived, _labels(draw, events) if labelled else None)


_LABELLED = {
    "count": "count(v)",
    "sum": "sum(coalesce(v, {})) FILTER (WHERE x.seq IS NOT NULL)",
    "mean": "avg(coalesce(v, {})) FILTER (WHERE x.seq IS NOT NULL)",
}
"""Of labels, in SQL: `v` is the newest one of an entry that the event may know."""


def _labels(draw: np.random.Generator, events: pa.Table) -> pa.Table:
    """What most sales turned out to be: on time, late, corrected."""
    told: dict[tuple[str, int], float] = {}
    for sale, time in zip(events["sale"].to_pylist(), events["at"].cast(pa.int64()).to_pylist(), strict=True):
        for lag in draw.choice([20, 40, 70, 130], int(draw.integers(0, 3)), replace=False):
            told.setdefault((sale, time + int(lag)), float(draw.choice([0.0, 1.0])))
    rows = sorted(told.items(), key=lambda row: row[0][1])
    return pa.table(
        {
            "event_id": pa.array([sale for (sale, _), _ in rows], pa.string()),
            "value": pa.array([value for _, value in rows], pa.float64()),
            "label_time": pa.array([time for (_, time), _ in rows], pa.int64()),
        }
    )


def _derived(draw: np.random.Generator, columns: dict[str, list[str]]) -> Text:
    """A feature of features, and the same in SQL over `own` and `other`, where NaN is null."""
    one, other = (str(draw.choice(columns[view])) for view in ("own", "other"))
    p, q = (f"nullif(CAST({name} AS DOUBLE), 'nan')" for name in (one, other))
    texts = [
        (f"{one} / {other}", f"CASE WHEN {q} <> 0 THEN {p} / {q} END"),
        (f"log({one})", f"CASE WHEN {p} > 0 THEN ln({p}) END"),
        (f"coalesce({other}, {one} + 1, 0)", f"coalesce({q}, {p} + 1, 0)"),
        (f"min({one}, {other})", f"least({p}, {q})"),
        (f"max({one}, pieces) - {other}", f"greatest({p}, pieces) - {q}"),
        (f"{one} is null or {other} > {one}", f"CASE WHEN ({p} IS NULL OR {q} > {p}) THEN 1 ELSE 0 END"),
        (f"abs({one}) <= price", f"CASE WHEN abs({p}) <= price THEN 1 ELSE 0 END"),
        (f"sqrt({other}) * exp(-abs({one}))", f"CASE WHEN {q} >= 0 THEN sqrt({q}) * exp(-abs({p})) END"),
    ]
    return texts[int(draw.integers(len(texts)))]


def _events(draw: np.random.Generator, count: int, unique: bool) -> pa.Table:
    """Sales: out of order within what is allowed, now and then far too late, some told twice."""
    times = 43_200_000 - 300 + np.cumsum(draw.integers(0, 12, count))
    times = times - np.where(draw.random(count) < 0.3, draw.integers(0, LATENESS // 2, count), 0)
    times = times - np.where(draw.random(count) < 0.03, 500, 0)
    taken: set[int] = set()
    for row in range(count if unique else 0):
        while times[row] in taken:
            times[row] += 1
        taken.add(int(times[row]))

    def some(values: np.ndarray, share: float) -> pa.Array:
        return pa.array(values.tolist(), mask=draw.random(count) < share)

    columns = {
        "sale": pa.array([f"s{n}" for n in range(count)]),
        "at": pa.array(times, pa.timestamp("ms", tz="UTC")),
        "buyer": pa.array(draw.choice(list("abcde"), count).tolist()),
        "shop": pa.array(draw.choice(["left", "right", "far"], count).tolist()),
        "counter": pa.array(draw.integers(1, 4, count).astype(np.int64)),
        "price": some(draw.integers(-8, 160, count) / 4, 0.15),
        "pieces": pa.array(draw.integers(0, 9, count), pa.int32()),
        "rebate": some(draw.integers(0, 40, count), 0.3).cast(pa.int64()),
        "gift": some(draw.random(count) < 0.5, 0.3),
        "device": some(draw.choice(DEVICES, count), 0.2),
    }
    again = np.sort(np.concatenate([np.arange(count), draw.integers(0, count, count // 10)]))
    return pa.table(columns).take(pa.array(again))
