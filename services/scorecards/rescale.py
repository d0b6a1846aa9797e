"""Moves the sums of `scorecards` after the topics got more partitions that they are made of."""

from __future__ import annotations

from collections.abc import Set

from headrace.domain.pipeline.spec import Pipeline
from headrace.domain.scorecards.grouped_tallies import OUTCOMES, PARTS
from headrace.domain.scorecards.window_sums import span
from headrace.streaming.task.rescale import Left, Move
from services.scorecards.redistribution import began, moved_parts, moved_sums


def rescale(to: Move, left: Left, grown: Set[str], pipeline: Pipeline) -> bool:
    """Move what a group left behind; whether anything was.

    Args:
        grown: logical names of topics that have more partitions than any group's state was made with.
    """
    own = grown & left.then.keys()
    if own:
        _sums(to, left, own, pipeline)
    return bool(own)


def _sums(to: Move, left: Left, own: Set[str], pipeline: Pipeline) -> None:
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
        for number, snapshot in enumerate(moved_sums(states, span(pipeline, OUTCOMES).given_up, high)):
            to.write(left, channel, number, high[number], snapshot)
