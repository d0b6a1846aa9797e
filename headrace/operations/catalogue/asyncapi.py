"""The topics of a pipeline as an AsyncAPI 3.0 document, https://www.asyncapi.com/docs/reference/specification/v3.0.0.

The application is the pipeline: what it receives and what it sends, each service an operation of its own on each topic.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from headrace.domain.pipeline.spec import VIEW
from headrace.domain.pipeline.wiring import Contracts, code_version
from headrace.operations.catalogue.pipeline_topics import PipelineTopic, pipeline_topics
from headrace.operations.services import EACH_VIEW, SERVICES, needed
from headrace.streaming.process.settings import Settings

Json = dict[str, Any]
VERSION = "3.0.0"
AVRO = "application/vnd.apache.avro"
BINDING = "0.5.0"
FORMS: Mapping[str, str] = {"json": "application/json", "protobuf": "application/x-protobuf", "avro": AVRO}
"""Content types of topics that producers write in forms of their own."""
NUMBERS = ("retention.ms", "retention.bytes", "delete.retention.ms", "max.message.bytes")
"""Properties of topics that the document has as numbers."""


def asyncapi(settings: Settings, contracts: Contracts, broker: bool) -> Json:
    """The document.

    Args:
        broker: whether it names the broker of the settings, as somebody asked for it.
    """
    pipeline, topics = contracts.pipeline, pipeline_topics(contracts)
    secure = settings.connection.properties.get("security.protocol", "PLAINTEXT").upper() != "PLAINTEXT"
    hosts = settings.bootstrap.split(",")
    servers = {
        f"broker-{number}": {"host": host.strip(), "protocol": "kafka-secure" if secure else "kafka"}
        for number, host in enumerate(hosts, 1)
    }
    return {
        "asyncapi": VERSION,
        "id": f"urn:headrace:{pipeline.name}",
        "info": {
            "title": pipeline.name,
            "version": f"{pipeline.revision}.0.0",
            "description": (
                f"The topics of {pipeline.name}, as headrace {code_version()} reads and writes them. Values are Avro "
                "behind Confluent's five bytes, unless a message says otherwise."
            ),
        },
        "defaultContentType": AVRO,
        **({"servers": servers} if broker else {}),
        "channels": {topic.logical: _channel(topic) for topic in topics},
        "operations": dict(_operations(contracts, topics)),
        "components": {"messages": {topic.logical: _message(contracts, topic) for topic in topics}},
    }


def _channel(topic: PipelineTopic) -> Json:
    users = {"producers": "your producers", "consumers": "your consumers", "cli": "the headrace command"}
    written = ", ".join(users.get(each, each) for each in topic.producers)
    read = ", ".join(users.get(each, each) for each in topic.consumers)
    binding: Json = {"topic": topic.name, "bindingVersion": BINDING}
    if topic.file is not None:
        config = topic.file.config
        told: Json = {name: int(config[name]) for name in NUMBERS if name in config}
        told["cleanup.policy"] = config["cleanup.policy"].split(",")
        binding |= {
            "partitions": topic.file.partitions,
            "replicas": topic.file.replication,
            "topicConfiguration": {**{k: v for k, v in config.items() if k not in told}, **told},
        }
    return {
        "address": topic.name,
        "description": f"{topic.description} Written by {written}; read by {read or 'nobody'}.",
        "messages": {"record": {"$ref": f"#/components/messages/{topic.logical}"}},
        "bindings": {"kafka": binding},
    }


def _message(contracts: Contracts, topic: PipelineTopic) -> Json:
    key = {} if topic.key is None else {"key": {"type": "string", "description": topic.key}}
    if topic.file is None:
        return {
            "name": topic.logical,
            "title": f"A record of {topic.name}",
            "summary": topic.description,
            "contentType": FORMS[topic.form],
            "bindings": {"kafka": {"bindingVersion": BINDING}},
        }
    schema = contracts.schemas[f"{contracts.pipeline.name}.{topic.logical}-value"]
    where = {"schemaIdLocation": "payload", "schemaIdPayloadEncoding": "confluent"}
    return {
        "name": str(schema["name"]),
        "title": f"A record of {topic.name}",
        "summary": str(schema.get("doc", topic.description)),
        "contentType": AVRO,
        "payload": {"schemaFormat": f"{AVRO};version=1.9.0", "schema": schema},
        "bindings": {"kafka": {**key, **where, "bindingVersion": BINDING}},
    }


def _operations(contracts: Contracts, topics: list[PipelineTopic]) -> Iterator[tuple[str, Json]]:
    pipeline = contracts.pipeline
    there = {topic.logical: topic for topic in topics}
    for service in needed(pipeline):
        entry = SERVICES[service]
        grouped = {topic: group for group, _, read in entry.groups(pipeline) for topic in read}
        whole = [logical for logical in (*entry.facts, *entry.aside) if logical not in grouped]
        for logical in (*grouped, *whole):
            if logical in there:
                group = (
                    {"type": "string", "enum": [f"{pipeline.name}.{grouped[logical]}"]} if logical in grouped else None
                )
                yield f"{service}-receives-{logical}", _operation("receive", service, there[logical], group)
        sent = [topic for named in entry.writes for topic in pipeline.topics_of(VIEW if named == EACH_VIEW else named)]
        sent += ["dead-letters", *(["checkpoints"] if entry.state else [])]
        for logical in sent:
            if logical in there and service in there[logical].producers:
                yield f"{service}-sends-{logical}", _operation("send", service, there[logical], None)


def _operation(action: str, service: str, topic: PipelineTopic, group: Json | None) -> Json:
    channel = f"#/channels/{topic.logical}"
    verb = {"receive": "reads", "send": "writes"}[action]
    bindings = {} if group is None else {"bindings": {"kafka": {"groupId": group, "bindingVersion": BINDING}}}
    return {
        "action": action,
        "channel": {"$ref": channel},
        "summary": f"The service {service} {verb} {topic.name}.",
        "tags": [{"name": service}],
        "messages": [{"$ref": f"{channel}/messages/record"}],
        **bindings,
    }
