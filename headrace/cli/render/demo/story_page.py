"""The story of a loop as a page of its own: a drawing, and the list of events; without scripts or addresses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from html import escape
from pathlib import Path

from headrace.cli.render.demo.marks import StoryMark, marks_of, spread
from headrace.cli.render.demo.story_plot import colours_of, known, lanes_of, runs_of, span_of
from headrace.domain.pipeline.units import duration
from headrace.errors import ConfigurationError
from headrace.operations.demo.loop import WINDOW_MS, LoopStory
from headrace.operations.demo.monitor import Account

WIDTH, LEFT, RIGHT, TOP = 1180, 70, 16, 26
HEIGHT = 330
"""Of the lines."""
LANE, APART = 34, 5
"""Of a lane, its height; between two marks, the least room."""
STYLE = """
:root{color-scheme:light dark;--paper:#fff;--ink:#1b1b1b;--dim:#666;--rule:#e2e2e2;--shade:#f4f1ea;
--good:#00795a;--bad:#c04f00;--mark:#4a4a4a;--m0:#0072b2;--m1:#c04f00;--m2:#00795a;--m3:#a8558a;--m4:#9a6b00;--m5:#2b86b8}
@media(prefers-color-scheme:dark){:root{--paper:#16181b;--ink:#e8e6e3;--dim:#a2a2a2;--rule:#34373b;--shade:#23241f;
--good:#2fbf95;--bad:#ff8a4c;--mark:#b9b9b9;--m0:#56a8e0;--m1:#ff8a4c;--m2:#2fbf95;--m3:#e09ac6;--m4:#e6b84a;--m5:#8fd0f5}}
body{background:var(--paper);color:var(--ink);font:15px/1.45 system-ui,sans-serif;max-width:1180px;
margin:24px auto;padding:0 12px}
h1{font-size:22px;margin:0 0 4px}p{margin:4px 0 12px;color:var(--dim)}.missed{color:var(--bad);font-weight:600}
svg{width:100%;height:auto;display:block}text{fill:var(--ink);font:12px system-ui,sans-serif}
.dim{fill:var(--dim)}.rule{stroke:var(--rule)}.dark{stroke-dasharray:5 3;stroke-width:1.5}.lit{stroke-width:3}
.line{fill:none}.num{fill:var(--paper);font-size:11px;font-weight:600;text-anchor:middle}
ul{list-style:none;padding:0;display:flex;flex-wrap:wrap;gap:4px 20px;margin:6px 0 14px}
.key{display:inline-block;width:22px;height:0;border-top:3px solid;vertical-align:middle;margin-right:6px}
table{border-collapse:collapse;width:100%;margin-top:14px;font-size:14px}
td,th{text-align:left;vertical-align:top;padding:5px 10px 5px 0;border-bottom:1px solid var(--rule)}
th{color:var(--dim);font-weight:500}td.n{font-weight:600;white-space:nowrap}td.t{white-space:nowrap;color:var(--dim)}
tr:target{background:var(--shade)}small{color:var(--dim)}.good{color:var(--good)}.bad{color:var(--bad)}
tr.said td{color:var(--dim);font-style:italic}
"""


def write_page(story: LoopStory, account: Account, out: Path) -> None:
    """Write it. ConfigurationError where that cannot be."""
    try:
        out.write_text("\n".join(page_of(story, account)) + "\n", "utf-8")
    except OSError as error:
        raise ConfigurationError(f"{out} cannot be written: {error.strerror}") from None


def page_of(story: LoopStory, account: Account) -> Iterator[str]:
    """Its lines."""
    marks = marks_of(story.marks)
    yield '<!doctype html><html lang="en"><head><meta charset="utf-8">'
    yield f"<title>{escape(story.pipeline)}: the loop</title>"
    yield f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head><body>'
    yield f"<h1>{escape(story.pipeline)}: the loop, unattended</h1>"
    yield f"<p>{escape(clock_line(story))}</p>"
    if story.missed:
        yield f'<p class="missed">It did not come to its end: {escape(story.missed)}</p>'
    yield from _drawing(story, marks)
    yield from _legend(story)
    yield from _list(story, marks)
    fate = "each has exactly one fate" if account.balanced else f"{account.differences:,} differences"
    yield (
        f"<p>{account.events:,} events in, {account.predictions:,} predictions out, {account.dead_letters:,} dead "
        f"letters, compared by event id: {fate}.</p></body></html>"
    )


def clock_line(story: LoopStory) -> str:
    """What the clock does, in a sentence."""
    seconds = max(story.seconds - story.held_s, 1.0)
    rate = (story.ended - story.begun) / 3_600_000 / seconds
    held = ""
    if story.held_s >= 1:
        held = (
            f", and stood still for {story.held_s:.0f} s: services were behind, or a notebook's model was being judged"
        )
    return (
        f"Made-up card payments, {story.rate:g} a second: {rate:.1f} hours of the stream pass in a second{held}. "
        "Services, rules and decisions are those of any pipeline; labels and waits take hours of the stream, not weeks."
    )


def _drawing(story: LoopStory, marks: Sequence[StoryMark]) -> Iterator[str]:
    lanes = lanes_of(marks)
    low, high = span_of(story)
    scale = (WIDTH - LEFT - RIGHT) / (high - low)
    bottom, first = TOP + HEIGHT, TOP + HEIGHT + 46
    whole = first + LANE * len(lanes)

    def x(moment: float) -> float:
        return round(LEFT + (moment - low) * scale, 1)

    def y(value: float) -> float:
        return round(bottom - value * HEIGHT, 1)

    yield f'<svg viewBox="0 0 {WIDTH} {whole}" role="img" aria-label="average precision of each model over time">'
    yield (
        f'<rect x="{x(story.shift)}" y="{TOP}" width="{round(x(high) - x(story.shift), 1)}" height="{HEIGHT}" '
        'fill="var(--shade)"/>'
    )
    for tenth in range(0, 11, 2):
        at = y(tenth / 10)
        yield f'<line class="rule" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at}" y2="{at}"/>'
        yield f'<text class="dim" x="{LEFT - 8}" y="{at + 4}" text-anchor="end">{tenth / 10:.1f}</text>'
    for day in _days(low, high):
        yield f'<line class="rule" x1="{x(day)}" x2="{x(day)}" y1="{bottom}" y2="{bottom + 5}"/>'
        told = f"{datetime.fromtimestamp(day / 1000, UTC):%b %d}"
        yield f'<text class="dim" x="{x(day)}" y="{bottom + 19}" text-anchor="middle">{told}</text>'
    yield f'<text x="{LEFT}" y="{TOP - 10}">average precision in windows of {duration(WINDOW_MS)}</text>'
    shift = x(story.shift)
    yield f'<line x1="{shift}" x2="{shift}" y1="{TOP}" y2="{bottom}" stroke="var(--dim)" stroke-width="1.5"/>'
    yield f'<text class="dim" x="{shift + 5}" y="{bottom - 8}">the process shifts</text>'
    for mark in marks:
        if mark.prominent:
            yield (
                f'<line x1="{x(mark.stream)}" x2="{x(mark.stream)}" y1="{TOP}" y2="{bottom}" '
                f'stroke="var(--{mark.tone or "mark"})" stroke-dasharray="2 4"/>'
            )
    for number, title in enumerate(colours_of(story)):
        points = known(story.course[title])
        for answers, run in runs_of(points):
            line = " ".join(f"{x(place)},{y(value)}" for place, value in run)
            lit = "lit" if answers else "dark"
            yield f'<polyline class="line {lit}" stroke="var(--m{number % 6})" points="{line}"/>'
        for place, value, answers in points:
            yield (
                f'<circle cx="{x(place)}" cy="{y(value)}" r="{4 if answers else 2.6}" fill="var(--m{number % 6})">'
                f"<title>{escape(title)}: {value:.3f}</title></circle>"
            )
    for row, lane in enumerate(lanes):
        yield from _lane(lane, [mark for mark in marks if mark.lane == lane], first + LANE * row + LANE / 2, x)
    yield "</svg>"


def _lane(lane: str, marks: Sequence[StoryMark], y: float, x: object) -> Iterator[str]:
    assert callable(x)
    yield f'<line class="rule" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>'
    yield f'<text class="dim" x="{LEFT - 8}" y="{y + 4}" text-anchor="end">{lane}</text>'
    halves = [6 + 3.2 * len(mark.label) for mark in marks]
    widths = [2 * half + APART for half in halves]
    placed = spread([x(mark.stream) for mark in marks], widths, LEFT, WIDTH - RIGHT)
    for mark, place, half in zip(marks, placed, halves, strict=True):
        colour = f"var(--{mark.tone or 'mark'})"
        yield f'<line x1="{x(mark.stream)}" x2="{place:.1f}" y1="{y - 16}" y2="{y - 8}" stroke="{colour}"/>'
        yield f'<a href="#e{mark.label}"><title>{escape(mark.title)}</title>'
        yield f'<rect x="{place - half:.1f}" y="{y - 9}" width="{2 * half:.1f}" height="18" rx="9" fill="{colour}"/>'
        yield f'<text class="num" x="{place:.1f}" y="{y + 4}">{mark.label}</text></a>'


def _days(low: int, high: int) -> Iterator[int]:
    day = datetime.fromtimestamp(low / 1000, UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    step = max(1, round((high - low) / 86_400_000 / 14))
    while (moment := int(day.timestamp() * 1000)) < high:
        yield moment
        day += timedelta(days=step)


def _legend(story: LoopStory) -> Iterator[str]:
    yield "<ul>"
    for number, title in enumerate(colours_of(story)):
        yield f'<li><span class="key" style="border-color:var(--m{number % 6})"></span>{escape(title)}</li>'
    yield '<li><span class="key" style="border-color:var(--dim)"></span>its answers are published</li>'
    yield '<li><span class="key" style="border-top:2px dashed var(--dim)"></span>scored in the dark</li></ul>'


def _list(story: LoopStory, marks: Sequence[StoryMark]) -> Iterator[str]:
    """Events, and what the demo said between them, in the order of time."""
    yield "<table><tr><th>#</th><th>stream</th><th>after</th><th>event</th><th></th></tr>"
    rows = [(mark.elapsed, 1, _row(mark)) for mark in marks]
    rows += [(each.elapsed, 0, _said(each.stream, each.elapsed, each.text)) for each in story.remarks]
    for _, _, row in sorted(rows, key=lambda one: one[:2]):
        yield row
    yield "</table>"


def _row(mark: StoryMark) -> str:
    detail = f"<br><small>{escape(mark.detail)}</small>" if mark.detail else ""
    return (
        f'<tr id="e{mark.label}"><td class="n {mark.tone}">{mark.label}</td><td class="t">{_when(mark.stream)}</td>'
        f'<td class="t">{mark.elapsed:.0f} s</td><td class="t {mark.tone}">{escape(mark.kinds)}</td>'
        f"<td>{escape(mark.title)}{detail}</td></tr>"
    )


def _said(stream: int, elapsed: float, text: str) -> str:
    return (
        f'<tr class="said"><td></td><td class="t">{_when(stream)}</td><td class="t">{elapsed:.0f} s</td>'
        f"<td></td><td>{escape(text)}</td></tr>"
    )


def _when(stream: int) -> str:
    return f"{datetime.fromtimestamp(stream / 1000, UTC):%Y-%m-%d %H:%M}"
