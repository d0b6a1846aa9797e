"""Drift as a picture: the evidence that an alarm is made of over time, and incidents."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure as Canvas

from headrace.cli.render.scorecard_plot import COLOURS, check_kind, date_axis, moment_of, save
from headrace.operations.drift.report import DriftReport, Incident, WatchedModel

HOUR = 3_600_000
LOWEST = 1e-6
"""Of evidence over its threshold that is drawn."""
TITLES = {
    "predictions": "what models read and answer",
    "shadow-predictions": "what dark models read and answer",
    "outcomes": "how wrong models are",
    "dead-letters": "what is refused",
}


def draw(found: DriftReport, out: Path) -> None:
    """Draw the highest evidence of each hour over its threshold, a line a model and a panel a stream; incidents shaded.

    Raises:
        ConfigurationError: the file cannot be written, or is of no kind that can be drawn.
    """
    check_kind(out)
    streams = list(dict.fromkeys(model.stream for model in found.models))
    canvas = Canvas(figsize=(11, 3.4 * len(streams) + 0.6), dpi=120, layout="constrained")
    panels = canvas.subplots(len(streams), 1, squeeze=False, sharex=True)[:, 0]
    for axis, stream in zip(panels, streams, strict=True):
        models = [model for model in found.models if model.stream == stream]
        _panel(axis, models, [each for each in found.incidents if each.stream == stream])
        axis.set_title(TITLES[stream], loc="left", fontsize=10)
    canvas.suptitle(
        f"{found.pipeline}: evidence for drift over its threshold, highest of each hour", fontsize=13, x=0.01, ha="left"
    )
    save(canvas, out)


def _panel(axis: Any, models: Sequence[WatchedModel], incidents: Sequence[Incident]) -> None:
    last = max((model.reached for model in models), default=0)
    for each in incidents:
        begin = each.opened if each.began is None else each.began
        end = last if each.closed is None else each.closed
        axis.axvspan(moment_of(begin), moment_of(max(end, each.opened)), color="#f6d9cc", lw=0, zorder=0)
        axis.axvline(moment_of(each.opened), color="#D55E00", lw=1, ls=":")
        place = moment_of(each.opened), 1.0
        axis.annotate(each.incident, place, (4, 5), fontsize=8, color="#D55E00", textcoords="offset points")
    for model, colour in zip(models, (COLOURS * len(models))[: len(models)], strict=False):
        times = [moment_of(hour + HOUR / 2) for hour, _ in model.course]
        axis.plot(times, [max(highest, LOWEST) for _, highest in model.course], color=colour, lw=1.2, label=model.model)
    axis.axhline(1.0, color="black", lw=1)
    axis.set_yscale("log")
    axis.set_ylim(LOWEST, max([10.0, *(highest * 3 for model in models for _, highest in model.course)]))
    date_axis(axis)
    axis.legend(loc="lower right", frameon=False, fontsize=8)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
