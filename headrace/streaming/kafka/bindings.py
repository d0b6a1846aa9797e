"""Where logical topics lie and how their values are written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from headrace.errors import ContractError
from headrace.streaming.contracts.schemas import PinnedIds, Schema, SchemaIds
from headrace.streaming.records.avro_codec import AvroCodec
from headrace.streaming.records.batch import slot, unslot
from headrace.streaming.records.codec import Codec
from headrace.streaming.records.feed.avro_feed import AvroScanner
from headrace.streaming.records.feed.column import FeedForm
from headrace.streaming.records.feed.feed_codec import FeedCodec, scanned_by
from headrace.streaming.records.feed.json_feed import JsonScanner
from headrace.streaming.records.feed.protobuf_feed import ProtobufScanner
from headrace.streaming.records.json_codec import JsonCodec

CODECS: Mapping[str, Callable[[str, Schema, SchemaIds, int], Codec]] = {
    "avro": AvroCodec,
    "json": lambda subject, schema, ids, most: JsonCodec(subject, schema, most),
}
"""How values may be written, by name: each makes a codec of subject, schema, ids and most bytes. A new one is a file in
`streaming/records` and an entry here."""


def _json(subject: str, form: FeedForm, reader: Schema, ids: SchemaIds, most: int) -> Codec:
    return FeedCodec(subject, form, reader, JsonScanner(scanned_by(form)), most)


def _avro(subject: str, form: FeedForm, reader: Schema, ids: SchemaIds, most: int) -> Codec:
    named = form.subjects or (subject,)
    if isinstance(ids, PinnedIds) and not any(ids.writers(each) for each in named):
        raise ContractError(
            f"no ids of {', '.join(named)} are pinned in {ids.path}: set HEADRACE_REGISTRY to the registry that its "
            "producer uses, whose ids its records carry"
        )
    return FeedCodec(subject, form, reader, AvroScanner(subject, form, reader, ids, most), most)


def _protobuf(subject: str, form: FeedForm, reader: Schema, ids: SchemaIds, most: int) -> Codec:
    return FeedCodec(subject, form, reader, ProtobufScanner(form), most)


FEEDS: Mapping[str, Callable[[str, FeedForm, Schema, SchemaIds, int], Codec]] = {
    "avro": _avro,
    "json": _json,
    "protobuf": _protobuf,
}
"""How producers may write topics of their own, by name: each makes a codec of subject, form, schema, ids and most
bytes."""


@dataclass(frozen=True, slots=True)
class Channel:
    """One topic: its logical name, its name on the broker, the codec of its values; `foreign`: producers create it."""

    logical: str
    name: str
    codec: Codec
    foreign: bool = False

    @property
    def writer(self) -> str:
        """Of a fact topic: the transactional id that whoever writes to it holds from its look at the newest on.

        Who comes second fences the first, whose fact then never was: so each is made from the one before.
        """
        return f"{self.name}.writer"


@dataclass(frozen=True, slots=True)
class Wiring:
    """All that a runner needs to know of the outside.

    Attributes:
        pipeline, service, member: who this is; the consumer group is `pipeline.service`, the transactional id
            `pipeline.service.member`.
        inputs: the topics that the group reads.
        outputs: by logical name, without the two below.
        dead_letters, checkpoints: where refused records and state go.
        facts: compacted topics, read whole.
        aside: topics that are read without the group: by jobs of it, or whole now and then.
        beside: names of topics that it neither reads nor writes, by logical name: their partitions are counted.
        code_version: written into dead letters and checkpoints.
        revision: of the pipeline, where the group answers by it alone; its name says so from the second on.
    """

    pipeline: str
    service: str
    member: str
    inputs: tuple[Channel, ...]
    dead_letters: Channel
    checkpoints: Channel
    outputs: Mapping[str, Channel] = field(default_factory=dict)
    facts: Mapping[str, Channel] = field(default_factory=dict)
    aside: Mapping[str, Channel] = field(default_factory=dict)
    beside: Mapping[str, str] = field(default_factory=dict)
    code_version: str = "unknown"
    revision: int = 1

    def input(self, number: int) -> tuple[Channel, int]:
        """The topic and its partition that a service knows by one number."""
        place, partition = unslot(number)
        return self.inputs[place], partition

    def number(self, topic: str | None, partition: int | None) -> int:
        """The number by which a service knows a partition of one of its inputs; the inverse of `input`."""
        assert partition is not None
        if len(self.inputs) == 1:
            return partition
        return slot(next(place for place, channel in enumerate(self.inputs) if channel.name == topic), partition)

    @property
    def group(self) -> str:
        return f"{self.pipeline}.{self.service}" + (f".r{self.revision}" if self.revision > 1 else "")

    @property
    def transactional_id(self) -> str:
        return f"{self.group}.{self.member}"
