"""The story of a loop: every control event is marked, none covers another, and the page stands alone."""

from __future__ import annotations

import re
from collections import Counter
from html import unescape
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.image import imread
from rich.text import Text

from headrace.cli.render.demo.marks import lane_of, marks_of, spread
from headrace.cli.render.demo.story_page import page_of, write_page
from headrace.cli.render.demo.story_plot import draw
from headrace.cli.render.demo.timeline import lines_of
from headrace.domain.control.events import ControlEvent
from headrace.domain.control.kinds import KINDS
from headrace.errors import ConfigurationError
from headrace.operations.demo.control_log import MarkedEvent
from headrace.operations.demo.monitor import Account
from tests.demo.stories import BEGUN, EVENTS, marked, story

BALANCED = Account(100, 99, 1, 0, 0, 0, 0)


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_every_kind_of_control_event_has_a_sentence(kind: type) -> None:
    """Also one that nobody is sent a message of: what is on the topic is in the story."""
    mark = MarkedEvent(1, BEGUN, 1.0, ControlEvent("e", "cards", BEGUN, "drift", kind()))
    assert mark.title.strip()
    assert lines_of(mark)


def test_every_event_has_a_mark_and_stages_of_a_training_share_one() -> None:
    """Numbers go through all events: a mark has one of them, or those of the first and the last."""
    marks = marks_of(marked(EVENTS).found)
    numbers: list[int] = []
    for mark in marks:
        ends = [int(number) for number in mark.label.split("\N{EN DASH}")]
        numbers += range(ends[0], ends[-1] + 1)
    assert numbers == list(range(1, len(EVENTS) + 1))
    assert [mark.title for mark in marks if "\N{EN DASH}" in mark.label] == ["the training goes through fix, read, fit"]
    assert Counter(mark.lane for mark in marks) == {"drift": 2, "retrain": 4, "people": 1, "release": 5}
    assert [mark.tone for mark in marks][-4:] == ["good", "good", "bad", "bad"]


def test_marks_of_one_moment_stand_beside_each_other() -> None:
    """Whatever comes together, neighbours are a gap apart, in their order, within the picture, near where they were."""
    rng = np.random.default_rng(5)
    for _ in range(300):
        places = np.sort(rng.choice([0.0, 3.0, 3.1, 50.0, 99.0, 100.0], rng.integers(1, 12)) + rng.random()).tolist()
        widths = rng.uniform(2, 9, len(places)).tolist()
        found = spread(places, widths, 0.0, 110.0)
        assert found[0] - widths[0] / 2 >= -1e-9
        assert found[-1] + widths[-1] / 2 <= 110.0 + 1e-9
        gaps = [(a + b) / 2 for a, b in pairwise(widths)]
        assert all(b - a >= gap - 1e-9 for (a, b), gap in zip(pairwise(found), gaps, strict=True))
    assert spread([10.0, 40.0, 80.0], [5.0] * 3, 0.0, 110.0) == pytest.approx([10.0, 40.0, 80.0])
    assert spread([50.0] * 3, [5.0] * 3, 0.0, 110.0) == pytest.approx([45.0, 50.0, 55.0])


def test_the_page_stands_alone() -> None:
    """No script and no address; every event is a row and a mark that leads to it; what is said is escaped."""
    page = "\n".join(page_of(story(), BALANCED))
    assert not re.search(r"<script|https?:|src=|@import|url\(", page)
    marks = marks_of(story().marks)
    for mark in marks:
        assert page.count(f'id="e{mark.label}"') == 1
        assert page.count(f'href="#e{mark.label}"') == 1
    assert "ana &lt;of risk&gt;" in page
    assert "the process &lt;shifts&gt;" in page
    drawn = ElementTree.fromstring(re.search(r"<svg.*</svg>", page, re.S)[0])  # type: ignore[index]  # there is one
    boxes: dict[str, list[tuple[float, float]]] = {}
    for box in (each for link in drawn.iter("a") for each in link.iter("rect")):
        boxes.setdefault(box.attrib["y"], []).append((float(box.attrib["x"]), float(box.attrib["width"])))
    for lane in boxes.values():
        for (left, width), (right, _) in pairwise(sorted(lane)):
            assert right >= left + width, "two marks cover each other"


def test_the_page_says_what_did_not_come_and_what_is_wrong_with_the_account() -> None:
    """Neither is hidden behind a picture."""
    page = unescape("\n".join(page_of(story("an incident did not come"), Account(100, 98, 1, 1, 0, 0, 0))))
    assert "It did not come to its end: an incident did not come" in page
    assert "1 differences" in page


def test_the_picture_is_drawn(tmp_path: Path) -> None:
    """With all marks at one moment, with windows without a figure, and with nothing but a beginning."""
    for told in (story(), story("stopped")):
        draw(told, tmp_path / "story.png")
        assert imread(tmp_path / "story.png").std() > 0.01
    write_page(story(), BALANCED, tmp_path / "story.html")
    with pytest.raises(ConfigurationError, match="cannot be written"):
        write_page(story(), BALANCED, tmp_path / "no" / "story.html")


def test_a_line_says_when_who_and_what() -> None:
    """Stream time, seconds since the beginning, the lane; and below it figures, where there are some."""
    first, *_ = story().marks
    lines = [Text.from_markup(line).plain for line in lines_of(first)]
    assert re.match(r"Apr 30 07:06    40 s  drift    drift incident outcomes/1 opened", lines[0]), lines
    assert "threshold" in lines[1]
    (remark,) = lines_of(story().remarks[0])
    assert Text.from_markup(remark).plain.endswith("the process <shifts>")
    assert lane_of("somebody") == "people"
