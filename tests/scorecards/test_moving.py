"""Sums moved to more partitions in mid-stream: cards are those of sums that always lay there."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from headrace.columnar.arrow_stream import stream
from headrace.columnar.partitioner import partitions_of
from headrace.domain.aggregations.tumbling_windows import TumblingWindows
from headrace.domain.quality.top_k_entities import ranked
from headrace.domain.scorecards.grouped_tallies import PARTS
from headrace.domain.scorecards.window_sums import STATE, OutcomeTallies, span
from headrace.streaming.records.batch import slot
from headrace.streaming.watermarks.event_time import Clock
from services.scorecards.redistribution import began, moved_parts, moved_sums
from services.scorecards.service import Scorecards
from tests.scorecards.made import DAY, Member, World, entity_precision, outcomes, pieces, pipeline, predictions, world

ROWS = 6_000
OUTCOMES_AT, PARTS_AT = 2, 3
FORMER, NOW = {"outcomes": 2, PARTS: 2}, {"outcomes": 5, PARTS: 3}


class Growing(Member):
    """A member whose outcomes and parts lie in so many partitions."""

    def __init__(self, counts: dict[str, int]) -> None:
        self.counts = counts
        super().__init__()

    def _start(self, cap: int) -> Scorecards:
        made = super()._start(cap)
        made.start({PARTS: self.counts[PARTS]})
        for place, topic in ((OUTCOMES_AT, "outcomes"), (PARTS_AT, PARTS)):
            for partition in range(self.counts[topic]):
                made.restore(slot(place, partition), None)
        return made

    def grow(self, counts: dict[str, int]) -> None:
        """As `headrace repartition` moves the state, once all that there is was read."""
        former, before = self.counts, self.made
        kept = {slot(place, number): before.snapshot(slot(place, number)) for place in (0, 1) for number in range(3)}
        sums = [before.snapshot(slot(OUTCOMES_AT, number)) for number in range(former["outcomes"])]
        told = [before.snapshot(slot(PARTS_AT, number)) for number in range(former[PARTS])]
        sums += [began(sums)] * (counts["outcomes"] - former["outcomes"])
        offsets = [self.offsets.get(slot(OUTCOMES_AT, number), 0) for number in range(counts["outcomes"])]
        given_up = span(pipeline(), "outcomes").given_up
        self.counts = counts
        self.made = self._start(self.cap)
        moved = {slot(OUTCOMES_AT, n): state for n, state in enumerate(moved_sums(sums, given_up, offsets))}
        moved |= {slot(PARTS_AT, n): state for n, state in enumerate(moved_parts(told, counts[PARTS]))}
        for number, state in (kept | moved).items():
            self.made.restore(number, state)


def feed(member: Growing, made: World, rows: np.ndarray, said: np.ndarray, seed: int) -> None:
    """Predictions and outcomes, each entity in its partition of now, in batches cut at random."""
    draw = np.random.default_rng(seed)
    for topic, count in (("predictions", 3), ("outcomes", member.counts["outcomes"])):
        homes = partitions_of(pa.array(made.entities[rows]), count)
        for number in range(count):
            for part in pieces(rows[homes == number], draw):
                if len(part):
                    of = predictions(made, part) if topic == "predictions" else outcomes(made, part, said[part])
                    member.take(topic, number, of)


def correct(member: Growing, made: World, rows: np.ndarray, said: np.ndarray) -> None:
    """What was presumed at first turns out to be otherwise."""
    homes = partitions_of(pa.array(made.entities[rows]), member.counts["outcomes"])
    for number in np.unique(homes).tolist():
        late = rows[homes == number]
        member.take("outcomes", number, outcomes(made, late, made.label[late], 1, said[late]))


@pytest.mark.slow
@pytest.mark.parametrize("published", [True, False], ids=["published", "not yet"])
def test_cards_after_a_growth_are_those_of_an_undivided_stream(published: bool) -> None:
    """Counts, maturity, areas and entities of a day in the middle of which topics grew, and corrections after it."""
    made = world(ROWS)
    said = made.label.copy()
    corrected = np.flatnonzero(made.label > 0)[::3]
    said[corrected] = 0.0
    half = np.arange(ROWS) < ROWS // 2  # in the middle of the second day
    moved, always = Growing(FORMER), Growing(NOW)
    for member in (moved, always):
        feed(member, made, np.flatnonzero(half), said, 1)
        if published:
            member.publish()
        if member is moved:
            member.grow(NOW)
        feed(member, made, np.flatnonzero(~half), said, 2)
        correct(member, made, corrected, said)
        member.publish()
    assert moved.cards.keys() == always.cards.keys()
    for key, card in always.cards.items():
        same = {name: value for name, value in moved.cards[key].items() if name not in ("time", "figures")}
        assert same == {name: value for name, value in card.items() if name not in ("time", "figures")}, key
        for name, figure in card["figures"].items():
            assert moved.cards[key]["figures"][name] == pytest.approx(figure, nan_ok=True), (key, name)
    assert moved.card(1)["mature"]
    rows = np.flatnonzero((made.times - made.times[0] // DAY * DAY) // DAY == 1)
    top = ranked(pa.array(made.entities[rows]), made.scores[rows], made.label[rows], 100)
    assert top.rows.sum() >= 100
    figure = moved.card(1)["figures"]["entity_precision_at_100_per_day"]
    assert figure["value"] == pytest.approx(entity_precision(made, rows))


def test_a_window_that_was_given_up_where_its_entities_belong_keeps_them_where_they_are() -> None:
    """What is left of a window that a partition gave up stands in a part that must not be written over."""
    made = world(400)
    rows = np.arange(400)
    member = Growing({"outcomes": 2, PARTS: 2})
    homes = partitions_of(pa.array(made.entities), 2)
    for number in range(2):
        member.take("outcomes", number, outcomes(made, rows[homes == number], made.label[homes == number]))
    states = [member.made.snapshot(slot(OUTCOMES_AT, number)) for number in range(2)]
    ahead = Clock.at(int(made.times.max()) + 400 * DAY).state.tobytes()
    begun = stream(pa.Table.from_pylist([{"window": None, "next_offset": 0, "clock": ahead}], schema=STATE))
    rules = span(pipeline(), "outcomes")
    moved = moved_sums([*states, begun], rules.given_up, [9, 9, 9])
    parts = []
    for state in moved:
        windows = TumblingWindows(OutcomeTallies(pipeline(), 65_536), rules)
        windows.load(state)
        parts.append(len(windows))
    assert parts == [3, 3, 0]
