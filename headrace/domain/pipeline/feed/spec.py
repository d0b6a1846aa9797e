"""A producer's topic as frozen values."""

from __future__ import annotations

from dataclasses import dataclass

from headrace.streaming.records.feed.column import FeedForm

EVENTS_FEED, LABELS_FEED = "events-feed", "labels-feed"
"""Logical names of the topics that producers write in their own form; on the broker they have the producer's names."""
OWN = {EVENTS_FEED: "events", LABELS_FEED: "labels"}
"""The topic of headrace's own that what is taken from each of them is written to; nobody else writes to it then."""


@dataclass(frozen=True, slots=True)
class Feed:
    """A topic that a producer writes in a form of its own, and that `intake` takes events or labels from.

    Attributes:
        topic: its name on the broker.
        schema: what its records are called in the pipeline file.
        form: how they become columns.
        source: of labels: who says so.
        time: of labels: the field that says when the truth became known, as the pipeline file calls it; "": none does.
    """

    topic: str
    schema: str
    form: FeedForm
    source: str = ""
    time: str = ""
