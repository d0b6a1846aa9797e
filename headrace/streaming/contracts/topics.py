"""Topics as data: the files of `topics/`, read and checked. What a broker lacks of them is in `topic_changes`."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from headrace.errors import ConfigurationError

Bounds = tuple[int, int]
_BIG = 2**63 - 1
CONFIG: Mapping[str, Bounds | frozenset[str]] = {
    "cleanup.policy": frozenset({"delete", "compact", "compact,delete"}),
    "compression.type": frozenset({"producer", "uncompressed", "lz4", "zstd", "snappy", "gzip"}),
    "delete.retention.ms": (0, _BIG),
    "max.compaction.lag.ms": (1, _BIG),
    "max.message.bytes": (1, 2**31 - 1),
    "message.timestamp.type": frozenset({"CreateTime", "LogAppendTime"}),
    "min.compaction.lag.ms": (0, _BIG),
    "min.insync.replicas": (1, 100),
    "retention.bytes": (-1, _BIG),
    "retention.ms": (-1, _BIG),
    "segment.bytes": (1_048_576, 2**31 - 1),
    "segment.ms": (1, _BIG),
}
"""Topic properties that a file may set, with their bounds or words; https://kafka.apache.org/documentation/#topicconfigs"""


def _as_text(value: object) -> object:
    """A property as Kafka takes it: YAML reads `true` and `60000` as other things than text."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int) else value


class Topic(BaseModel):
    """One file of `topics/`.

    Attributes:
        topic: logical name; on the broker `<pipeline>.<topic>`.
        for_each: `foreign_view` where there is one such topic a view keyed by another entity: `<pipeline>.view.<name>`.
        key: what the record key is, in words; None for records without one.
        value_schema: (`schema` in the file) a file of `schemas/`, or `event`, `features`, `predictions`: made for the
            pipeline.
        fixed: partitions are not for an operator to choose.
        partitions, replication: that it is created with.
        config: topic properties, as text.
        producers, consumers: services that write and read it; `producers` and `consumers` are the user's own, `cli` the
            headrace command.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    topic: Annotated[str, Field(pattern=r"^[a-z][a-z-]*$")]
    description: Annotated[str, Field(min_length=20)]
    for_each: Literal["foreign_view"] | None = None
    key: str | None
    value_schema: Annotated[str, Field(alias="schema", pattern=r"^[a-z][a-z0-9_]*$")]
    fixed: bool = False
    partitions: Annotated[int, Field(ge=1, le=10_000)]
    replication: Annotated[int, Field(ge=1, le=100)]
    config: Mapping[str, Annotated[str, BeforeValidator(_as_text)]]
    producers: Annotated[list[str], Field(min_length=1)]
    consumers: Annotated[list[str], Field(min_length=1)]

    @field_validator("config")
    @classmethod
    def _known(cls, config: Mapping[str, str]) -> Mapping[str, str]:
        for name, value in config.items():
            if name not in CONFIG:
                near = difflib.get_close_matches(name, CONFIG, n=1)
                raise ValueError(f"unknown property {name}" + (f": did you mean {near[0]}?" if near else ""))
            allowed = CONFIG[name]
            if isinstance(allowed, frozenset):
                if value not in allowed:
                    raise ValueError(f"{name} cannot be {value}: write {' or '.join(sorted(allowed))}")
            elif not value.removeprefix("-").isdecimal() or not allowed[0] <= int(value) <= allowed[1]:
                raise ValueError(f"{name} cannot be {value}: write a whole number of at least {allowed[0]}")
        return config

    @model_validator(mode="after")
    def _whole(self) -> Topic:
        for name in ("cleanup.policy", "retention.ms", "max.message.bytes", "min.insync.replicas"):
            if name not in self.config:
                raise ValueError(f"config says nothing of {name}: brokers' defaults differ")
        if int(self.config["min.insync.replicas"]) > self.replication:
            raise ValueError("min.insync.replicas is above replication: nothing could ever be written")
        if "compact" in self.config["cleanup.policy"] and self.key is None:
            raise ValueError("a compacted topic needs keys")
        return self


class _TopicLoader(yaml.SafeLoader):
    """Refuses a key that is written twice, which YAML's own loader takes silently."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names: set[str] = set()
        for key, _ in node.value:
            name = str(key.value)
            if name in names:
                raise yaml.constructor.ConstructorError(None, None, f"{name} is written twice", key.start_mark)
            names.add(name)
        return super().construct_mapping(node, deep)


def load_topic(path: Path) -> Topic:
    """The topic of a file.

    Raises:
        ConfigurationError: the file is no topic; lists all that is wrong.
    """
    try:
        with path.open(encoding="utf-8") as file:
            content = yaml.load(file, _TopicLoader)
        topic = Topic.model_validate(content)
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{path}: not YAML: {error}") from None
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from None
    except RecursionError:
        raise ConfigurationError(f"{path}: nested too deeply") from None
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: not UTF-8 at byte {error.start}: save it as UTF-8") from None
    except ValidationError as error:
        lines = (f"{'.'.join(map(str, e['loc'])) or 'topic'}: {e['msg']}" for e in error.errors())
        raise ConfigurationError(f"{path}: " + "; ".join(lines)) from None
    if topic.topic != path.stem:
        raise ConfigurationError(f"{path}: describes the topic {topic.topic}: call the file {topic.topic}.yaml")
    return topic


def load_topics(folders: Iterable[Path]) -> dict[str, Topic]:
    """Topics by logical name; the first folder that has one of a name wins.

    Raises:
        ConfigurationError: a file is no topic, or there is none at all.
    """
    found: dict[str, Topic] = {}
    for folder in folders:
        for path in sorted(folder.glob("*.yaml")):
            if path.stem not in found:
                found[path.stem] = load_topic(path)
    if not found:
        raise ConfigurationError("no topic files: headrace's own are missing from its installation")
    return found
