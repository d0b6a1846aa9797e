"""Cards say what scikit-learn says of the same rows, however these came."""

from __future__ import annotations

from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pyarrow as pa
import pytest
from sklearn import metrics

from headrace.columnar.arrow_stream import streamed
from headrace.domain.aggregations.global_aggregate import reached
from headrace.domain.pipeline.segments import WHOLE, Segments
from headrace.domain.scorecards.card_builder import Maker
from headrace.domain.scorecards.grouped_tallies import PARTS, GroupedTallies, ModelAggregate
from headrace.domain.scorecards.identity import identities
from headrace.domain.scorecards.partial_aggregate import Group, Tally, counted, pack, unpack
from headrace.domain.scorecards.shift_rows import NoShift
from headrace.streaming.records.batch import slot
from tests.scorecards.made import (
    DAY,
    PARTITIONS,
    START,
    Member,
    World,
    entity_precision,
    outcomes,
    pieces,
    pipeline,
    predictions,
    repeats,
    schema,
    world,
)

ROWS = 6_000


def feed(member: Member, made: World, seed: int, corrected: np.ndarray | None = None) -> None:
    """All predictions and outcomes, each entity in its partition, in batches cut at random."""
    draw = np.random.default_rng(seed)
    partition = made.entities.astype(int) % PARTITIONS
    said = made.label.copy()
    if corrected is not None:
        said[corrected] = 0.0  # presumed at first
    for number in range(PARTITIONS):
        rows = np.flatnonzero(partition == number)
        for part in pieces(rows, draw):
            if len(part):
                member.take("predictions", number, predictions(made, part))
                member.take("outcomes", number, outcomes(made, part, said[part]))
        if corrected is not None:
            late = corrected[partition[corrected] == number]
            member.take("outcomes", number, outcomes(made, late, made.label[late], 1, said[late]))


def day(made: World, window: int) -> np.ndarray:
    """Rows of a day."""
    return np.flatnonzero((made.times - START) // DAY == window)


@pytest.mark.parametrize("corrections", [False, True], ids=["as said", "corrected"])
def test_figures_are_those_of_scikit_learn(corrections: bool) -> None:
    """Ranking, threshold, probability and value figures of each day equal scikit-learn's, also after corrections."""
    made = world(ROWS)
    wrong = np.flatnonzero(made.label > 0)[::3] if corrections else None
    member = Member()
    feed(member, made, 1, wrong)
    member.publish()
    for window in range(3):
        rows = day(made, window)
        truth, scores = made.label[rows], made.scores[rows]
        decided = scores >= 0.5
        card = member.card(window)
        assert (card["predictions"], card["outcomes"], card["mature"], card["exact"]) == (
            len(rows),
            len(rows),
            True,
            True,
        )
        _, fp, fn, tp = metrics.confusion_matrix(truth, decided).ravel()
        worth = pipeline().value
        assert worth is not None
        wanted = {
            "auc_roc": metrics.roc_auc_score(truth, scores),
            "average_precision": metrics.average_precision_score(truth, scores),
            "log_loss": metrics.log_loss(truth, scores),
            "brier_score": metrics.brier_score_loss(truth, scores),
            "precision": metrics.precision_score(truth, decided),
            "recall": metrics.recall_score(truth, decided),
            "f1": metrics.f1_score(truth, decided),
            "accuracy": metrics.accuracy_score(truth, decided),
            "balanced_accuracy": metrics.balanced_accuracy_score(truth, decided),
            "mcc": metrics.matthews_corrcoef(truth, decided),
            "positive_rate": truth.mean(),
            "decision_rate": decided.mean(),
            "value": tp * worth.true_positive + fp * worth.false_positive + fn * worth.false_negative,
            "compute_ms_per_prediction": 0.003,
            "bytes_per_prediction": 200,
        }
        found = {name: card["figures"][name]["value"] for name in wanted}
        assert found == pytest.approx(wanted, rel=1e-6, abs=1e-12)
        assert card["figures"]["latency_p50_ms"]["value"] == pytest.approx(20, rel=0.011)


def test_precision_at_k_counts_entities_of_a_day() -> None:
    """The hundred highest entities of a day, each by its highest score, as counted by hand."""
    made = world(ROWS)
    member = Member()
    feed(member, made, 2)
    member.publish()
    for window in range(3):
        rows = day(made, window)
        figure = member.card(window)["figures"]["entity_precision_at_100_per_day"]
        assert figure["value"] == pytest.approx(entity_precision(made, rows))


def test_groups_are_cards_of_their_own() -> None:
    """Each band of the segment has its own figures, and the segment the gaps between them."""
    made = world(ROWS)
    member = Member()
    feed(member, made, 3)
    member.publish()
    rows = day(made, 1)
    bands = {"<10": (0, 10), "10-50": (10, 50), "50-200": (50, 200), ">=200": (200, np.inf)}
    total = 0
    for group, (low, high) in bands.items():
        inside = rows[(made.amounts[rows] >= low) & (made.amounts[rows] < high)]
        card = member.card(1, "amount_band", group)
        total += card["predictions"]
        area = metrics.roc_auc_score(made.label[inside], made.scores[inside])
        assert card["figures"]["auc_roc"]["value"] == pytest.approx(area)
    assert total == len(rows)
    gap = member.card(1, "amount_band")["figures"]["gap_selection_rate"]
    assert gap["low"] <= gap["value"] <= gap["high"]
    assert gap["note"].startswith("highest ")


@pytest.mark.slow
def test_batches_members_and_restarts_do_not_show() -> None:
    """The same rows in other batches, published midway and after a restart, make the same cards."""
    made = world(2_000)
    wrong = np.flatnonzero(made.label > 0)[::4]
    one, other = Member(), Member()
    feed(one, made, 4, wrong)
    one.publish()
    draw = np.random.default_rng(5)
    partition = made.entities.astype(int) % PARTITIONS
    said = made.label.copy()
    said[wrong] = 0.0
    for number in range(PARTITIONS):
        for part in pieces(np.flatnonzero(partition == number), draw):
            if len(part):
                other.take("predictions", number, predictions(made, part))
                other.take("outcomes", number, outcomes(made, part, said[part]))
            other.publish()
            other.restart()
        late = wrong[partition[wrong] == number]
        other.take("outcomes", number, outcomes(made, late, made.label[late], 1, said[late]))
    other.publish()
    assert one.cards.keys() == other.cards.keys()
    for key, card in one.cards.items():
        again = other.cards[key]
        drop = {"time", "figures"}
        assert {k: v for k, v in card.items() if k not in drop} == {k: v for k, v in again.items() if k not in drop}
        assert card["figures"] == again["figures"], key


def test_checkpoints_of_before_are_taken_over() -> None:
    """What a version wrote whose two stages were its own makes the cards that the rows make."""
    made, rows = world(60, days=2), np.arange(60)
    fresh, restored = Member(), Member()
    with ZipFile(Path(__file__).with_name("checkpoints.zip")) as kept:
        for number in kept.namelist():
            restored.made.restore(int(number), kept.read(number))
            assert streamed(restored.made.snapshot(int(number))).schema == streamed(kept.read(number)).schema
    fresh.take("predictions", 0, predictions(made, rows))
    fresh.take("outcomes", 1, outcomes(made, rows, made.label))
    for member in (fresh, restored):
        member.publish()
    assert restored.cards
    told = [{key: {**card, "time": 0} for key, card in member.cards.items()} for member in (fresh, restored)]
    assert told[0] == told[1]


def test_quality_is_silent_until_the_window_is_complete() -> None:
    """With one outcome missing there is an estimate and nothing on outcomes; with the last one both, and the error."""
    made = world(ROWS)
    member = Member()
    feed(member, World(made.times - DAY, *(getattr(made, n) for n in World.__slots__[1:])), 6)  # earlier windows
    rows = day(made, 2)
    member.take("predictions", 0, predictions(made, rows))
    member.take("outcomes", 0, outcomes(made, rows[:-1], made.label[rows[:-1]]))
    member.publish()
    card = member.card(2)
    assert not card["mature"]
    assert "auc_roc" not in card["figures"]
    guess = card["figures"]["estimated_auc_roc"]
    area = metrics.roc_auc_score(made.label[rows], made.scores[rows])
    assert guess["low"] - 0.02 < area < guess["high"] + 0.02
    member.take("outcomes", 0, outcomes(made, rows[-1:], made.label[rows[-1:]]))
    member.publish()
    figures = member.card(2)["figures"]
    assert figures["auc_roc"]["value"] == pytest.approx(area)
    assert figures["estimate_error_auc_roc"]["value"] == pytest.approx(figures["estimated_auc_roc"]["value"] - area)


@pytest.mark.slow
@pytest.mark.parametrize("first", ["predictions", "outcomes"])
def test_what_was_published_twice_counts_once(first: str) -> None:
    """Repeats change no figure, and the window matures; whether they or the predictions that they repeat come first."""
    made = world(ROWS)
    once, twice = Member(), Member()
    feed(once, made, 9)
    once.publish()
    rows = np.arange(ROWS)
    repeated = rows[::7]
    if first == "outcomes":
        twice.take("outcomes", 1, repeats(made, repeated))
        twice.publish()
        assert not any(card["mature"] for card in twice.cards.values())
        assert all(card["predictions"] == 0 for key, card in twice.cards.items() if key.endswith("//"))
    feed(twice, made, 10)
    if first == "predictions":
        twice.take("predictions", 1, predictions(made, repeated))
        twice.publish()
        assert not any(twice.card(window)["mature"] for window in range(3))
        twice.restart()
        twice.take("outcomes", 1, repeats(made, repeated))
    else:
        twice.take("predictions", 1, predictions(made, repeated))
    twice.publish()
    for window in range(3):
        card, wanted = twice.card(window), once.card(window)
        assert card["repeats"] == int(np.isin(repeated, day(made, window)).sum())
        numbers = ("predictions", "outcomes", "labelled", "presumed", "mature")
        assert {name: card[name] for name in numbers} == {name: wanted[name] for name in numbers}
        for figures in (card["figures"], wanted["figures"]):
            # Repeats took time of the model, too: of one record it is the same but for the last bit.
            assert figures.pop("compute_ms_per_prediction")["value"] == pytest.approx(0.003)
        assert card["figures"] == wanted["figures"]
    band, wanted = (member.card(1, "amount_band", "10-50") for member in (twice, once))
    assert band["figures"]["recall"] == wanted["figures"]["recall"]
    assert band["predictions"] == wanted["predictions"]


def test_arms_have_cards_of_their_own() -> None:
    """A shadow's predictions are another card than the champion's."""
    made = world(500, days=1)
    rows = np.arange(500)
    member = Member()
    member.take("predictions", 0, predictions(made, rows))
    member.take("shadow-predictions", 0, predictions(made, rows, "shadow", "2"))
    member.publish()
    assert member.card(0)["figures"]["mean_score"]["value"] == pytest.approx(made.scores.mean())
    assert member.card(0, who="m@2/shadow")["figures"]["mean_score"]["value"] == pytest.approx((made.scores**2).mean())


def test_what_comes_weeks_later_is_added() -> None:
    """A label that is corrected long after its window was given up still changes the card."""
    made = world(1_000, days=1)
    rows = np.arange(1_000)
    member = Member()
    said = made.label.copy()
    wrong = np.flatnonzero(made.label > 0)[:20]
    said[wrong] = 0.0
    member.take("predictions", 0, predictions(made, rows))
    member.take("outcomes", 0, outcomes(made, rows, said))
    later = World(made.times + 40 * DAY, *(getattr(made, n) for n in World.__slots__[1:]))
    member.take("outcomes", 0, outcomes(later, rows, made.label))
    member.publish()
    member.take("outcomes", 0, outcomes(made, wrong, made.label[wrong], 1, said[wrong]))
    member.publish()
    figures = member.card(0)["figures"]
    assert figures["auc_roc"]["value"] == pytest.approx(metrics.roc_auc_score(made.label, made.scores))
    assert figures["recall"]["value"] == pytest.approx(metrics.recall_score(made.label, made.scores >= 0.5))


def test_many_scores_are_rounded_and_it_is_said() -> None:
    """Beyond the cap a card rounds scores, says by how much, and stays within that of the exact figure."""
    draw = np.random.default_rng(7)
    made = world(20_000, days=1)
    fine = World(
        made.times, made.entities, made.amounts, made.scores + draw.random(20_000) * 1e-6, made.label, made.reported
    )
    member = Member(cap=4_096)
    feed(member, fine, 8)
    member.publish()
    card = member.card(0)
    assert not card["exact"]
    assert 0 < card["relative_error"] < 0.01
    area = metrics.roc_auc_score(fine.label, fine.scores)
    assert card["figures"]["auc_roc"]["value"] == pytest.approx(area, abs=1e-3)


def test_values_outside_a_segment_have_groups_too() -> None:
    """A missing value and a value that the file does not list are counted, each by its name."""
    made = world(10, days=1)
    made.amounts[:2] = [np.nan, 5]
    found = dict(Segments(pipeline()).groups(predictions(made, np.arange(2))))
    assert set(found) == {("", ""), ("amount_band", "missing"), ("amount_band", "<10")}


def test_corrections_of_outcomes_that_are_not_there() -> None:
    """Where more is corrected than there is, figures on outcomes are withheld, and the card says why."""
    made = world(1_000, days=1)
    rows = np.arange(1_000)
    member = Member()
    member.take("predictions", 0, predictions(made, rows))
    member.take("outcomes", 0, outcomes(made, rows, made.label))
    found = np.flatnonzero(made.label > 0)
    gone = World(made.times[found], *(getattr(made, name)[found] for name in World.__slots__[1:]))
    for _ in range(3):
        member.take("outcomes", 0, outcomes(gone, np.arange(len(found)), np.zeros(len(found)), 1, np.ones(len(found))))
    member.publish()
    card = member.card(0)
    assert not card["mature"]
    assert card["figures"]["unmatched_corrections"]["value"] == 3 * len(found)
    assert "corrected than there are" in card["figures"]["unmatched_corrections"]["note"]
    assert "recall" not in card["figures"]
    assert card["figures"]["decision_rate"]["value"] == pytest.approx((made.scores >= 0.5).mean())
    assert member.withheld() == 1


def test_such_a_window_is_no_reference() -> None:
    """What later windows are compared with holds no counts below zero."""
    made = world(3_000, days=3)
    member = Member()
    feed(member, made, 4)
    first = day(made, 0)
    wrong = first[made.label[first] > 0]
    for _ in range(2):
        member.take("outcomes", 0, outcomes(made, wrong, np.zeros(len(wrong)), 1, np.ones(len(wrong))))
    member.publish()
    assert not member.card(0)["mature"]
    assert member.card(2)["mature"]


def test_names_with_any_letter() -> None:
    """Models are told apart by their names alone, whatever letters these hold."""
    columns = predictions(world(4, days=1), np.arange(4))
    kind = columns.schema.field("model").type
    named = [{"name": name, "version": version, "digest": ""} for name, version in (("a\x1fb", ""), ("a", "b\x1f"))]
    model = columns.schema.get_field_index("model")
    columns = columns.set_column(model, columns.schema.field(model), pa.array(named * 2, kind))
    codes, known = identities(columns)
    assert [known[code][:2] for code in codes.tolist()] == [("a\x1fb", ""), ("a", "b\x1f")] * 2


def test_a_backfill_does_not_drown_live_latency() -> None:
    """Latency is that of live events; backfilled ones are told apart, and speak only where there are no others."""
    made = world(ROWS)
    rows = day(made, 0)
    told = predictions(made, rows)
    year = 365 * DAY
    waited = pa.array(made.times[rows] + year + 60_000, told.schema.field("predicted_time").type)
    late = told.set_column(told.schema.get_field_index("predicted_time"), "predicted_time", waited)
    came = pa.array(made.times[rows] + year, told.schema.field("ingest_time").type)
    late = late.set_column(late.schema.get_field_index("ingest_time"), "ingest_time", came)
    only = Member()
    only.take("predictions", 0, late)
    only.publish()
    figures = only.card(0)["figures"]
    assert figures["latency_p50_ms"]["value"] == pytest.approx(60_000, rel=0.011)
    assert figures["latency_p50_ms"]["note"] == f"all {len(rows):,} were backfilled"
    assert figures["backfilled_share"]["value"] == 1
    both = Member()
    both.take("predictions", 0, late)
    both.take("predictions", 1, told.slice(0, 10))
    both.restart()
    both.publish()
    figures = both.card(0)["figures"]
    assert figures["latency_p99_ms"]["value"] == pytest.approx(20, rel=0.011)
    assert figures["latency_p99_ms"]["note"] == f"without {len(rows):,} that were backfilled"
    assert figures["backfill_latency_p50_ms"]["value"] == pytest.approx(60_000, rel=0.011)


def test_windows_are_kept_as_the_pipeline_file_says() -> None:
    """Windows of a year are several on the cards; what is older than is to be kept is left out and counted."""
    length = 365 * DAY
    kind = GroupedTallies(8_192, 100)
    aggregate = ModelAggregate(kind, 9 * length, length)
    payload = pack({WHOLE: Tally(counted(predictions=100))})

    def part(start: int) -> pa.RecordBatch:
        row = {
            "window_start": start, "window_end": start + length, "model": {"name": "m", "version": "1", "digest": "d"},
            "arm": "champion", "source": "predictions", "source_partition": 0, "generation": 0, "next_offset": 1,
            "payload": payload,
        }  # fmt: skip  # one line's worth each
        return pa.RecordBatch.from_pylist([row], schema=schema(PARTS))

    assert [aggregate.fold(part(year * length)) for year in (0, 1, 9)] == [0, 0, 0]
    (windows,) = aggregate.windows.values()
    assert sorted(windows) == [0, length, 9 * length]
    assert aggregate.fold(part(20 * length)) == 0
    assert sorted(windows) == [20 * length]
    assert aggregate.fold(part(2 * length)) == 1
    everything = ModelAggregate(kind, apart=length)
    assert [everything.fold(part(year * length)) for year in (20, 0)] == [0, 0]
    assert len(next(iter(everything.windows.values()))) == 2


@pytest.mark.slow
@pytest.mark.parametrize("ahead", [3 * DAY, 500 * DAY, 100 * 365 * DAY])
def test_events_dated_ahead_make_no_card_be_forgotten(ahead: int) -> None:
    """A few events far ahead of all others have windows of their own; all other windows have the cards that they have
    without them, precision among the entities of a day included, and memory is given up as before.
    """
    plain, dated = Member(), Member()
    made = world(6_000, days=20)
    for member in (plain, dated):
        for day in range(20):
            rows = np.flatnonzero((made.times - START) // DAY == day)
            if member is dated and day % 5 == 2:
                times = made.times.copy()
                times[rows[5]] = times.max() + ahead + day * DAY
                moved = World(times, *(getattr(made, name) for name in World.__slots__[1:]))
                for source, told in (("predictions", predictions), ("outcomes", None)):
                    one = rows[5:6]
                    sent = predictions(moved, one) if told else outcomes(moved, one, made.label[one])
                    member.take(source, 0, sent)
            member.take("predictions", 0, predictions(made, rows))
            member.take("outcomes", 0, outcomes(made, rows, made.label[rows]))
            member.publish()
        member.restart()
        member.publish()
    for day in range(20):
        found, wanted = (member.card(day)["figures"] for member in (dated, plain))
        assert found == wanted, day
        assert "entity_precision_at_100_per_day" in found
    held = [len(member.made.windows[slot(0, 0)]) for member in (plain, dated)]
    assert held[1] <= held[0] + 4, "windows of those dated ahead, and no others"
    told = dated.registry.get_sample_value(
        "headrace_scorecard", {"model": "m", "version": "1", "arm": "champion", "figure": "labelled_share"}
    )
    assert told == plain.card(19)["figures"]["labelled_share"]["value"]
    assert dated.registry.get_sample_value("headrace_scorecard_late_parts_total") == 0


def test_many_events_are_no_stray_ones() -> None:
    """Once as many rows say so as a window needs, time has come, however far it went."""
    windows = {START + day * DAY: 1_000 for day in range(5)}
    assert reached(windows, DAY) == START + 4 * DAY
    windows[START + 900 * DAY] = 7
    assert reached(windows, DAY) == START + 4 * DAY
    windows[START + 901 * DAY] = 3
    assert reached(windows, DAY) == START + 901 * DAY
    assert reached({START: 7}, DAY) is None


@pytest.mark.parametrize("outcomes", [0, 100], ids=["open", "complete"])
def test_cards_one_at_a_time_cost_no_more_than_all_at_once(monkeypatch: pytest.MonkeyPatch, outcomes: int) -> None:
    """A slow machine makes few cards a slice: what earlier windows tell is not unpacked anew for each slice."""
    count, unpacked = 60, 0
    payload = pack({WHOLE: Tally(counted(predictions=100, outcomes=outcomes))})
    aggregate = ModelAggregate(GroupedTallies(8_192, 100), apart=DAY)
    maker = Maker(pipeline(), 8_192, lambda who: NoShift("nobody asks"))
    rows = [
        {
            "window_start": START + day * DAY, "window_end": START + (day + 1) * DAY, "source": "predictions",
            "model": {"name": "m", "version": "1", "digest": "d"}, "arm": "champion", "source_partition": 0,
            "generation": 0, "next_offset": 1, "payload": payload,
        }
        for day in range(count)
    ]  # fmt: skip  # one line's worth each
    aggregate.fold(pa.RecordBatch.from_pylist(rows, schema=schema(PARTS)))

    def counting(data: bytes) -> dict[Group, Tally]:
        nonlocal unpacked
        unpacked += 1
        return unpack(data)

    monkeypatch.setattr("headrace.domain.scorecards.grouped_tallies.unpack", counting)
    made = 0
    while (found := next(maker.cards(aggregate), None)) is not None:
        made += 1
        assert found[1] == START + (made - 1) * DAY
    assert (made, unpacked) == (count, count)


def test_a_member_is_unfinished_until_its_cards_are_told() -> None:
    """What was folded and is in no part, or in a part and on no card, is work left: the member is not idle."""
    member = Member()
    assert not member.made.tick(0.0, {}).unfinished
    feed(member, world(500), 1)
    assert member.made.tick(0.5, {}).unfinished
    member.publish()
    assert not member.made.tick(member.now, {}).unfinished
