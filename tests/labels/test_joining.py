"""The join against the same said slowly: whatever comes in whatever order, however it is cut."""

from __future__ import annotations

import random
from collections import defaultdict
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from headrace.columnar.structs import Bytes
from headrace.streaming.records.batch import slot
from services.labels.join.arena import tag_of
from services.labels.join.layout import LEAST_TIME, UNSEEN
from services.labels.service import Labelling
from tests.labels.cases import COUNTS, EXCHANGE, EXPIRES, MATURES, Case, pipeline
from tests.labels.slowly import Slow, plain

PLACE = slot(EXCHANGE, 0)
DELAYS = (3, 5, 50, 120, 390, 400, 401, 700)
WHO = ("bank", "police", "anyone", "bystander")
MODELS = ("m@1/champion", "m@2/canary", "s@1/shadow", "m@1/shadow")


def records(case: Case, draw: random.Random, count: int, events: int = 40, begin: int = 1_000) -> list[dict[str, Any]]:
    """Records of all sources that tell of a few events, in any order, many things twice."""
    times = {f"e{number}": begin + draw.randrange(600) for number in range(events)}
    progress: dict[tuple[str, int], int] = defaultdict(lambda: UNSEEN)
    found = []
    for step in range(count):
        source = draw.choice([*COUNTS, "labels", "predictions"])
        place = source, draw.randrange(COUNTS[source])
        clock = 1_000 + step
        names = draw.choices(sorted(times), k=draw.randrange(5))
        if draw.random() < 0.1:
            found.append(case.record(*place, progress[place], clock, idle=True))
            continue
        told: dict[str, Any] = {}
        seen = [UNSEEN]
        if source == "labels":
            labels = [
                (name, draw.choice([0.0, 1.0, 1.0, -0.0]), times[name] + draw.choice(DELAYS), draw.choice(WHO))
                for name in names
            ]  # fmt: skip  # one label
            told, seen = {"labels": labels}, [time for _, _, time, _ in labels]
        elif source == "events":
            told = {"events": [(name, times[name], draw.choice(["t1", "t2", None])) for name in names]}
            seen = [times[name] for name in names]
        else:
            told = {"predictions": [case.prediction(name, times[name], draw.choice(MODELS)) for name in names]}
            seen = [times[name] for name in names]
        progress[place] = max([progress[place], *seen]) or -1
        if draw.random() < 0.05:  # for a moment it is taken for further than it is
            ahead = draw.choice([EXPIRES // 2, EXPIRES + 700, 10 * EXPIRES])
            found.append(case.record(*place, progress[place] + ahead, clock))
        found.append(case.record(*place, progress[place], clock, **told))
    return found


def run(
    case: Case, told: list[dict[str, Any]], cuts: list[int], restarts: bool = False
) -> tuple[Labelling, list[dict[str, Any]], list[dict[str, Any]]]:
    """The records in batches; with restarts, each batch by a fresh member that begins with the former's snapshot."""
    service = case.service()
    outcomes, updates = [], []
    for start, stop in zip([0, *cuts], [*cuts, len(told)], strict=True):
        if restarts:
            snapshot = service.snapshot(PLACE)
            service = case.service()
            service.restore(PLACE, snapshot)
        if start == stop:
            continue
        for emit in service.process(case.batch(told[start:stop], start), 0.0).emits:
            if emit.topic == "outcomes":
                outcomes += numbered(emit.columns).to_pylist()
            else:
                updates += numbered(emit.columns).to_pylist()
    return service, outcomes, updates


def numbered(columns: pa.RecordBatch) -> pa.RecordBatch:
    """Times as numbers."""
    return pa.RecordBatch.from_arrays(
        [c.cast(pa.int64()) if pa.types.is_timestamp(c.type) else c for c in columns.columns], columns.schema.names
    )


def sums(updates: list[dict[str, Any]]) -> dict[tuple[str, int], dict[int, list[float]]]:
    """By terminal and event time: moment to changes told."""
    found: dict[tuple[str, int], dict[int, list[float]]] = defaultdict(lambda: defaultdict(lambda: [0.0, 0.0]))
    for row in updates:
        columns = {part["name"]: part["values"] for part in row["values"]}
        rows = zip(row["keys"], row["times"], row["known"], columns["labelled"], columns["label"], strict=True)
        for who, time, known, labelled, label in rows:
            change = found[who, time][known]
            change[0] += labelled
            change[1] += label
    return found


@pytest.mark.slow
@pytest.mark.parametrize("begin", [1_000, -300, -1_000_000_000_000, LEAST_TIME + 1])
@pytest.mark.parametrize("seed", range(12))
def test_oracle(seed: int, begin: int) -> None:
    """Outcomes, their revisions and what views are told are those of the slow join, however batches are cut, before
    1970 and after.
    """
    draw = random.Random(seed)
    case = Case(pipeline(unlabelled=draw.choice([0.0, None, 2.5])))
    told = records(case, draw, 150, begin=begin)
    assert case.pipeline.labels is not None
    slow = Slow(case.pipeline.labels, COUNTS)
    for record in told:
        slow.fold(record)
    cuts = sorted(draw.sample(range(len(told)), draw.randrange(10)))
    _, outcomes, updates = run(case, told, cuts, restarts=seed % 2 == 0)
    # Repeats stand apart from outcomes: their order among these is that of batches.
    by_id: dict[tuple[str, bool], list[Any]] = defaultdict(list)
    wanted: dict[tuple[str, bool], list[Any]] = defaultdict(list)
    for row in plain(outcomes):
        by_id[row[0], row[1] < 0].append(row)
    for row in slow.outcomes:
        wanted[row[0], row[1] < 0].append(row)
    assert by_id == wanted
    assert wanted
    for row in outcomes:
        time = row["event_time"]
        assert row["event"] == case.prediction(row["event_id"], time)["event"]
        assert row["customer"] == case.prediction(row["event_id"], time)["customer"]
        assert row["label_delay"] == (None if row["label_time"] is None else row["label_time"] - time)
        assert f"{row['model']['name']}@{row['model']['version']}/{row['arm']}" == row["prediction_id"].split("/", 1)[1]
    assert_told(slow, updates)


def assert_told(slow: Slow, updates: list[dict[str, Any]]) -> None:
    """At every moment the changes told so far add up to the labels known."""
    told = sums(updates)
    moments = sorted({known for changes in told.values() for known in changes} | {0})
    wanted: dict[tuple[str, int], list[Any]] = defaultdict(list)
    for event in slow.events.values():
        if event.terminal is not None and event.time is not None:
            wanted[event.terminal, event.time].append(event)
    assert set(told) <= set(wanted)
    for place, events in wanted.items():
        for moment in moments:
            changes = [change for known, change in told[place].items() if known <= moment]
            known = [label for event in events if (label := slow.known(event, moment)) is not None]
            assert sum(change[0] for change in changes) == len(known)
            assert sum(change[1] for change in changes) == pytest.approx(sum(known))


def test_replay_is_the_same_fold() -> None:
    """A member that replays records stands where one stands that answered them."""
    draw = random.Random(5)
    case = Case(pipeline())
    told = records(case, draw, 80)
    first, _, _ = run(case, told, [20, 50])
    second = case.service()
    second.replay(case.batch(told))
    assert second.snapshot(PLACE) == first.snapshot(PLACE)


@pytest.mark.parametrize("seed", range(3))
def test_order_does_not_matter_in_the_end(seed: int) -> None:
    """The newest revision of each prediction says the same, whatever the order in which records came."""
    draw = random.Random(100 + seed)
    case = Case(pipeline())
    told = records(case, draw, 120)
    end = [case.record(name, partition, 9_000, 9_000) for name in COUNTS for partition in range(COUNTS[name])]
    found = []
    for _ in range(2):
        _, outcomes, _ = run(case, [*told, *end], [])
        newest = {row["prediction_id"]: row for row in sorted(outcomes, key=lambda row: row["revision"])}
        found.append({name: [*plain([row])[0][2:8]] for name, row in newest.items()})
        draw.shuffle(told)
    reports = [{name: row[4:] for name, row in part.items()} for part in found]
    assert {name: row[:4] for name, row in found[0].items()} == {name: row[:4] for name, row in found[1].items()}
    assert {name: row[1] for name, row in reports[0].items()} == {name: row[1] for name, row in reports[1].items()}


@pytest.mark.parametrize("begin", [-1, -50, -300, -1_000, -1_000_000_000_000])
def test_what_happened_before_1970_matures(begin: int) -> None:
    """Outcomes of events before 1970 are those of the same events later, moved: none waits for ever."""
    found = []
    for start in (10_000, begin):
        draw = random.Random(3)
        case = Case(pipeline())
        _, outcomes, updates = run(case, records(case, draw, 200, begin=start), [50])
        rows = [(row["prediction_id"], row["revision"], row["state"], row["event_time"] - start) for row in outcomes]
        found.append((rows, len(updates)))
    assert found[0] == found[1]
    assert {state for *_, state, _ in found[0][0]} >= {"presumed", "labelled"}


def test_presumed_then_corrected() -> None:
    """Nobody said anything for `matures_after`: presumed; whoever says something then corrects it, once."""
    case = Case(pipeline())
    awake = [case.record("labels", p, 1_000 + MATURES, 1) for p in (0, 1)]
    awake += [case.record("predictions", p, 1_000 + MATURES, 1) for p in (0, 1)]
    told = [
        case.record("predictions", 0, 1_000, 1, [case.prediction("a", 1_000)]),
        *awake[:-1],
        case.record("predictions", 1, 1_000 + MATURES - 1, 1),
    ]
    _, outcomes, _ = run(case, told, [])
    assert outcomes == []
    told += [awake[-1], case.record("labels", 0, 1_200, 2, labels=[("a", 1.0, 1_200, "bank")] * 2)]
    _, outcomes, _ = run(case, told, [3])
    assert [row[1:5] for row in plain(outcomes)] == [(0, "presumed", 0.0, None), (1, "labelled", 1.0, 1_200)]
    assert plain(outcomes)[1][8:10] == ("presumed", 0.0)


def test_a_silent_source_is_waited_for() -> None:
    """Nothing matures before all partitions of labels and predictions were heard of; idle ones hold nothing back once
    they were seen at their end long enough after the others' records were sent on.
    """
    case = Case(pipeline())
    told = [case.record("predictions", 0, 1_000, 9_000, [case.prediction("a", 1_000)])]
    told += [case.record("labels", 0, 5_000, 9_000), case.record("predictions", 1, 5_000, 9_000)]
    told += [case.record("predictions", 0, 5_000, 9_000)]
    assert run(case, told, [])[1] == []
    for clock in (9_010, 9_021):  # what is written up to 9_020 might have been read after the second
        told.append(case.record("labels", 1, 0, clock, idle=True))
        assert run(case, told, [])[1] == []
    told.append(case.record("labels", 1, 0, 9_026, idle=True))
    assert [row[2] for row in plain(run(case, told, [])[1])] == ["presumed"]


def test_when_all_is_quiet_only_what_data_has_passed_matures() -> None:
    """With every source idle, time stands where the newest record left it, not where the wall clock is."""
    case = Case(pipeline())
    newest = 1_000 + MATURES
    told = [case.record("predictions", 0, newest, 1, [case.prediction("old", 1_000), case.prediction("new", newest)])]
    places = [(topic, part) for topic in ("labels", "predictions") for part in (0, 1)]
    told += [case.record(*place, 0, clock, idle=True) for clock in (9_000_000, 9_005_000) for place in places]
    _, outcomes, _ = run(case, told, [])
    assert [(row["event_id"], row["state"]) for row in outcomes] == [("old", "presumed")]


def test_a_late_label_is_counted_and_ignored() -> None:
    """A label known later than `expires_after` after its event changes nothing, whether it came before or after it."""
    case = Case(pipeline())
    late = case.record("labels", 0, 2_000, 2, labels=[("a", 1.0, 1_000 + EXPIRES + 1, "bank")])
    prediction = case.record("predictions", 0, 1_000, 1, [case.prediction("a", 1_000)])
    for told in ([late, prediction], [prediction, late]):
        service, outcomes, _ = run(case, told, [])
        assert outcomes == []
        assert service._joins[PLACE].fates["late"] == 1
    told = [prediction, case.record("labels", 0, 2_000, 2, labels=[("a", 1.0, 1_000 + EXPIRES, "bank")])]
    assert len(run(case, told, [])[1]) == 1


def test_a_day_at_once_is_read_partition_by_partition() -> None:
    """The first partition that is read of what was published at once moves no time on, be it of labels or of
    predictions, before the others, which were idle, had their turn; whatever is idle for good stops nothing.
    """
    case = Case(pipeline())
    places = [(topic, part) for topic in ("labels", "predictions") for part in (0, 1)]
    told = [case.record("predictions", 0, 1_000, 1, [case.prediction(name, 1_000) for name in ("a", "b", "c")])]
    told += [case.record(*place, 1_000, clock, idle=True) for clock in (10, 15, 20) for place in places]
    told += [case.record("predictions", 1, 9_000, 500, [case.prediction("later", 9_000)])]
    told += [case.record("labels", 0, 1_000 + MATURES, 501, labels=[("a", 1.0, 1_000 + MATURES, "bank")])]
    told += [case.record("predictions", 0, 9_000, 502)]
    seen_before = [case.record("labels", 1, 1_000, 495, idle=True)]
    told += seen_before
    service, outcomes, _ = run(case, told, [])
    assert [(row["event_id"], row["state"]) for row in outcomes] == [("a", "labelled")]
    assert service._joins[PLACE].get("as_of") == 1_000
    told += [case.record("labels", 1, 1_000 + MATURES - 1, 503, labels=[("b", 1.0, 1_000 + MATURES - 1, "bank")])]
    told += [case.record("labels", 1, 1_000 + MATURES, 504)]
    _, outcomes, _ = run(case, told, [9])
    assert [(row["event_id"], row["state"]) for row in outcomes] == [
        ("a", "labelled"), ("b", "labelled"), ("c", "presumed"),
    ]  # fmt: skip  # one line
    resting = [case.record("labels", 1, 1_000, clock, idle=True) for clock in (505, 511)]
    first = told[: told.index(seen_before[0])]
    assert [row["event_id"] for row in run(case, first + resting, [])[1]] == ["a"]
    still = [*first, *resting, case.record("labels", 1, 1_000, 516, idle=True)]
    assert [row["event_id"] for row in run(case, still, [3])[1]] == ["a", "b", "c"]


def test_a_stream_that_never_rests_goes_on_beside_a_partition_that_has_nothing() -> None:
    """Time follows at the distance in which idle sources are told, however many records come in between."""
    case = Case(pipeline())
    told = [case.record("predictions", 1, 0, 1, idle=True), case.record("labels", 1, 0, 1, idle=True)]
    for clock in range(2, 200):
        told += [case.record(source, 0, 1_000 + clock * 10, clock) for source in ("predictions", "labels")]
        if clock % 5 == 0:
            told += [case.record(source, 1, 0, clock, idle=True) for source in ("predictions", "labels")]
    service, _, _ = run(case, told, [100, 101])
    join = service._joins[PLACE]
    assert 1_000 + (199 - 20) * 10 <= join.get("maturity") < 1_000 + 199 * 10
    assert join.get("as_of") == join.get("maturity")


def test_whoever_waits_for_sources_at_their_ends_is_not_done() -> None:
    """A prediction waits for its label: until time stands where the newest record leads, however long that takes to be
    proven. Then nothing is left to do, though the prediction is not mature; nor was there before anything came.
    """
    case = Case(pipeline())
    told = [
        case.record("predictions", 0, 1_000, 1, [case.prediction("a", 1_000)]),
        case.record("labels", 0, 1_000 + MATURES - 1, 2),
        *[case.record(source, 1, 0, 2, idle=True) for source in ("predictions", "labels")],
    ]
    ends = [
        case.record(source, number, progress, clock, idle=True)
        for clock in (11, 16, 21)
        for source, number, progress in (
            ("predictions", 0, 1_000), ("predictions", 1, 0), ("labels", 0, 1_000 + MATURES - 1), ("labels", 1, 0),
        )
    ]  # fmt: skip  # one line for what belongs together
    left = [case.service().tick(0.0, {}).unfinished]
    for stop in range(len(told) + len(ends) + 1):
        service, outcomes, _ = run(case, [*told, *ends][:stop], [])
        left.append(service.tick(0.0, {}).unfinished)
        assert not outcomes
    proven = len(told) + 2 * 4  # seen at 11 and at 16, after what came at 2
    assert left == [False, False, *[True] * (proven - 1), *[False] * (len(ends) - 7)]


def filler(case: Case, start: int, count: int, clock: int) -> list[dict[str, Any]]:
    """Enough predictions of a time to fill more than a block."""
    rows = [case.prediction(f"filler {start} {number}", start) for number in range(count)]
    return [case.record("predictions", 0, start, clock, rows[part : part + 500]) for part in range(0, count, 500)]


def test_old_blocks_are_given_up_when_labels_have_passed() -> None:
    """Memory goes back once labels are further than any that may count; until then a label finds its prediction."""
    case = Case(pipeline())
    first = [case.record("predictions", 0, 1_000, 1, [case.prediction("a", 1_000)]), *filler(case, 1_000, 8_000, 1)]
    label = ("a", 1.0, 1_350, "bank")
    passing = [
        case.record("labels", 0, 1_000 + EXPIRES - 1, 2),
        case.record("predictions", 0, 3_000, 2),
        *[case.record(source, 1, 0, clock, idle=True) for clock in (3, 4) for source in ("predictions", "labels")],
    ]
    told = case.record("labels", 0, 1_000 + EXPIRES - 1, 3, labels=[label])
    kept, outcomes, _ = run(case, [*first, *passing, told], [])
    assert [row["state"] for row in outcomes if row["event_id"] == "a"] == ["presumed", "labelled"]
    blocks = len(kept._joins[PLACE].blocks())
    assert blocks > 1
    idle = [case.record("predictions", 1, 0, 5_000, idle=True), case.record("labels", 1, 0, 5_000, idle=True)]
    gone, outcomes, _ = run(case, [*first, *passing, *idle, case.record("labels", 0, 1_000 + EXPIRES, 5_001)], [4])
    assert {row["state"] for row in outcomes} == {"presumed"}
    assert len(gone._joins[PLACE].blocks()) == 1
    assert len(gone._joins[PLACE]) < 8_000


def test_the_clock_ends_what_data_does_not() -> None:
    """Where labels never pass, predictions go `expires_after` after they came; they mature before that."""
    case = Case(pipeline())
    told = [*filler(case, 1_000, 8_000, 10_000)]
    told += [case.record("labels", p, 900, 10_001) for p in (0, 1)]
    told += [case.record("predictions", 1, 900, 10_001)]
    kept, outcomes, _ = run(case, told, [])
    assert outcomes == []
    before = len(kept._joins[PLACE])
    after = [case.record("labels", 0, 901, 10_000 + EXPIRES) for _ in range(4)]
    gone, outcomes, _ = run(case, [*told, *after], [])
    assert len(gone._joins[PLACE]) < before
    assert len(outcomes) == 8_000


def test_a_label_of_nobody_is_an_orphan() -> None:
    """A label of an event that never came is kept, and counted when predictions have gone far beyond it."""
    case = Case(pipeline())
    told = [case.record("labels", 0, 1_000, 1, labels=[("nobody", 1.0, 1_000, "bank")])]
    told += [
        case.record("labels", 1, 9_000, 1),
        case.record("predictions", 1, 9_000, 1),
        case.record("labels", 0, 9_000, 1),
    ]
    told += filler(case, 1_050, 8_000, 1)
    kept, _, _ = run(case, told, [])
    assert kept._joins[PLACE].fates["orphaned"] == 0
    told += [case.record("predictions", 0, 1_000 + EXPIRES + 100, 2)] * 3
    gone, outcomes, _ = run(case, told, [7])
    assert gone._joins[PLACE].fates["orphaned"] == 1
    assert len({row["prediction_id"] for row in outcomes}) == len(outcomes) == 8_000


def test_many_predictions_and_reports_of_one_event() -> None:
    """What no plan and no source would do is bounded, and the newest label still holds."""
    case = Case(pipeline(expires=100_000))
    rows = [case.prediction("a", 1_000, f"m@{number}/shadow") for number in range(1_100)]
    labels = [("a", float(number % 3), 1_000 + number, f"s{number}") for number in range(1_500)]
    told = [case.record("shadow-predictions", 0, 1_000, 1, rows)]
    told += [case.record("labels", 0, 3_000, 1, labels=[*labels[1_490:], *labels[:20]])]
    service, outcomes, _ = run(case, told, [])
    newest = {row["prediction_id"]: row for row in sorted(outcomes, key=lambda row: row["revision"])}
    assert len(newest) == 1_000
    assert {row["label_time"] for row in newest.values()} == {2_499}
    few = [case.record("labels", 0, 3_000, 1, labels=labels), case.record("shadow-predictions", 0, 1_000, 1, rows[:1])]
    _, outcomes, _ = run(case, few, [])
    assert [(row["label_time"], row["reports"]) for row in outcomes] == [(2_499, 1_000)]
    assert service._joins[PLACE].get("predictions") == 1_000


def test_events_of_one_hash_are_not_one() -> None:
    """Two events whose ids have the same hash keep their own labels, before and after the other one is forgotten."""
    ids = [f"e{number}" for number in range(200_000)]
    seen: dict[int, str] = {}
    pairs = []
    for name in ids:
        letters = np.frombuffer(name.encode(), np.uint8)
        other = seen.setdefault(tag_of(Bytes(letters.ctypes.data, len(letters))), name)
        if other != name:
            pairs.append((other, name))
    assert pairs
    case = Case(pipeline())
    for one, two in pairs:
        told = [
            case.record("labels", 0, 1_010, 1, labels=[(one, 1.0, 1_010, "bank")]),
            case.record("predictions", 0, 1_000, 1, [case.prediction(two, 1_000), case.prediction(one, 1_000)]),
            case.record("labels", 0, 1_020, 1, labels=[(two, 0.0, 1_020, "bank")]),
        ]
        _, outcomes, _ = run(case, told, [])
        assert {row["event_id"]: row["label_time"] for row in outcomes} == {one: 1_010, two: 1_020}
