"""Moves the state of `labels` after the exchange got more partitions, and what nobody has joined yet."""

from __future__ import annotations

from collections.abc import Sequence, Set

import numpy as np

from headrace.columnar import packing
from headrace.domain.pipeline.spec import Pipeline
from headrace.domain.records.exchange import KINDS
from headrace.streaming.kafka.message import place as place_of
from headrace.streaming.kafka.reader import Range
from headrace.streaming.task.rescale import Left, Move
from headrace.streaming.watermarks.marks import Mark
from services.labels.exchange_redistribution import Source, least, marked, marks_anew, marks_of, told_anew
from services.labels.join.question import question_of
from services.labels.redistribution import least_marks, moved_joins


def rescale(to: Move, left: Left, grown: Set[str], pipeline: Pipeline) -> bool:
    """Move what a group left behind; whether anything was.

    Args:
        grown: logical names of topics that have more partitions than any group's state was made with.
    """
    exchange = left.wiring.inputs[-1].logical
    if exchange not in grown & left.then.keys():
        return False
    _joins(to, left, pipeline, exchange)
    return True


def _joins(to: Move, left: Left, pipeline: Pipeline, exchange: str) -> None:
    """Move open predictions and early labels; what nobody folded yet is told anew, in the partitions of its events."""
    channel = left.channel(exchange)
    assert pipeline.labels is not None, "a pipeline without labels has no exchange"
    now, then = to.counts[exchange], left.then[exchange]
    read = {"events", *(each.logical for each in left.wiring.inputs)}
    counts = {kind: to.counts[kind] if kind in read else 0 for kind in KINDS}
    low, high = to.bounds(left, channel)
    states = [packing.unpack(to.state(left, channel, number, low[number])) for number in range(then)]
    sources = [state["sources"].reshape(-1, 3).astype(np.int64) for state in states]
    known = marks_of(least_marks(sources), counts)
    last = [marks_of(each, counts) for each in sources] + [{} for _ in range(now - then)]
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
    question = question_of(pipeline.labels, list(counts.values()), pipeline.model.classes)
    for number, snapshot in enumerate(moved_joins(question, states, now)):
        to.write(left, channel, number, high[number], snapshot)


def _least(last: Sequence[dict[Source, Mark]], then: int) -> dict[Source, Mark]:
    """Of each source the mark up to which all the partitions that there were are told."""
    everywhere = set.intersection(*(set(each) for each in last[:then]))
    return {source: least(each[source] for each in last if source in each) for source in sorted(everywhere)}
