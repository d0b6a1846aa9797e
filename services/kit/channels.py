"""Where logical topics lie and how their values are written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from services.kit.codec import Codec


@dataclass(frozen=True, slots=True)
class Channel:
    """One topic: its logical name, its name on the broker, the codec of its values."""

    logical: str
    name: str
    codec: Codec


@dataclass(frozen=True, slots=True)
class Wiring:
    """All that a runner needs to know of the outside.

    Attributes:
        pipeline, service, member: who this is; the consumer group is `pipeline.service`, the transactional id
            `pipeline.service.member`.
        input: the topic that the group reads.
        outputs: by logical name, without the two below.
        dead_letters, checkpoints: where refused records and state go.
        facts: compacted topics, read whole.
        beside: names of topics that it neither reads nor writes, by logical name: their partitions are counted.
        code_version: written into dead letters and checkpoints.
    """

    pipeline: str
    service: str
    member: str
    input: Channel
    dead_letters: Channel
    checkpoints: Channel
    outputs: Mapping[str, Channel] = field(default_factory=dict)
    facts: Mapping[str, Channel] = field(default_factory=dict)
    beside: Mapping[str, str] = field(default_factory=dict)
    code_version: str = "unknown"

    @property
    def group(self) -> str:
        return f"{self.pipeline}.{self.service}"

    @property
    def transactional_id(self) -> str:
        return f"{self.group}.{self.member}"
