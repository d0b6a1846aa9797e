"""Where logical topics lie and how their values are written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from headrace.streaming.contracts.schemas import Schema, SchemaIds
from headrace.streaming.records.avro_codec import AvroCodec
from headrace.streaming.records.batch import slot, unslot
from headrace.streaming.records.codec import Codec
from headrace.streaming.records.json_codec import JsonCodec

CODECS: Mapping[str, Callable[[str, Schema, SchemaIds, int], Codec]] = {
    "avro": AvroCodec,
    "json": lambda subject, schema, ids, most: JsonCodec(subject, schema, most),
}
"""How values may be written, by name: each makes a codec of subject, schema, ids and most bytes. A new one is a file in
`streaming/records` and an entry here."""


@dataclass(frozen=True, slots=True)
class Channel:
    """One topic: its logical name, its name on the broker, the codec of its values."""

    logical: str
    name: str
    codec: Codec

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
        beside: names of topics that it neither reads nor writes, by logical name: their partitions are counted.
        code_version: written into dead letters and checkpoints.
    """

    pipeline: str
    service: str
    member: str
    inputs: tuple[Channel, ...]
    dead_letters: Channel
    checkpoints: Channel
    outputs: Mapping[str, Channel] = field(default_factory=dict)
    facts: Mapping[str, Channel] = field(default_factory=dict)
    beside: Mapping[str, str] = field(default_factory=dict)
    code_version: str = "unknown"

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
        return f"{self.pipeline}.{self.service}"

    @property
    def transactional_id(self) -> str:
        return f"{self.group}.{self.member}"
