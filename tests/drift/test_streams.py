"""What only dark models read, and what is refused: streams of their own under the same allowance."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest

from headrace.domain.control.drift import DriftClosed, DriftFinding, DriftOpened
from headrace.domain.drift.allowance import SHARES, threshold
from headrace.domain.records.drift_parts import REFUSED, SOURCES
from headrace.domain.records.watched_columns import PREDICTIONS, SHADOW
from headrace.streaming.records.batch import Batch, slot
from services.drift.service import Watcher
from tests.drift import predictions as made
from tests.drift.test_service import PARTITIONS, SECOND, Group

PASSED, BURST = 9_000, 400
"""Records of the topic in all, and of these the ones after which every tenth is refused, in each partition."""


def slots(stream: str) -> list[int]:
    """The partitions of a stream, as the service numbers them."""
    return [slot(Watcher.inputs.index(stream), number) for number in range(PARTITIONS)]


def test_streams_share_one_allowance() -> None:
    """Each alarms as often as its share says: all of them as often as the pipeline allows, with labels or without."""
    assert set(SHARES) == set(SOURCES)
    for labelled in (True, False):
        there = [stream for stream in SOURCES if labelled or stream != "outcomes"]
        assert sum(1 / threshold(2.0, stream, labelled) for stream in there) == pytest.approx(2.0)


def test_dark_models_of_the_same_events_are_one_incident_beside_the_champions() -> None:
    """Two score what the champion scored, batch by batch: an input moves, and each stream has its one incident."""
    draw = np.random.default_rng(21)
    values = draw.normal(size=(9_000, len(made.INPUTS)))
    values[6_000:, 2] += 0.6
    times, ids = made.START + np.arange(len(values)) * SECOND, np.arange(len(values))
    dark, at = [], 0
    for low in range(0, len(values), 250):
        rows = slice(low, low + 250)
        for model in (made.MODEL, made.OTHER):
            records = made.columns(SHADOW, values[rows], times[rows], ids[rows], model)
            dark.append(made.batch(SHADOW, records, 0, at))
            at += 250
    group = Group(1, 0)
    group.idle([*slots(PREDICTIONS)[1:], *slots(SHADOW)[1:]])
    group.read({0: made.batch(PREDICTIONS, made.columns(PREDICTIONS, values, times, ids), 0, 0)}, 2_000)
    for batch in dark:
        group.send(slots(SHADOW)[0], batch)
    group.fold()
    group.idle([slots(PREDICTIONS)[0], slots(SHADOW)[0]])
    found = group.findings()
    assert {each.incident for each in found} == {"predictions/1", "shadow-predictions/1"}
    of_dark = [each for each in found if each.stream == SHADOW]
    assert isinstance(of_dark[0], DriftOpened)
    assert {each.model for each in of_dark} == {"m@1", "m@2"}
    named = {model: {"terminal.risk_30d"} for model in ("m@1", "m@2")}
    for each in of_dark:
        named[each.model] -= {change["column"] for change in json.loads(each.columns)}
    assert not any(named.values())
    for each in of_dark[:2]:
        assert 0 <= (each.reached - made.START) / SECOND - 6_000 < 1_000


def letters(of: Sequence[int], seed: int = 3) -> dict[int, Batch]:
    """Dead letters of three partitions, each keyed to one of theirs: 300 good records, then every tenth is refused."""
    found = {}
    for number in of:
        refused = np.sort(np.random.default_rng((seed, number)).choice(np.arange(6_000, PASSED), BURST, replace=False))
        times = made.START + refused * SECOND + number
        found[slots(REFUSED)[number]] = made.batch(
            REFUSED, made.letters(refused, times, "out_of_range", number), number, 0
        )
    return found


def refusals(group: Group) -> list[DriftFinding]:
    """What is told of them."""
    return [each for each in group.findings() if each.stream == REFUSED]


@pytest.mark.parametrize(("members", "most"), [(1, 1_000), (3, 7), (3, 60)])
def test_a_burst_of_refusals_is_one_incident_whoever_reads_in_whatever_pieces(members: int, most: int) -> None:
    """Seen after a few, with the reason; over when as many predictions say that records pass again."""
    group = Group(members, most)
    group.read(letters(range(PARTITIONS)), most)
    group.idle(slots(REFUSED))
    (opened,) = refusals(group)
    assert isinstance(opened, DriftOpened)
    assert (opened.incident, opened.model) == ("dead-letters/1", "events@out_of_range")
    assert (opened.reached - made.START) / SECOND - 6_000 < 60
    (change,) = json.loads(opened.columns)
    assert change["column"] == "refused"
    assert change["recent"][1] > 0.02
    rows = np.random.default_rng(4).normal(size=(9_000, len(made.INPUTS)))
    times = made.START + np.arange(len(rows)) * SECOND
    records = made.columns(PREDICTIONS, rows, times, np.arange(len(rows)))
    group.read({0: made.batch(PREDICTIONS, records, 0, 0)}, 10 * most)
    (_, closed) = refusals(group)
    assert isinstance(closed, DriftClosed)
    assert (closed.incident, closed.because) == ("dead-letters/1", "as before")


def test_a_letter_that_comes_again_counts_once() -> None:
    """Refused again after a crash, at another place among the letters: evidence and rows are what they were."""
    once, twice = Group(1, 0), Group(1, 0)
    (log,) = letters([0]).values()
    again = pa.Table.from_batches([log.columns.slice(0, 300), log.columns.slice(100)]).combine_chunks()
    once.read({slots(REFUSED)[0]: log}, 50)
    twice.read({slots(REFUSED)[0]: made.batch(REFUSED, again.to_batches()[0], 0, 0)}, 50)
    standing = []
    for group in (once, twice):
        group.idle(slots(REFUSED))
        group.publish()
        standing.append([(row["column"], row["events"], row["evidence"]) for row in group.standing])
    assert standing[0] == standing[1]
    assert ("", BURST) in {row[:2] for row in standing[0]}
    assert refusals(once) == refusals(twice)


def test_where_the_beginning_was_deleted_nothing_is_taken_for_a_gap() -> None:
    """Letters that are no longer there may have been many: two bring no alarm, and the reference is still learnt."""
    group = Group(1, 0)
    refused = np.arange(1_000_000, 1_000_400, 10)
    records = made.letters(refused, made.START + refused * SECOND, "malformed")
    group.read({slots(REFUSED)[0]: made.batch(REFUSED, records, 0, 5_000)}, 100)
    group.idle(slots(REFUSED))
    assert not refusals(group)
    group.publish()
    (row,) = [row for row in group.standing if row["column"] == "refused"]
    assert (row["state"], row["learnt"]) == ("learning", 390)


def test_letters_of_topics_that_nobody_else_writes_are_not_watched() -> None:
    """What is refused of our own topics is a fault of ours."""
    group = Group(1, 0)
    refused = np.arange(0, 400, 10)
    records = made.letters(refused, made.START + refused * SECOND, "malformed", topic="features")
    group.read({slots(REFUSED)[0]: made.batch(REFUSED, records, 0, 0)}, 100)
    group.idle(slots(REFUSED))
    group.publish()
    assert not group.standing
