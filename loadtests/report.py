"""The figures as tables for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import RenderableType
from rich.table import Table

Figures = Mapping[str, Any]
COST_BAR = 3.3
"""Of `shadow` with three models by `score` with one."""


def table(title: str, *headings: str) -> Table:
    """An empty table; every column but the first is of numbers."""
    made = Table(title=title, title_justify="left")
    for place, heading in enumerate(headings):
        made.add_column(heading, justify="right" if place else "left")
    return made


def number(value: float | None) -> str:
    """Thousands grouped, small numbers with decimals."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}"


def throughput(figures: Figures) -> list[RenderableType]:
    """Events per CPU-second, where the time of a loop goes, and the ratios."""
    modes = figures["modes"]
    headings = [f"{name}, {mode.replace('_', ' ')}" for name in ("steady", "whole life") for mode in modes]
    rounds = len(figures["naive"]["rounds"])
    title = f"events per CPU-second, {figures['events']:,} events, best of {rounds} rounds"
    costs = table(title, "contender", *headings)
    rows = {
        "enrich (its own process)": ("enrich", "enrich"),
        "views (for it)": ("enrich", "views"),
        "enrich alone: enrich + views": ("enrich", "all"),
        "score alone": ("score", "score"),
        "enrich + views + score": ("together", "all"),
        "labels beside enrich + views": ("enrich", "labels"),
        "labels beside all, joining predictions": ("together", "labels"),
    }
    for name, (run, what) in rows.items():
        cells = [number(by[run][what][key]) for key in ("steady", "whole") for by in modes.values()]
        costs.add_row(name, *cells)
    costs.add_row("bare loop", *[number(by["bare"][key]) for key in ("steady", "whole") for by in modes.values()])
    rest = ["-"] * (len(modes) - 1)
    naive = figures["naive"]
    costs.add_row("naive Python loop", *rest, number(naive["steady"]), *rest, number(naive["whole"]))
    stages = table("microseconds of the loop's wall time per event, exactly once | at least once", "stage",
                   "enrich", "score", "enrich, together", "score, together")  # fmt: skip  # the title, the columns
    runs = [("enrich", "enrich"), ("score", "score"), ("together", "enrich"), ("together", "score")]
    known = sorted({stage for run, what in runs for by in modes.values() for stage in by[run][what]["stages_us"]})
    for stage in known:
        stages.add_row(stage, *[_each(modes, run, what, stage) for run, what in runs])
    stages.add_section()
    for label, key in (("CPU, all threads", "us_per_event"), ("records a batch", "rows_a_batch")):
        cells = [" | ".join(number(by[run][what][key]) for by in modes.values()) for run, what in runs]
        stages.add_row(label, *cells)
    compared = table("within this run", "ratio", "")
    for name, value in figures["ratios"].items():
        compared.add_row(name, f"{value:.2f}")
    return [costs, stages, compared]


def _each(modes: Figures, run: str, what: str, stage: str) -> str:
    return " | ".join(f"{by[run][what]['stages_us'].get(stage, 0.0):.2f}" for by in modes.values())


def latency(figures: Figures) -> list[RenderableType]:
    """Milliseconds, ours with and without labels beside two bare hops."""
    quantiles = ("p50", "p99", "p99.9")
    headings = [f"{who}{name}" for who in ("", "no labels ", "bare ", "ratio ") for name in quantiles]
    shown = table("ms from intended send time to readable, read_committed", "mode, events/s", *headings)
    for mode, by_rate in figures["modes"].items():
        for rate, by in by_rate.items():
            cells = [number(by[who][f"{p}_ms"]) for who in ("headrace", "without_labels", "bare") for p in quantiles]
            cells += [f"{by['ratio'][p]:.1f}" for p in quantiles]
            shown.add_row(f"{mode.replace('_', ' ')}, {int(rate):,}", *cells)
    return [shown]


def memory(figures: Figures) -> list[RenderableType]:
    """Resident MiB, the soak's trend, and what entries weigh."""
    soak = figures["soak"]
    title = f"resident MiB; {figures['events']:,} events, then {soak['minutes']:g} min at {soak['rate']:,} events/s"
    shown = table(title, "process", "filled", "highest", "second quarter", "last quarter", "slope, MiB/h")
    for member, filled in figures["filled_mib"].items():
        keys = ("highest_mib", "second_quarter_mib", "last_quarter_mib", "slope_mib_per_hour")
        shown.add_row(member, number(filled), *[number(soak[member][key]) for key in keys])
    weights = table("window state", "view", "live entries", "entities", "MiB", "bytes an entry", "bytes an entity")
    for view, by in figures["held"].items():
        fields = ("entries", "entities", "mib", "bytes_an_entry", "bytes_an_entity")
        weights.add_row(view, *[number(by[field]) for field in fields])
    return [shown, weights]


def recovery(figures: Figures) -> list[RenderableType]:
    """Seconds from a restart, by phase."""
    title = f"seconds from the restart after kill -9; {figures['state_events']:,} events of state"
    phases = ("listening_s", "assigned_s", "plan_s", "answer_s", "restore_s", "replayed")
    shown = table(title, "member", "listening", "assigned", "plan", "first answer", "restoring", "replayed")
    named = {"cold": "enrich, no checkpoint yet", "enrich-0": "enrich", "score-0": "score"}
    for member, trials in figures["trials"].items():
        for trial in trials:
            shown.add_row(named[member], *[number(trial.get(phase)) for phase in phases])
    return [shown]


def shadowing(figures: Figures) -> list[RenderableType]:
    """What dark models cost, and what the champion feels of them."""
    by = figures["cost"]
    costs = table("CPU microseconds per event", "service", *(f"round {n + 1}" for n in range(len(by["ratios"]))))
    for name, runs in by["us_per_event"].items():
        costs.add_row(f"{name}, {'one model' if name == 'score' else 'three models'}", *map(number, runs))
    costs.add_row(f"ratio, bar {COST_BAR}", *(f"{ratio:.2f}" for ratio in by["ratios"]))
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
    return [costs, beside]


def joining(figures: Figures) -> list[RenderableType]:
    """What a label costs."""
    shown = table(f"labels, {figures['predictions']:,} predictions and as many labels", "", "")
    shown.add_row("records per CPU-second, steady", number(figures["steady"]))
    shown.add_row("records per CPU-second, whole life", number(figures["whole"]))
    shown.add_row("bytes an open prediction", number(figures["bytes_an_open_prediction"]))
    shown.add_row(f"seconds to replay {figures['replay_days']:.0f} days", number(figures["replay_s"]))
    shown.add_row("seconds to replay a month", number(figures["month_s"]))
    return [shown]


def watching(figures: Figures) -> list[RenderableType]:
    """What watching a prediction costs."""
    told = f"drift, {figures['predictions']:,} predictions of {figures['inputs']} inputs, {figures['columns']} columns"
    shown = table(told, "", "")
    shown.add_row("predictions per CPU-second, steady", number(figures["steady"]))
    shown.add_row("predictions per CPU-second, whole life", number(figures["whole"]))
    for name, micros in figures["micros_by_stage"].items():
        shown.add_row(f"microseconds a prediction, {name}", number(micros))
    return [shown]
