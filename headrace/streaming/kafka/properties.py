"""librdkafka's properties that an operator may not set, because headrace's promises rest on what it sets them to."""

from __future__ import annotations

from collections.abc import Iterable

_NAMES = "every group, member and transaction has the name that the pipeline and HEADRACE_MEMBER give it"
_OFFSETS = "offsets are committed with the outputs that they stand for, and a lost one is never made up"
_READING = "what a transaction took back must not be read"
_WRITING = "records are written once, in their order, to the partition that Java's producer would choose"
_GROUP = "it belongs to the group's agreement"
_LIMIT = "what a topic takes is said in its file, in topics/"
_PROGRAM = "it takes no text"
_CLUSTER = "say where Kafka is in HEADRACE_BOOTSTRAP"

DECIDED = {
    "bootstrap.servers": _CLUSTER,
    "metadata.broker.list": _CLUSTER,
    "test.mock.num.brokers": _CLUSTER,
    "test.mock.broker.rtt": _CLUSTER,
    "plugin.library.paths": "a plug-in could change every other property",
    "topic.blacklist": "a topic that is needed must not be hidden",
    "group.id": _NAMES,
    "group.instance.id": _NAMES,
    "transactional.id": _NAMES,
    "group.protocol": "set HEADRACE_GROUP_PROTOCOL instead",
    "group.protocol.type": _GROUP,
    "group.remote.assignor": _GROUP,
    "partition.assignment.strategy": _GROUP,
    "session.timeout.ms": "set HEADRACE_SESSION_TIMEOUT_MS instead",
    "heartbeat.interval.ms": "it follows HEADRACE_SESSION_TIMEOUT_MS",
    "enable.auto.commit": _OFFSETS,
    "auto.commit.enable": _OFFSETS,
    "auto.commit.interval.ms": _OFFSETS,
    "enable.auto.offset.store": _OFFSETS,
    "auto.offset.reset": _OFFSETS,
    "offset.store.method": _OFFSETS,
    "offset.store.path": _OFFSETS,
    "offset.store.sync.interval.ms": _OFFSETS,
    "isolation.level": _READING,
    "enable.partition.eof": "the end of a partition is how a service knows that it has read all",
    "allow.auto.create.topics": "topics are made by: headrace topics apply",
    "enable.idempotence": _WRITING,
    "enable.gapless.guarantee": _WRITING,
    "acks": _WRITING,
    "request.required.acks": _WRITING,
    "max.in.flight": _WRITING,
    "max.in.flight.requests.per.connection": _WRITING,
    "retries": _WRITING,
    "message.send.max.retries": _WRITING,
    "partitioner": _WRITING,
    "queuing.strategy": _WRITING,
    "message.timeout.ms": _WRITING,
    "delivery.timeout.ms": _WRITING,
    "request.timeout.ms": _WRITING,
    "transaction.timeout.ms": _WRITING,
    "produce.offset.report": _WRITING,
    "delivery.report.only.error": _WRITING,
    "message.max.bytes": _LIMIT,
    "max.request.size": _LIMIT,
    "default.topic.config": _PROGRAM,
    "error_cb": _PROGRAM,
    "log_cb": _PROGRAM,
    "logger": _PROGRAM,
    "oauth_cb": _PROGRAM,
    "on_commit": _PROGRAM,
    "on_delivery": _PROGRAM,
    "stats_cb": _PROGRAM,
    "throttle_cb": _PROGRAM,
}
"""Property to why it is not an operator's, or what to set instead. Those that only make clients faster or slower
(compression, fetches, back-offs, queues) are not among them.
"""


def refusals(names: Iterable[str]) -> list[str]:
    """Why properties with these names are refused, one sentence each.

    >>> refusals(["security.protocol", "enable.auto.commit"])[0].partition(":")[0]
    'enable.auto.commit is decided by headrace'
    """
    return [f"{name} is decided by headrace: {DECIDED[name]}; leave it out" for name in names if name in DECIDED]
