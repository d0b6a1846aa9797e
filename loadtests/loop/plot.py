"""docs/loop.png: average precision by week of the loop and of the first champion, and what happened when."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure as Canvas

from headrace.cli.render.scorecard_plot import COLOURS, date_axis, moment_of

MARKS = (
    ("training", "training", "|", COLOURS[7]),
    ("promoted", "new champion", "^", COLOURS[2]),
    ("put back", "put back", "v", COLOURS[1]),
    ("incident", "incident", "x", COLOURS[3]),
)


def draw(cases: Mapping[str, Mapping[str, Any]], out: Path) -> None:
    """A panel a data set, above it the difference of the two with its interval."""
    canvas = Canvas(figsize=(11, 4.6 * len(cases)), dpi=110, layout="constrained")
    panels = canvas.subfigures(len(cases), 1, squeeze=False)[:, 0]
    for panel, figures in zip(panels, cases.values(), strict=True):
        upper, lower = panel.subplots(2, 1, sharex=True, height_ratios=[2.4, 1.0])
        _courses(upper, figures)
        _difference(lower, figures)
        upper.set_title(figures["title"], loc="left", fontsize=11)
        date_axis(lower)
    canvas.savefig(out, metadata={"Software": None} if out.suffix == ".png" else None)


def _courses(axis: Any, figures: Mapping[str, Any]) -> None:
    weeks = figures["weeks"]
    middles = [moment_of((each["from"] + each["to"]) / 2) for each in weeks]
    for name, title, colour, style in (
        ("loop", "with the loop", COLOURS[0], "-"),
        ("alone", "first champion alone", COLOURS[4], "--"),
    ):
        axis.plot(middles, [each[name] for each in weeks], style, color=colour, marker="o", ms=3, lw=1.4, label=title)
    low, high = axis.get_ylim()
    for (kind, title, marker, colour), row in zip(MARKS, range(len(MARKS)), strict=True):
        days = marks(figures, kind)
        height = low - (0.04 + 0.05 * row) * (high - low)
        axis.plot([moment_of(day) for day in days], [height] * len(days), marker, color=colour, ms=7,
                  label=f"{title} ({len(days)})")  # fmt: skip
    axis.set_ylabel("average precision")
    axis.legend(fontsize=8, ncols=6, frameon=False, loc="lower right", bbox_to_anchor=(1.0, 1.0), borderaxespad=0.1)
    axis.grid(alpha=0.25)
    axis.tick_params(labelbottom=False)


def marks(figures: Mapping[str, Any], kind: str) -> list[int]:
    """Days on which something of a kind happened."""
    trained = figures["trainings"]
    if kind == "training":
        return [each["day"] for each in trained]
    if kind == "incident":
        return [each["day"] for each in figures["incidents"]]
    wanted = "release_promoted" if kind == "promoted" else "release_rolled_back"
    return [each["day"] for one in trained for each in one["releases"] if each["type"] == wanted]


def _difference(axis: Any, figures: Mapping[str, Any]) -> None:
    weeks = figures["weeks"]
    middles = [moment_of((each["from"] + each["to"]) / 2) for each in weeks]
    axis.axhline(0, color="#888888", lw=0.8)
    apart = [each["difference"] for each in weeks]
    spread = [
        [each["difference"] - each["low"] for each in weeks],
        [each["high"] - each["difference"] for each in weeks],
    ]
    axis.errorbar(middles, apart, yerr=[[max(value, 0) for value in side] for side in spread], fmt="o", ms=3,
                  color=COLOURS[0], lw=0.9)  # fmt: skip
    axis.set_ylabel("loop less alone")
    axis.grid(alpha=0.25)
