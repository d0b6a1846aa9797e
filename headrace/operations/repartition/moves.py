"""How the state of each service is moved: what goes where, and what becomes of records that nobody answered yet."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import merge

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace.columnar import packing
from headrace.columnar.partitioner import partitions_of
from headrace.domain.scorecards.global_aggregate import OUTCOMES, PARTS
from headrace.domain.scorecards.tumbling_windows import Windows
from headrace.errors import ContractError
from headrace.operations.repartition.move import Left, Move
from headrace.streaming.kafka.bindings import Channel
from headrace.streaming.kafka.client import Message
from headrace.streaming.kafka.client import place as place_of
from headrace.streaming.kafka.reader import Range, messages
from services.enrich.event_gate import times_of
from services.enrich.redistribution import moved_events
from services.labels.exchange_batch import KINDS
from services.labels.exchange_redistribution import Marked, Source, marked, marks_anew, marks_of, told_anew
from services.labels.join.state import question_of
from services.labels.redistribution import least_marks, moved_joins
from services.scorecards.redistribution import began, moved_parts, moved_sums
from services.views.redistribution import moved_updates

EXCHANGE = "exchange"


def move(to: Move, name: str, left: Left, grown: set[str]) -> None:
    """Move what a service left behind, if any of the topics has grown that it depends on; `name` says which."""
    own = grown & set(left.then)
    if name == "enrich" and "events" in own:
        _events(to, left)
    elif name.startswith("views.") and left.found and (own or EXCHANGE in grown):
        _updates(to, left, forget=EXCHANGE in grown)
    elif name == "labels" and EXCHANGE in own:
        _exchange(to, left)
    elif name == "scorecards" and own:
        _sums(to, left, own)
    elif not own:
        return
    to.send(left)


def _events(to: Move, left: Left) -> None:
    """Move the windows of `enrich`; records that nobody answered yet and that lie where their keys are no longer
    are written again, with all others that were not answered, behind them, in the order of their times.
    """
    (channel,) = left.wiring.inputs
    now, then = to.counts[channel.logical], left.then[channel.logical]
    commitments = left.commitments(channel)
    low, high = to.bounds(left, channel)
    states = [packing.unpack(to.state(left, channel, number, low[number])) for number in range(then)]
    at = [commitments[number].offset if number in commitments else low[number] for number in range(now)]
    unread = _unread(to, channel, at, high)
    admitted = {number: each.admitted for number, each in commitments.items()}
    if any(partition != home for home, partition, _ in unread):
        waiting = [number for number, each in commitments.items() if each.admitted > each.offset]
        if waiting:
            raise ContractError(
                f"{channel.name}{waiting} holds events that wait for views or labels, and behind them some whose "
                "keys belong elsewhere now: these cannot be moved before those. Nothing was changed. Begin a "
                "pipeline under another name, and publish again"
            )
        for home, _, message in unread:
            to.again(channel.name, home, message)
        to.written += len(unread)
        at, admitted = high, {}
    schema = channel.codec.reader.arrow
    whole = pa.types.is_integer(schema.field(to.pipeline.events.key).type)
    for number, snapshot in enumerate(moved_events(states, now, whole)):
        to.write(left, channel, number, at[number], snapshot, admitted.get(number))


def _unread(to: Move, channel: Channel, starts: Sequence[int], stops: Sequence[int]) -> list[tuple[int, int, Message]]:
    """(where it belongs, where it is, record) of all that was not answered, in the order of event times.

    Those of one partition stay in their order. A time beyond the record's own time stamp holds nobody up. By time
    stamps alone they could not be ordered: where brokers stamp records, those of one request have the same.
    """
    wanted = [Range(number, *bounds) for number, bounds in enumerate(zip(starts, stops, strict=True))]
    found = [message for part in messages(to.connection, channel.name, wanted) for message in part]
    decoded = channel.codec.decode([message.value() for message in found])
    times = np.zeros(len(found), np.int64)
    times[decoded.rows] = times_of(decoded.columns, to.pipeline.events.time)
    lies = np.array([message.partition() for message in found], np.int64)
    keys = pa.array([message.key() for message in found], pa.binary())
    homes = partitions_of(pc.fill_null(keys, b""), len(starts)).astype(np.int64)
    homes = np.where(keys.is_valid().to_numpy(zero_copy_only=False), homes, lies)
    queues: dict[int, list[tuple[int, int]]] = {}
    for row, message in enumerate(found):
        time, stamp = int(times[row]), message.timestamp()[1]
        queues.setdefault(int(lies[row]), []).append((min(time, stamp) if stamp >= 0 else time, row))
    order = [row for _, row in merge(*queues.values())]
    return [(int(homes[row]), int(lies[row]), found[row]) for row in order]


def _updates(to: Move, left: Left, forget: bool) -> None:
    """Move the windows of a view, as of the ends of its topic's partitions: what it answers is the store alone.

    `forget`: what the exchange's partitions said of how far they are is said of other events now.
    """
    (channel,) = left.wiring.inputs
    now = to.counts[channel.logical]
    then = left.then.get(channel.logical, now)
    low, high = to.bounds(left, channel)
    states = [packing.unpack(to.state(left, channel, n, low[n], upto=high[n])) for n in range(then)]
    for number, snapshot in enumerate(moved_updates(states, now, high, forget)):
        to.write(left, channel, number, high[number], snapshot)


def _exchange(to: Move, left: Left) -> None:
    """Move open predictions and early labels; what nobody folded yet is told anew, in the partitions of its events."""
    channel, pipeline = left.channel(EXCHANGE), to.pipeline
    assert pipeline.labels is not None, "a pipeline without labels has no exchange"
    now, then = to.counts[EXCHANGE], left.then[EXCHANGE]
    low, high = to.bounds(left, channel)
    states = [packing.unpack(to.state(left, channel, number, low[number])) for number in range(then)]
    sources = [state["sources"].reshape(-1, 3).astype(np.int64) for state in states]
    known = marks_of(least_marks(sources), to.counts)
    last = [marks_of(each, to.counts) for each in sources] + [{} for _ in range(now - then)]
    commitments = left.commitments(channel)
    for number in range(now):
        start = commitments[number].offset if number in commitments else low[number]
        for intake in left.read(to.connection, channel, Range(number, start, high[number])):
            admission = left.service.admit(intake.batch, 0.0)
            bad = {reject.offset for reject in (*intake.rejects, *admission.rejects)}
            for message in intake.records:
                if place_of(message)[1] in bad:  # For `labels` to refuse, where it lies.
                    to.again(channel.name, number, message)
            if len(admission.batch):
                for rows, partitions in told_anew(admission.batch.columns, now, known):
                    to.tell(channel, rows, partitions)
                last[number] |= marked(admission.batch.columns)
    marks = _least(last, then)
    if marks:
        to.tell(channel, *marks_anew(channel.codec.reader.arrow, marks, now))
    question = question_of(pipeline.labels, [to.counts[kind] for kind in KINDS])
    for number, snapshot in enumerate(moved_joins(question, states, now)):
        to.write(left, channel, number, high[number], snapshot)


def _least(last: Sequence[dict[Source, Marked]], then: int) -> dict[Source, Marked]:
    """Of each source the mark up to which all the partitions that there were are told."""
    everywhere = set.intersection(*(set(each) for each in last[:then]))
    return {source: min(each[source] for each in last if source in each) for source in sorted(everywhere)}


def _sums(to: Move, left: Left, own: set[str]) -> None:
    """Move what was told of models, and what is remembered of entities' days, as of the ends of their topics: what
    follows from both is written again in any case.
    """
    if PARTS in own:
        channel = left.channel(PARTS)
        low, high = to.bounds(left, channel)
        states = [to.state(left, channel, n, low[n], upto=high[n]) for n in range(left.then[PARTS])]
        for number, snapshot in enumerate(moved_parts(states, to.counts[PARTS])):
            to.write(left, channel, number, high[number], snapshot)
    if OUTCOMES in own:
        channel, then = left.channel(OUTCOMES), left.then[OUTCOMES]
        low, high = to.bounds(left, channel)
        states = [to.state(left, channel, n, low[n], upto=high[n]) for n in range(then)]
        begun = began(states)
        added = range(then, to.counts[OUTCOMES])
        states += [to.state(left, channel, n, low[n], upto=high[n], begun=begun) for n in added]
        windows = Windows(to.pipeline, outcomes=True, cap=1)
        for number, snapshot in enumerate(moved_sums(states, windows.given_up, high)):
            to.write(left, channel, number, high[number], snapshot)
