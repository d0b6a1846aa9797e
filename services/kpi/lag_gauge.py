"""How far services are behind, asked of Kafka beside the loop, since the answer may take long, or never come."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from headrace.domain.kpi.activity import STALE
from headrace.domain.pipeline.kpi.figures import READS
from headrace.domain.pipeline.spec import Pipeline
from headrace.domain.revisions.revision import group_of
from headrace.errors import HeadraceError
from headrace.streaming.kafka.connection import Connection
from headrace.streaming.kafka.lag import measure
from headrace.streaming.process.logs import logger

log = logger("kpi")
PAUSE_S = 5.0
COUNTED = 500
"""Up to so many offsets records are counted; above, the difference counts, control records and all."""
Lags = Mapping[str, Any]
"""By service [records, seconds], or why that is not known."""


class LagSource(Protocol):
    """Says how far services are behind."""

    def start(self) -> None:
        """Begin to ask."""
        ...

    def lags(self, now: float) -> Lags:
        """What is known at a moment, seconds since the epoch; answers at once.

        A service of which Kafka was not asked yet is left out.
        """
        ...


class LagGauge:
    """Asks again and again, on a thread of its own.

    Args:
        connection: to the cluster.
        groups: by service, its consumer groups with the topics that each reads.
    """

    def __init__(self, connection: Connection, groups: Mapping[str, Mapping[str, Sequence[str]]]) -> None:
        self._connection = connection
        self._groups = groups
        self._known: dict[str, tuple[float, Any]] = {}

    def start(self) -> None:
        """Begin to ask."""
        if self._groups:
            threading.Thread(target=self._ask, name="lag", daemon=True).start()

    def lags(self, now: float) -> Lags:
        """See `LagSource`."""
        found = {}
        for service, (asked, said) in list(self._known.items()):
            late = (now - asked) * 1000 > STALE
            found[service] = f"Kafka has not said for {now - asked:.0f} s" if late else said
        return found

    def _ask(self) -> None:
        library = self._connection.library
        while True:
            for service, groups in self._groups.items():
                try:
                    parts = measure(self._connection, groups, library.wall(), COUNTED)
                    said: Any = [
                        sum(part.records for part in parts),
                        max((part.seconds for part in parts), default=0.0),
                    ]
                except HeadraceError as error:
                    log.warning("lag is not known", of=service, reason=str(error))
                    said = str(error)
                self._known[service] = (library.wall(), said)
            library.sleep(PAUSE_S)


def groups_of(pipeline: Pipeline) -> dict[str, dict[str, list[str]]]:
    """Consumer groups of the services whose lag the rules of a pipeline watch, with the topics that each reads."""
    found: dict[str, dict[str, list[str]]] = {}
    for service in {rule.service for rule in pipeline.kpis.values() if rule.service}:
        if service == "views":
            each = {f"views.{view.title}": [view.topic] for view in pipeline.foreign_views}
        else:
            revised = group_of(pipeline.name, pipeline.revision).removeprefix(f"{pipeline.name}.")
            each = {revised if service == "enrich" else service: list(READS[service])}
        found[service] = {
            f"{pipeline.name}.{group}": [f"{pipeline.name}.{topic}" for topic in topics]
            for group, topics in each.items()
        }
    return found
