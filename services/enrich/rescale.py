"""Moves the state of `enrich` after the events got more partitions, and what becomes of events not answered yet."""

from __future__ import annotations

from collections.abc import Sequence, Set
from heapq import merge

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace.columnar import packing
from headrace.columnar.partitioner import partitions_of
from headrace.domain.features.event_gate import times_of
from headrace.domain.pipeline.spec import Pipeline
from headrace.errors import ContractError
from headrace.streaming.kafka.bindings import Channel
from headrace.streaming.kafka.message import Message
from headrace.streaming.kafka.reader import Range, messages
from headrace.streaming.task.rescale import Left, Move
from services.enrich.redistribution import moved_events


def rescale(to: Move, left: Left, grown: Set[str], pipeline: Pipeline) -> bool:
    """Move what a group left behind; whether anything was.

    Args:
        grown: logical names of topics that have more partitions than any group's state was made with.
    """
    if "events" not in grown & left.then.keys():
        return False
    _windows(to, left, pipeline)
    return True


def _windows(to: Move, left: Left, pipeline: Pipeline) -> None:
    """Move the windows of `enrich`; records that nobody answered yet and that lie where their keys are no longer
    are written again, with all others that were not answered, behind them, in the order of their times.
    """
    (channel,) = left.wiring.inputs
    now, then = to.counts[channel.logical], left.then[channel.logical]
    commitments = left.commitments(channel)
    low, high = to.bounds(left, channel)
    states = [packing.unpack(to.state(left, channel, number, low[number])) for number in range(then)]
    at = [commitments[number].offset if number in commitments else low[number] for number in range(now)]
    unread = _unread(to, pipeline, channel, at, high)
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
    whole = pa.types.is_integer(schema.field(pipeline.events.key).type)
    key = pipeline.events.key
    parts = {view.name: view.keys.index(key) for view in pipeline.own_views if len(view.keys) > 1}
    for number, snapshot in enumerate(moved_events(states, now, whole, parts)):
        to.write(left, channel, number, at[number], snapshot, admitted.get(number))


def _unread(
    to: Move, pipeline: Pipeline, channel: Channel, starts: Sequence[int], stops: Sequence[int]
) -> list[tuple[int, int, Message]]:
    """(where it belongs, where it is, record) of all that was not answered, in the order of event times.

    Those of one partition stay in their order. A time beyond the record's own time stamp holds nobody up. By time
    stamps alone they could not be ordered: where brokers stamp records, those of one request have the same.
    """
    wanted = [Range(number, *bounds) for number, bounds in enumerate(zip(starts, stops, strict=True))]
    found = [message for part in messages(to.connection, channel.name, wanted) for message in part]
    decoded = channel.codec.decode([message.value() for message in found])
    times = np.zeros(len(found), np.int64)
    times[decoded.rows] = times_of(decoded.columns, pipeline.events.time)
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
