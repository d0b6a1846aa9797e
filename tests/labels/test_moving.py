"""Joins moved to another number of partitions, against one that was never divided."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from headrace.columnar import packing
from headrace.columnar.partitioner import partitions_of
from headrace.domain.records.exchange import KINDS
from headrace.errors import ContractError
from headrace.streaming.records.batch import slot
from headrace.streaming.watermarks.marks import Mark
from services.labels.exchange_redistribution import least, marked, marks_anew, marks_of, told_anew
from services.labels.join.question import question_of
from services.labels.redistribution import least_marks, moved_joins
from services.labels.service import Labelling
from tests.labels.cases import COUNTS, EXCHANGE, Case, pipeline
from tests.labels.slowly import Slow, plain
from tests.labels.test_joining import DELAYS, MODELS, WHO, assert_told, numbered

FORMER = 2


def records(case: Case, draw: random.Random, count: int) -> list[dict[str, Any]]:
    """Records of all sources as time goes on: at any of them some predictions wait, and some labels are early."""
    times = {f"e{number}": 1_000 + 10 * number for number in range(count // 2)}
    ids, seen = list(times), dict.fromkeys([(name, part) for name in COUNTS for part in range(COUNTS[name])], 1)
    found = []
    for step in range(count):
        source = draw.choice([*COUNTS, "labels", "predictions", "predictions"])
        place = source, draw.randrange(COUNTS[source])
        middle = len(ids) * step // count
        names = draw.choices(ids[max(middle - 15, 0) : middle + 5], k=draw.randrange(1, 6))
        told: dict[str, Any] = {}
        if source == "labels":
            told["labels"] = [
                (name, draw.choice([0.0, 1.0, 1.0]), times[name] + draw.choice(DELAYS), draw.choice(WHO))
                for name in names
            ]  # fmt: skip  # one label
        elif source == "events":
            told["events"] = [(name, times[name], draw.choice(["t1", "t2", None])) for name in names]
        else:
            told["predictions"] = [case.prediction(name, times[name], draw.choice(MODELS)) for name in names]
        seen[place] = max(seen[place], *(times[name] for name in names))
        idle = draw.random() < 0.1
        found.append(case.record(*place, seen[place], 1_000 + step, idle=idle, **({} if idle else told)))
    return found


def split(case: Case, told: Sequence[Mapping[str, Any]], partitions: int) -> list[list[dict[str, Any]]]:
    """Records as services write them: each to every partition, with what belongs there and its own mark."""
    columns = pa.RecordBatch.from_pylist(list(told), schema=case.exchange)
    found: list[list[dict[str, Any]]] = [[] for _ in range(partitions)]
    for row in range(len(told)):
        one = columns.slice(row, 1)
        for part, homes in told_anew(one, partitions, marked(one)):
            for home, record in zip(homes.tolist(), numbered(part).to_pylist(), strict=True):
                found[home].append(record)
    return found


class Members:
    """A service with all partitions, and what it told."""

    def __init__(self, case: Case, service: Labelling, offsets: Sequence[int]) -> None:
        self.case, self.service, self.offsets = case, service, list(offsets)
        self.outcomes: list[dict[str, Any]] = []
        self.updates: list[dict[str, Any]] = []

    def fold(self, partition: int, told: Sequence[Mapping[str, Any]]) -> None:
        """Fold records of a partition."""
        if told:
            batch = self.case.batch(told, self.offsets[partition], partition)
            self.offsets[partition] += len(told)
            for emit in self.service.process(batch, 0.0).emits:
                rows = numbered(emit.columns).to_pylist()
                if emit.topic == "outcomes":
                    self.outcomes += rows
                else:
                    self.updates += rows

    def states(self) -> list[dict[str, packing.Column]]:
        """The state of each partition."""
        return [packing.unpack(self.service.snapshot(slot(EXCHANGE, number))) for number in range(len(self.offsets))]


def moved(case: Case, members: Members, partitions: int) -> Members:
    """Members with the same state in so many partitions."""
    rule = case.pipeline.labels
    assert rule is not None
    service = case.service()
    question = question_of(rule, [COUNTS[kind] for kind in KINDS], case.pipeline.model.classes)
    for number, snapshot in enumerate(moved_joins(question, members.states(), partitions)):
        service.restore(slot(EXCHANGE, number), snapshot)
    made = Members(case, service, [max(members.offsets)] * partitions)
    made.outcomes, made.updates = members.outcomes, members.updates
    return made


def by_prediction(rows: Sequence[tuple[Any, ...]]) -> dict[tuple[str, bool], list[tuple[Any, ...]]]:
    """What was told of each prediction, in order, repeats apart."""
    found: dict[tuple[str, bool], list[tuple[Any, ...]]] = defaultdict(list)
    for row in rows:
        found[row[0], row[1] < 0].append(row)
    return dict(found)


@pytest.mark.slow
@pytest.mark.parametrize("partitions", [1, 2, 5])
@pytest.mark.parametrize("seed", range(6))
def test_state_that_moved_answers_as_if_it_had_always_lain_there(seed: int, partitions: int) -> None:
    """Predictions that wait, early labels, corrections, repeats, views: all outcomes are those of one single join."""
    draw = random.Random(seed)
    case = Case(pipeline(unlabelled=draw.choice([0.0, None])))
    told = records(case, draw, 200)
    assert case.pipeline.labels is not None
    slow = Slow(case.pipeline.labels, COUNTS)
    for record in told:
        slow.fold(record)
    cut = draw.randrange(60, 140)
    members = Members(case, case.service(), [0] * FORMER)
    for number, part in enumerate(split(case, told[:cut], FORMER)):
        members.fold(number, part)
    open_before = sum(len(state["heap"]) + len(state["queue"]) for state in members.states())
    members = moved(case, members, partitions)
    for number, part in enumerate(split(case, told[cut:], partitions)):
        members.fold(number, part)
    assert open_before
    assert by_prediction(plain(members.outcomes)) == by_prediction(slow.outcomes)
    assert_told(slow, members.updates)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_records_that_nobody_folded_are_told_anew(seed: int) -> None:
    """Partitions that stood at different places, and the rest told anew: in the end each prediction has the outcome
    that it would have had, each revision once, and views know the same labels.
    """
    draw = random.Random(seed)
    case = Case(pipeline())
    told = records(case, draw, 200)
    end = [case.record(name, partition, 9_000, 9_000) for name in COUNTS for partition in range(COUNTS[name])]
    assert case.pipeline.labels is not None
    slow = Slow(case.pipeline.labels, COUNTS)
    for record in [*told, *end]:
        slow.fold(record)
    members = Members(case, case.service(), [0] * FORMER)
    cuts, unread = [draw.randrange(20, 100) for _ in range(FORMER)], []
    for number, part in enumerate(split(case, told[:140], FORMER)):
        members.fold(number, part[: cuts[number]])
        unread.append(part[cuts[number] :])
    sources = [state["sources"].reshape(-1, 3) for state in members.states()]
    known = marks_of(least_marks(sources), COUNTS)
    members = moved(case, members, 5)
    last: dict[Any, list[Mark]] = defaultdict(list)
    for number, part in enumerate(unread):
        columns = pa.RecordBatch.from_pylist(part, schema=case.exchange)
        for again, homes in told_anew(columns, 5, known):
            rows = numbered(again).to_pylist()
            for home in range(5):
                members.fold(home, [row for row, at in zip(rows, homes.tolist(), strict=True) if at == home])
        for source, mark in (marks_of(sources[number], COUNTS) | marked(columns)).items():
            last[source].append(mark)
    marks, homes = marks_anew(case.exchange, {source: least(found) for source, found in last.items()}, 5)
    rows = numbered(marks).to_pylist()
    rest = split(case, [*told[140:], *end], 5)
    for home in range(5):
        members.fold(home, [row for row, at in zip(rows, homes.tolist(), strict=True) if at == home])
        members.fold(home, rest[home])

    def newest(rows: Sequence[tuple[Any, ...]]) -> dict[str, tuple[Any, ...]]:
        """State, label, label time and source of the last revision of each prediction."""
        return {row[0]: row[2:6] for row in sorted(rows, key=lambda row: row[1]) if row[1] >= 0}

    got = plain(members.outcomes)
    revisions = [row[:2] for row in got if row[1] >= 0]
    assert len(revisions) == len(set(revisions))
    assert newest(got) == newest(slow.outcomes)
    assert_told(slow, members.updates)


def test_what_is_told_anew_lies_where_it_belongs() -> None:
    """Every item once, in the partition of its event, whatever views a record tells of."""
    case = Case(pipeline())
    names = [f"e{number}" for number in range(30)]
    told = [case.record("events", 0, 50, 60, events=[(name, 5, f"t{name}") for name in names])]
    told += [case.record("labels", 1, 0, 70, labels=[(name, 1.0, 9, "bank") for name in names])]
    other = case.record("events", 1, 50, 60, events=[(name, 6, None) for name in names])
    other["events"]["entities"].insert(0, {"view": "shop", "keys": [f"s{name}" for name in names]})
    other["events"]["entities"].append({"view": "gone", "keys": ["one alone"]})
    columns = pa.RecordBatch.from_pylist([*told, other], schema=case.exchange)
    ((found, homes),) = told_anew(columns, 3, {})
    rows = found.to_pylist()
    labels = {label["event_id"]: home for row, home in zip(rows, homes, strict=True) for label in row["labels"]}
    wanted = dict(zip(names, partitions_of(pa.array(names), 3).tolist(), strict=True))
    assert labels == wanted
    entities: dict[str, dict[str, Any]] = {"terminal": {}, "shop": {}}
    for row, home in zip(rows, homes.tolist(), strict=True):
        events = row["events"]
        assert all(wanted[name] == home for name in events["event_ids"])
        for part in events["entities"]:
            keyed = zip(events["event_ids"], part["keys"], strict=True)
            entities[part["view"]] |= {(row["source_partition"], name): key for name, key in keyed}
    assert entities["shop"] == {(1, name): f"s{name}" for name in names}
    assert entities["terminal"] == {(0, n): f"t{n}" for n in names} | {(1, n): None for n in names}


def test_an_event_in_two_partitions_is_refused() -> None:
    """Nobody could say any more what was answered."""
    case = Case(pipeline())
    members = Members(case, case.service(), [0, 0])
    record = case.record("predictions", 0, 1_000, 1, [case.prediction("a", 1_000)])
    members.fold(0, [record])
    members.fold(1, [record])
    with pytest.raises(ContractError, match="in two partitions"):
        moved(case, members, 3)


@pytest.mark.slow
def test_a_state_of_many_blocks_moves() -> None:
    """More events than fit into one block, with many reports each, some of which are early."""
    case = Case(pipeline(matures=10**9, expires=10**10))
    count = 40_000
    told = [
        case.record(
            "predictions",
            0,
            1_000,
            1,
            [case.prediction(f"e{number}", 1_000 + number % 50) for number in range(first, first + 2_000)],
        )
        for first in range(0, count, 2_000)
    ]
    told += [
        case.record(
            "labels", 0, 1_000, 2, labels=[(f"e{n}", 1.0, 1_000 + n % 50 + k, who) for n in range(0, count, 20)]
        )
        for k, who in enumerate(("bank", "police", "anyone"))
    ]
    early = [(f"x{number}", 1.0, 1_100, "bank") for number in range(1_000)]
    told.append(case.record("labels", 1, 1_000, 2, labels=early))
    members = Members(case, case.service(), [0, 0])
    for number, part in enumerate(split(case, told, 2)):
        members.fold(number, part)
    before = len(members.outcomes)
    members = moved(case, members, 5)
    joins = [members.service._join(slot(EXCHANGE, number)) for number in range(5)]
    assert sum(map(len, joins)) == count + 1_000
    assert sum(join.get("predictions") for join in joins) == count
    assert all(len(join) > count // 10 for join in joins)
    assert sum(join.get("matched") for join in joins) == count // 20
    late = [case.record("predictions", 1, 1_000, 3, [case.prediction(f"x{number}", 1_050) for number in range(1_000)])]
    late += [case.record("labels", 0, 1_000, 3, labels=[(f"e{n}", 0.0, 2_000, "bank") for n in range(count)])]
    for number, part in enumerate(split(case, late, 5)):
        members.fold(number, part)
    found = plain(members.outcomes[before:])
    assert len(found) == len({row[:2] for row in found}) == 1_000 + count
    first = [row for row in found if row[0].startswith("x")]
    assert {row[1:4] for row in first} == {(0, "labelled", 1.0)}
    corrected = np.array([int(row[0][1:].partition("/")[0]) for row in found if row[1] > 0])
    assert (np.sort(corrected) == np.arange(0, count, 20)).sum() == len(corrected) == count // 20
