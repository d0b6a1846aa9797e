"""What evidence on a stream of outcomes costs: nanoseconds of one core a matured event and candidate."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from headrace.domain.plans.plans import CHAMPION
from headrace.domain.records.outcome_parts import OutcomePartition, pack, unpack
from headrace.domain.release.evidence.evidence_fold import EvidenceFold
from headrace.domain.release.looks import questions, rows_of_looks
from headrace.domain.release.states import Candidate, ModelRelease, Stage
from headrace.streaming.records.batch import Batch
from loadtests.drift.figures import markdown
from loadtests.release.simulated_pairs import models

PARTITIONS, JOINS, BATCH = 12, 12, 4_096
DAY = 86_400_000
SCHEMA = pa.struct([(name, pa.string()) for name in ("name", "version", "digest")])


def batches(events: int, candidates: int, per_day: int) -> Iterator[tuple[int, Batch]]:
    """Outcomes of events in the order of their time, each answered by a champion and so many candidates, in batches of
    one partition after the other.
    """
    draw = np.random.default_rng(1)
    candidate, champion, labels = models(draw, "rare", 0.5, events)
    times = np.sort(draw.integers(0, events * DAY // per_day, events))
    source = draw.integers(0, PARTITIONS, events)
    each = 1 + candidates
    digests = pa.array([f"sha256:{number:064}" for number in range(each)])
    places = [np.flatnonzero(source == number) for number in range(PARTITIONS)]
    size = BATCH // each
    at = [0] * PARTITIONS
    for low in range(0, max(map(len, places)), size):
        for number, mine in enumerate(places):
            events_here = mine[low : low + size]
            if not len(events_here):
                continue
            count = len(events_here) * each
            ids = pa.array([f"event-{event:012}" for event in events_here]).take(
                pa.array(np.repeat(np.arange(len(events_here)), each))
            )
            model = pa.DictionaryArray.from_arrays(np.tile(np.arange(each, dtype=np.int32), len(events_here)), digests)
            score = np.column_stack([champion[events_here], *[candidate[events_here]] * candidates]).ravel()
            when = pa.array(np.repeat(times[events_here], each), pa.timestamp("ms", tz="UTC"))
            text = model.cast(pa.string())
            columns = pa.RecordBatch.from_pydict(
                {
                    "event_id": ids,
                    "event_time": when,
                    "model": pa.StructArray.from_arrays([text, text, text], fields=list(SCHEMA)),
                    "score": pa.array(score),
                    "label": pa.array(np.repeat(labels[events_here], each)),
                    "revision": pa.array(np.zeros(count, np.int32)),
                    "mature_before": when,
                }
            )
            offsets = at[number] + np.arange(count)
            at[number] += count
            here, nothing = np.full(count, number, np.int32), np.zeros(count, np.int64)
            yield number, Batch("outcomes", columns, pa.nulls(count, pa.binary()), here, offsets, nothing)


def release(number: int) -> ModelRelease:
    """Of a candidate in the dark, beside a champion."""
    candidate, champion = (Candidate("m", str(each), f"sha256:{each:064}", "") for each in (number, 0))
    return ModelRelease(number, candidate, Stage.SHADOW, margin_share=0.05, champion=champion.arm(CHAMPION))


def costs(events: int = 400_000, candidates: int = 1, per_day: int = 100_000) -> dict[str, float]:
    """Nanoseconds of CPU time, all in: of stage one a row, of stage two an event and candidate, up to the rows that the
    machine decides on; and bytes a row.
    """
    told = list(batches(events, candidates, per_day))
    fold = EvidenceFold()
    releases = [release(number + 1) for number in range(candidates)]
    asked = {name: question for each in releases for name, question in questions(each).items()}
    for name, question in asked.items():
        fold.begin(name, question)
    partitions = [OutcomePartition(JOINS) for _ in range(PARTITIONS)]
    first = second = size = 0.0
    for number, batch in told:
        begun = time.process_time()
        payload = pack(partitions[number].advance(batch, number))
        half = time.process_time()
        part, read = unpack(payload), partitions[number]
        given = number, read.next_offset, read.progress(False), False, PARTITIONS, part.digests, part.rows
        if looks := [*fold.take(*given)]:
            for each in releases:
                rows_of_looks(each, looks, 0)
        first += half - begun
        second += time.process_time() - half
        size += len(payload)
    taken = sum(fold.standing(name).moments.events for name in asked)
    rows = events * (1 + candidates)
    return {"row": 1e9 * first / rows, "event": 1e9 * second / max(taken, 1), "bytes": size / rows}


def cost_table(events: int = 400_000) -> str:
    """At some rates, and with several candidates, of so many events each."""
    costs(min(events, 20_000))  # compiled by then
    body = []
    for candidates, per_day in ((1, 1_000_000), (1, 100_000), (1, 10_000), (4, 100_000)):
        found = costs(events, candidates, per_day)
        body.append([str(candidates), f"{per_day:,}", *(f"{found[name]:,.0f}" for name in ("row", "event", "bytes"))])
    heads = ["candidates", "events a day", "stage one, ns a row", "stage two, ns an event and candidate", "bytes a row"]
    return markdown(heads, body)


if __name__ == "__main__":
    print(cost_table())
