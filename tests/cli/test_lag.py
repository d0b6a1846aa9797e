"""How `headrace lag` tells what it measured."""

from __future__ import annotations

from rich.console import Console, RenderableType

from headrace.cli.pipeline.lag import each, together
from headrace.cli.render.models.package import WIDE
from headrace.streaming.kafka.lag import COUNTED, Lag

FOUND = [
    Lag("p.enrich", "p.events", 0, 10, 12, 2, 1.5),
    Lag("p.enrich", "p.events", 1, 20, 23, 3, 75.0),
    Lag("p.labels", "p.labels", 0, None, COUNTED + 5, COUNTED + 5, 12.0, exact=False),
    Lag("p.score", "p.features", 0, 40, 41, 0, 0.0),
]


def lines(table: RenderableType) -> list[list[str]]:
    """The words of each line."""
    console = Console(width=WIDE)
    with console.capture() as captured:
        console.print(table)
    return [line.split() for line in captured.get().splitlines()]


def test_a_group_is_a_line_with_its_furthest_partition() -> None:
    """Records add up; seconds and place are those of the oldest record; what is not counted is told as about."""
    _, enrich, labels, score = lines(together(FOUND))
    assert enrich == ["p.enrich", "2", "5", "75.0", "p.events[1]"]
    assert labels == ["p.labels", "1", "about", "10,005", "12.0", "has", "never", "committed;", "p.labels[0]"]
    assert score == ["p.score", "1", "0", "0.0"]


def test_each_partition_is_told_when_asked() -> None:
    """A line for each partition, with its offsets."""
    _, first, *_, last = lines(each(FOUND))
    assert first == ["p.enrich", "p.events", "0", "10", "12", "2", "1.5"]
    assert last[:3] == ["p.score", "p.features", "0"]
