"""The topics of a pipeline as their files describe them, one entry a topic on the broker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from headrace.domain.pipeline.feed.spec import OWN
from headrace.domain.pipeline.wiring import Contracts
from headrace.streaming.contracts.topics import Topic, load_topics


@dataclass(frozen=True, slots=True)
class PipelineTopic:
    """A topic.

    Attributes:
        logical: as `contracts.channel` takes it; `name`: on the broker.
        description: of its file; `key`: in words, None for records without one.
        file: what the file says of it; None for a topic that somebody else writes in a form of their own.
        form: of such a topic: `json`, `protobuf` or `avro`; else empty.
        producers, consumers: services; `producers` and `consumers` are the user's own, `cli` the command.
    """

    logical: str
    name: str
    description: str
    key: str | None
    file: Topic | None
    form: str
    producers: Sequence[str]
    consumers: Sequence[str]


def pipeline_topics(contracts: Contracts) -> list[PipelineTopic]:
    """All topics of a pipeline, those of producers first, then in the order of their names."""
    pipeline = contracts.pipeline
    found = [
        PipelineTopic(
            logical,
            feed.topic,
            _description(contracts, logical),
            None,
            None,
            feed.form.format,
            ["producers"],
            ["intake"],
        )
        for logical, feed in pipeline.feeds.items()
    ]
    fed = {OWN[logical] for logical in pipeline.feeds}
    for topic in load_topics(contracts.workspace.topic_folders()).values():
        strangers = {"producers"} if topic.topic in fed else {"intake"}
        producers = [each for each in topic.producers if each not in strangers]
        found += [
            PipelineTopic(
                logical,
                pipeline.topic(logical),
                topic.description.strip(),
                topic.key,
                topic,
                "",
                producers,
                list(topic.consumers),
            )
            for logical in pipeline.topics_of(topic.topic)
        ]
    return found


def _description(contracts: Contracts, logical: str) -> str:
    read = ", ".join(column.place for column in contracts.pipeline.feeds[logical].form.columns)
    return f"{OWN[logical].capitalize()} as their producer writes them; intake takes up {read}."
