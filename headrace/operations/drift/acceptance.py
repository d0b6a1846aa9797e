"""A person takes what changed in an incident for what is usual from now on."""

from __future__ import annotations

import pyarrow as pa

from headrace.domain.pipeline.wiring import Contracts
from headrace.domain.records.drift_parts import DECISIONS, PARTS, Acceptance
from headrace.errors import ConfigurationError
from headrace.operations.drift.report import drift_report
from headrace.streaming.kafka.client import Producer
from headrace.streaming.process.settings import Settings


def accept(settings: Settings, contracts: Contracts, decision: Acceptance) -> None:
    """Write it among the rows that `drift` watches, durably; the service tells on the control topic when it holds.

    Raises:
        ConfigurationError: there is no such incident, or it is over.
        Transient: Kafka does not answer.
    """
    incident = drift_report(settings, contracts).incident(decision.incident)
    if incident.closed is not None:
        raise ConfigurationError(f"{incident.incident} is over since then: there is nothing to accept")
    channel = contracts.channel(PARTS)
    columns = pa.RecordBatch.from_pylist([decision.row()], channel.codec.reader.arrow)
    producer = Producer(settings.connection)
    producer.send(channel.name, [DECISIONS], channel.codec.encode(columns))
    producer.flush()
