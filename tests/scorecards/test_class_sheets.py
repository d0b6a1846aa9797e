"""Cards of several classes on paper and as a picture, and by the names that rules know."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from headrace.cli.render.scorecard import scorecard_sheet
from headrace.cli.render.scorecard_plot import draw
from headrace.domain.pipeline.classes.names import field_names
from headrace.domain.pipeline.kpi.figures import scorecard_figures
from headrace.domain.scorecards.identity import Identity
from headrace.operations.scorecard_query.catalogue import usual
from headrace.operations.scorecard_query.span import Summary, Sums
from headrace.operations.time_spans import TimeSpan
from tests.scorecards.made import DAY, START, Member
from tests.scorecards.test_classes import made, of_card, told

DRAW = np.random.default_rng(8)
PIPELINE = of_card(3, DRAW)
SPAN = TimeSpan(START, START + DAY)


@pytest.fixture(scope="module")
def member() -> Member:
    """A day of it."""
    rows = made(600, 3, DRAW)
    found = Member(of=PIPELINE)
    found.take("predictions", 0, told(PIPELINE, "predictions", rows))
    found.take("outcomes", 0, told(PIPELINE, "outcomes", rows, rows.truth))
    found.publish()
    return found


def summary(member: Member, segment: str | None) -> Summary:
    """Of all of it."""
    who = Identity("m", "1", "d" * 8, "champion")
    aggregate = next(each for each in member.made.aggregates.values() if who in each.windows)
    found = Sums(PIPELINE, aggregate).summary(who, SPAN, segment)
    assert found is not None
    return found


def sheet(member: Member, segment: str | None) -> str:
    """On a terminal."""
    console = Console(file=StringIO(), width=120)
    names = usual(PIPELINE)
    for part in scorecard_sheet([summary(member, segment)], PIPELINE, SPAN, segment, names, 120):
        console.print(part)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_a_sheet_has_each_class_and_the_confusion(member: Member) -> None:
    """Macro figures above, classes by their own names below, and what was taken for what."""
    text = sheet(member, None)
    for said in ("accuracy", "macro F1", "cost a row", "by class", "very bad", "decided (columns)"):
        assert said in text, said
    counts = summary(member, None).figures["support_dog"].value
    assert counts is not None
    assert f"{counts:.0f}" in text
    for wrong in ("average precision", "precision@", "positive rate"):
        assert wrong not in text, wrong


def test_groups_and_gaps_are_shown(member: Member) -> None:
    """The recall of each class in each group."""
    text = sheet(member, "amount_band")
    assert "recall dog" in text
    assert "largest gap" in text


def test_a_picture_is_drawn(member: Member, tmp_path: Path) -> None:
    """Of figures that there are."""
    draw([summary(member, None)], PIPELINE, SPAN, tmp_path / "made.png")
    assert (tmp_path / "made.png").stat().st_size > 10_000


def test_rules_know_the_figures_that_there_are(member: Member) -> None:
    """Each that a rule may name is on a card, and each on a card may be named, but for those of what went wrong."""
    cards = [card["figures"] for key, card in member.cards.items()]
    there = {name for figures in cards for name in figures}
    known = set(scorecard_figures(True, True, False, [], field_names(PIPELINE.model.classes)))
    assert there <= known
    gaps = {name for name in known if name.startswith("gap_")}
    assert known - there - gaps <= {"backfill_latency_p50_ms"}
