"""Moves the state of `views` after a view's topic, or the exchange that tells it labels, got more partitions."""

from __future__ import annotations

from collections.abc import Set

from headrace.columnar import packing
from headrace.domain.pipeline.spec import Pipeline
from headrace.domain.records.view_changelog import EXCHANGE
from headrace.streaming.task.rescale import Left, Move
from services.views.redistribution import moved_updates


def rescale(to: Move, left: Left, grown: Set[str], pipeline: Pipeline) -> bool:
    """Move what a group left behind; whether anything was.

    Args:
        grown: logical names of topics that have more partitions than any group's state was made with.
    """
    moves = not grown.isdisjoint(each for each in left.wiring.beside if each.startswith(EXCHANGE))
    if not left.found or not (grown & left.then.keys() or moves):
        return False
    _windows(to, left, forget=moves)
    return True


def _windows(to: Move, left: Left, forget: bool) -> None:
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
