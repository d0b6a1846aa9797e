"""The story of a loop as a picture: quality over stream time, and every control event on the lane of who said it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from textwrap import shorten
from typing import Any

from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D

from headrace.cli.render.demo.marks import LANES as SERVICES
from headrace.cli.render.demo.marks import OTHERS, PEOPLE, StoryMark, marks_of, spread
from headrace.cli.render.scorecard_plot import COLOURS, check_kind, date_axis, moment_of, save
from headrace.domain.pipeline.units import duration
from headrace.operations.demo.loop import WINDOW_MS, LoopStory
from headrace.operations.demo.quality_course import Quality

TONES = {"good": "#009E73", "bad": "#D55E00", "": "#444444"}
MARK, LETTER = 0.009, 0.0052
"""Widths of a mark without its text, with the room beside it, and of a letter: shares of the picture's."""
COLUMNS, MOST_LETTERS = 2, 112


def draw(story: LoopStory, out: Path) -> None:
    """Draw it into a file: lines of models above, thick while their answers are published; lanes of events; their list.

    Raises:
        ConfigurationError: the file cannot be written, or is of no kind that can be drawn.
    """
    check_kind(out)
    marks = marks_of(story.marks)
    lanes = lanes_of(marks)
    rows = -(-len(marks) // COLUMNS)
    heights = [4.6, 0.42 * len(lanes) + 0.3, 0.185 * rows + 0.3]
    canvas = Canvas(figsize=(15, sum(heights) + 1.3), dpi=110, layout="constrained")
    quality, tracks, words = canvas.subplots(3, 1, height_ratios=heights)
    low, high = span_of(story)
    for axis in (quality, tracks):
        axis.set_xlim(moment_of(low), moment_of(high))
    _quality(quality, story, marks)
    _tracks(tracks, marks, lanes, low, high)
    _words(words, marks, rows)
    canvas.suptitle(
        f"{story.pipeline}: average precision in windows of {duration(WINDOW_MS)} of stream time, "
        "and every control event",
        fontsize=14, x=0.01, ha="left",
    )  # fmt: skip  # a sentence
    save(canvas, out)


def lanes_of(marks: Sequence[StoryMark]) -> list[str]:
    """The lanes that are needed, from above."""
    there = {mark.lane for mark in marks}
    return [lane for lane in (*SERVICES, PEOPLE, OTHERS) if lane in there or lane in SERVICES]


def span_of(story: LoopStory) -> tuple[int, int]:
    """The stream time that is shown, milliseconds."""
    starts = [each.start for windows in story.course.values() for each in windows]
    return min([story.begun, *starts]), max(story.ended, story.begun + 1)


def colours_of(story: LoopStory) -> dict[str, str]:
    """A colour for each model, in the order in which they came."""
    titles = sorted(story.course, key=lambda title: story.course[title][0].start if story.course[title] else 0)
    return {title: COLOURS[place % len(COLOURS)] for place, title in enumerate(titles)}


def known(windows: Sequence[Quality]) -> list[tuple[float, float, bool]]:
    """(middle of the window, ms; average precision; whether most answers were published) where it is known."""
    return [
        ((each.start + each.stop) / 2, each.average_precision, each.answered >= 0.5)
        for each in windows
        if each.average_precision is not None
    ]


def runs_of(points: Sequence[tuple[float, float, bool]]) -> list[tuple[bool, list[tuple[float, float]]]]:
    """Points cut where a model begins or ends to answer; each run begins at the last point of the one before.

    >>> runs_of([(0, 0.5, False), (1, 0.6, True), (2, 0.7, True)])
    [(False, [(0, 0.5), (1, 0.6)]), (True, [(1, 0.6), (2, 0.7)])]
    """
    found: list[tuple[bool, list[tuple[float, float]]]] = []
    for place, value, answers in points:
        if found and found[-1][0] != answers:
            found[-1][1].append((place, value))
        if not found or found[-1][0] != answers:
            found.append((answers, []))
        found[-1][1].append((place, value))
    return found


def _quality(axis: Any, story: LoopStory, marks: Sequence[StoryMark]) -> None:
    colours = colours_of(story)
    axis.axvspan(moment_of(story.shift), moment_of(span_of(story)[1]), color="#f4f1ea", lw=0, zorder=0)
    for title, colour in colours.items():
        for answers, points in runs_of(known(story.course[title])):
            times, values = zip(*((moment_of(place), value) for place, value in points), strict=True)
            style = {"lw": 2.6, "ls": "-"} if answers else {"lw": 1.3, "ls": (0, (4, 2))}
            axis.plot(times, values, color=colour, marker="o", ms=4 if answers else 3, **style)
    axis.set_ylim(0, 1)
    top = 1.0
    axis.annotate(
        "the process shifts",
        (moment_of(story.shift), top),
        (4, -14),
        textcoords="offset points",
        fontsize=10,
        color="#555555",
    )
    axis.axvline(moment_of(story.shift), color="#555555", lw=1.4)
    for mark in marks:
        if mark.prominent:
            axis.axvline(moment_of(mark.stream), color=TONES[mark.tone], lw=0.9, ls=":", zorder=1)
    axis.set_ylabel("average precision")
    axis.grid(color="#e3e3e3", lw=0.6)
    date_axis(axis)
    handles = [Line2D([], [], color=colour, lw=2.2, label=title) for title, colour in colours.items()]
    handles.append(Line2D([], [], color="#444444", lw=2.6, marker="o", ms=4, label="its answers are published"))
    handles.append(
        Line2D([], [], color="#444444", lw=1.3, ls=(0, (4, 2)), marker="o", ms=3, label="scored in the dark")
    )
    axis.legend(handles=handles, loc="upper left", bbox_to_anchor=(0, -0.07), ncols=5, frameon=False, fontsize=9)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)


def _tracks(axis: Any, marks: Sequence[StoryMark], lanes: Sequence[str], low: int, high: int) -> None:
    width = high - low
    for row, lane in enumerate(lanes):
        own = [mark for mark in marks if mark.lane == lane]
        axis.axhline(row, color="#dddddd", lw=1, zorder=0)
        widths = [width * (MARK + LETTER * len(mark.label)) for mark in own]
        placed = spread([mark.stream for mark in own], widths, low, high)
        for mark, place in zip(own, placed, strict=True):
            colour = TONES[mark.tone]
            axis.plot(
                [moment_of(mark.stream), moment_of(place)], [row - 0.42, row - 0.2], color=colour, lw=0.7, zorder=1
            )
            axis.text(
                moment_of(place), row, mark.label, ha="center", va="center", fontsize=8, color="white", zorder=3,
                bbox={"boxstyle": "round,pad=0.28", "fc": colour, "ec": "white", "lw": 0.8},
            )  # fmt: skip  # a mark
    axis.set_yticks(range(len(lanes)), lanes)
    axis.set_ylim(len(lanes) - 0.4, -0.6)
    axis.tick_params(axis="y", length=0)
    axis.set_xticks([])
    for side in ("top", "right", "left", "bottom"):
        axis.spines[side].set_visible(False)


def _words(axis: Any, marks: Sequence[StoryMark], rows: int) -> None:
    axis.axis("off")
    axis.set_xlim(0, COLUMNS)
    axis.set_ylim(max(rows, 1), 0)
    for place, mark in enumerate(marks):
        column, row = divmod(place, rows)
        axis.text(column, row + 0.5, mark.label, fontsize=8, weight="bold", color=TONES[mark.tone], va="center")
        when = f"{datetime.fromtimestamp(mark.stream / 1000, UTC):%m-%d %H:%M}"
        text = shorten(f"{when}  {mark.title}", MOST_LETTERS, placeholder=" ...")
        axis.text(column + 0.065, row + 0.5, text, fontsize=8, va="center", color="#222222")
