"""Scorecards as a picture: windows over time, estimates beside what came, calibration."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from matplotlib import dates as untyped_dates
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import PercentFormatter

from headrace.domain.pipeline.spec import Pipeline
from headrace.domain.pipeline.units import duration
from headrace.domain.quality.calibration import reliability
from headrace.domain.scorecards.card import ESTIMATED, SHIFTED
from headrace.errors import ConfigurationError
from headrace.operations.scorecard_query.catalogue import title
from headrace.operations.scorecard_query.span import Summary
from headrace.operations.time_spans import TimeSpan

dates: Any = untyped_dates
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
"""Told apart by people who see colours differently (M. Okabe, K. Ito: Color Universal Design, 2008)."""
CLASSES = ("auc_roc", "average_precision", "positive_rate", "value_per_prediction", "latency_p99_ms")
SEVERAL = ("accuracy", "macro_f1", "brier_score", "cost_per_prediction", "latency_p99_ms")
QUANTITIES = ("mean_absolute_error", "root_mean_square_error", "bias", "r2", "latency_p99_ms")
FORMATS = (".png", ".svg", ".pdf")
_SHARES = ("positive_rate",)


def draw(found: Sequence[Summary], pipeline: Pipeline, span: TimeSpan, out: Path) -> None:
    """Draw scorecards into a file: six panels, a colour for each model and arm.

    Lines with dots are figures of mature windows, with their intervals; dashed lines are estimates, with theirs.

    Raises:
        ConfigurationError: the file cannot be written, or is of no kind that can be drawn.
    """
    check_kind(out)
    canvas = Canvas(figsize=(13, 7.6), dpi=120, layout="constrained")
    axes = canvas.subplots(2, 3).flat
    probability = pipeline.model.output == "probability"
    several = bool(pipeline.model.classes)
    names: Sequence[str] = CLASSES if probability else SEVERAL if several else QUANTITIES
    if probability and pipeline.value is None:
        names = ["decision_rate" if name == "value_per_prediction" else name for name in names]
    for axis, name in zip(axes, names, strict=False):
        for place, (each, colour) in enumerate(zip(found, _colours(found), strict=True)):
            _course(axis, each, name, colour, pipeline.scorecards.window, place)
        _shade(axis, found, pipeline.scorecards.window)
        _dress(axis, name)
    last = canvas.axes[len(names)]
    if probability or several:
        _calibration(last, found, "share of right classes" if several else "share of positives")
    else:
        last.axis("off")
    canvas.suptitle(
        f"{pipeline.name}: windows of {duration(pipeline.scorecards.window)}, {span.text} UTC",
        fontsize=13,
        x=0.01,
        ha="left",
    )
    canvas.legend(handles=list(_legend(found)), loc="outside lower center", ncols=min(len(found) + 3, 4), frameon=False)
    save(canvas, out)


def check_kind(out: Path) -> None:
    """ConfigurationError for a file of no kind that can be drawn."""
    if out.suffix.lower() not in FORMATS:
        raise ConfigurationError(f"--plot {out}: name a file that ends with {', '.join(FORMATS)}")


def save(canvas: Canvas, out: Path) -> None:
    """Write a picture. ConfigurationError where that cannot be."""
    try:
        canvas.savefig(out)
    except OSError as error:
        raise ConfigurationError(f"--plot {out} cannot be written: {error.strerror}") from None


def _course(axis: Any, each: Summary, name: str, colour: str, window: int, place: int) -> None:
    guesses = list(_guesses(each, name))
    if guesses:
        times = [moment_of(start + window / 2) for start, *_ in guesses]
        axis.plot(times, [value for _, value, *_ in guesses], color=colour, ls="--", lw=1.1, alpha=0.8)
        banded = [(time, low, high) for time, (_, _, low, high) in zip(times, guesses, strict=True) if low is not None]
        if banded:
            axis.fill_between(*zip(*banded, strict=True), color=colour, alpha=0.08, lw=0)
    weighed = list(_guesses(each, name, SHIFTED))
    if weighed:
        times = [moment_of(start + window / 2) for start, *_ in weighed]
        axis.plot(times, [value for _, value, *_ in weighed], color=colour, marker="x", ms=5, ls=":", lw=1.1)
    # A little apart, so that intervals of models that stand beside each other can be seen.
    shift = window * (0.5 + 0.06 * (place % 4 - 1.5))
    known = [(start, figure) for start, card in each.windows.items() if (figure := card.figures.get(name)) is not None]
    known = [(start, figure) for start, figure in known if figure.value is not None]
    times = [moment_of(start + shift) for start, _ in known]
    axis.plot(times, [figure.value for _, figure in known], color=colour, marker="o", ms=3.5, lw=1.6)
    sure = [(t, f.low, f.high) for t, (_, f) in zip(times, known, strict=True) if f.low is not None]
    if not sure:
        return
    middle, low, high = zip(*sure, strict=True)
    if name != "positive_rate":
        axis.vlines(middle, low, high, color=colour, lw=1, alpha=0.7)
    elif place == 0:  # a band in which it is expected, not an interval of its own
        for line in (low, high):
            axis.plot(middle, line, color=colour, ls=":", lw=1.2)


def _guesses(
    each: Summary, name: str, prefix: str = ESTIMATED
) -> Iterator[tuple[int, float, float | None, float | None]]:
    """(window, estimate, its interval) of each window that has one."""
    for start, card in each.windows.items():
        whole = name == "value_per_prediction"  # the estimate is of the window's value as a whole
        figure = card.figures.get(prefix + ("value" if whole else name))
        if figure is None or figure.value is None:
            continue
        rows = card.tally["predictions"] if whole else 1
        low, high = (None if end is None else end / rows for end in (figure.low, figure.high))
        yield start, figure.value / rows, low, high


def _shade(axis: Any, found: Sequence[Summary], window: int) -> None:
    """Windows that are mature for nobody yet stand on grey; every panel shows the same times."""
    starts = sorted({start for each in found for start in each.starts})
    complete = {start for each in found for start in each.complete}
    for start in starts:
        if start not in complete:
            axis.axvspan(moment_of(start), moment_of(start + window), color="#f2f2f2", lw=0, zorder=0)
    axis.set_xlim(moment_of(starts[0]), moment_of(starts[-1] + window))


def moment_of(ms: float) -> datetime:
    """Milliseconds since the epoch as what axes take."""
    return datetime.fromtimestamp(ms / 1000, UTC)


def _dress(axis: Any, name: str) -> None:
    bounds = {"positive_rate": "positive rate, dotted: expected of the first", "decision_rate": "decided yes"}
    axis.set_title(bounds.get(name, title(name)), loc="left", fontsize=10)
    date_axis(axis)
    if name in _SHARES:
        axis.yaxis.set_major_formatter(PercentFormatter(1.0))
    if name.startswith("latency"):
        axis.set_ylim(bottom=0)
    _plain(axis)


def date_axis(axis: Any) -> None:
    """Dates below, in few words."""
    locator = dates.AutoDateLocator(minticks=3, maxticks=7)
    axis.xaxis.set_major_locator(locator)
    axis.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator))


def _calibration(axis: Any, found: Sequence[Summary], rate: str) -> None:
    """Claimed and observed rates of mature windows on logarithmic axes: where positives are rare, all is near zero."""
    low = 1.0
    for each, colour in zip(found, _colours(found), strict=True):
        curve = None if each.known is None else reliability(each.known.tally.known)
        if curve is None:
            continue
        some = (curve.claimed > 0) & (curve.observed > 0)
        if some.any():
            low = min(low, float(curve.claimed[some].min()), float(curve.observed[some].min()))
        axis.plot(curve.claimed[some], curve.observed[some], color=colour, marker="o", ms=4, lw=1.8)
    axis.plot([low, 1], [low, 1], color="#888888", lw=1, zorder=0)
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_title("calibration: tenths of mature rows", loc="left", fontsize=10)
    axis.set_xlabel("mean score", fontsize=9)
    axis.set_ylabel(rate, fontsize=9)
    _plain(axis)


def _plain(axis: Any) -> None:
    axis.grid(color="#dddddd", lw=0.6)
    axis.set_axisbelow(True)
    axis.tick_params(labelsize=8)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)


def _colours(found: Sequence[Summary]) -> list[str]:
    return [COLOURS[place % len(COLOURS)] for place in range(len(found))]


def _legend(found: Sequence[Summary]) -> Any:
    for each, colour in zip(found, _colours(found), strict=True):
        yield Line2D([], [], color=colour, marker="o", ms=4, lw=1.8, label=each.who.text)
    yield Line2D([], [], color="#444444", lw=1.8, marker="o", ms=4, label="on mature outcomes, 95%")
    yield Patch(color="#f2f2f2", label="not mature")
    yield Line2D([], [], color="#444444", lw=1.1, ls="--", label="estimated without labels, 95%")
    if any(next(_guesses(each, "auc_roc", SHIFTED), None) for each in found):
        yield Line2D([], [], color="#444444", lw=1.1, ls=":", marker="x", ms=5, label="the same, mix weighed")
