"""A pipeline's lineage, read from its topics and its model store, and where it goes."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from headrace.domain.control.events import ControlEvent, read_event
from headrace.domain.ledger.sources import rows_told
from headrace.domain.models.package import Manifest
from headrace.domain.models.store import Stored
from headrace.domain.pipeline.wiring import Contracts, code_version
from headrace.errors import ConfigurationError, ContractError, InvalidRecord, Transient
from headrace.operations.lineage.run_events import Json, LineagePlaces, run_events
from headrace.operations.models.store_access import store_at
from headrace.operations.plan_changes.plan_topic import facts_of
from headrace.operations.progress import ProgressView
from headrace.operations.time_spans import TimeSpan, iso
from headrace.streaming.kafka.reader import ranges, read
from headrace.streaming.process.settings import Settings

ANSWER_S = 10.0
KEY = "OPENLINEAGE_API_KEY"
"""Variable of the key that an endpoint asks for, as OpenLineage's own clients name it."""


@dataclass(frozen=True, slots=True)
class LineageTold:
    """What was told, and where.

    Attributes:
        events: how many.
        left_out: what could not be read, a sentence each.
    """

    to: str
    events: int
    left_out: Sequence[str]


def lineage_events(
    settings: Settings, contracts: Contracts, span: TimeSpan, progress: ProgressView
) -> tuple[list[Json], list[str]]:
    """Run events of a span of time, and what could not be read.

    Raises:
        ContractError: a topic is not there.
        Transient: Kafka or the model store does not answer.
    """
    left_out: list[str] = []
    with progress.stage("reading control events, plans and packages"):
        control = _control(settings, contracts, left_out)
        facts = facts_of(settings, contracts)
        left_out += [f"the plan at offset {fact.offset}: {fact.fault}" for fact in facts if fact.plan is None]
        packages = _packages(settings.models, left_out)
    models = settings.models if "://" in settings.models else Path(settings.models).absolute().as_uri()
    broker = settings.bootstrap.split(",")[0].strip()
    places = LineagePlaces(contracts.pipeline.name, broker, models, f"urn:headrace:{code_version()}")
    events = run_events(places, control, facts, packages)
    return whole_runs(events, span), left_out


def whole_runs(events: Sequence[Json], span: TimeSpan) -> list[Json]:
    """The events of runs whose last one lies in the span, with those before it: no run ends that did not begin."""
    last = {str(event["run"]["runId"]): str(event["eventTime"]) for event in events}
    return [event for event in events if _within(last[str(event["run"]["runId"])], span)]


def write_events(events: Sequence[Json], out: Path) -> None:
    """A line of JSON each; the file appears whole or not at all. Raises OSError."""
    draft = out.with_name(f".{out.name}.draft")
    try:
        draft.write_text("".join(f"{json.dumps(event)}\n" for event in events), encoding="utf-8")
        draft.replace(out)
    finally:
        draft.unlink(missing_ok=True)


def post_events(events: Sequence[Json], url: str) -> None:
    """Post each to an endpoint, in order. A repeat posts the same runs again, which endpoints fold.

    Raises:
        ConfigurationError: it is no such url, or the endpoint refuses an event; says how many it took before.
        Transient: it does not answer.
    """
    if not url.startswith(("http://", "https://")):
        raise ConfigurationError(
            f"--to {url}: write the http url that takes events, such as http://host:5000/api/v1/lineage"
        )
    headers = {"Content-Type": "application/json"}
    if key := os.environ.get(KEY):
        headers["Authorization"] = f"Bearer {key}"
    for at, event in enumerate(events):
        request = urllib.request.Request(url, json.dumps(event).encode(), headers, method="POST")
        told = f"{at:,} of {len(events):,} events are told; the same command tells all again"
        try:
            urllib.request.urlopen(request, timeout=ANSWER_S).close()
        except urllib.error.HTTPError as refused:
            text = refused.read(500).decode(errors="replace")
            refused.close()
            kind = Transient if refused.code >= 500 or refused.code == 429 else ConfigurationError
            raise kind(f"{url} answered {refused.code}: {text}; {told}") from None
        except (urllib.error.URLError, OSError) as fault:
            raise Transient(f"{url} does not answer: {fault}; {told}") from None


def _within(time: str, span: TimeSpan) -> bool:
    bounds = span.bounds
    return (bounds.from_ is None or time >= iso(bounds.from_)) and (bounds.to is None or time < iso(bounds.to))


def _control(settings: Settings, contracts: Contracts, left_out: list[str]) -> list[ControlEvent]:
    channel = contracts.channel("control")
    found: list[ControlEvent] = []
    for intake in read(settings.connection, channel, ranges(settings.connection, channel.name)):
        left_out += [f"the control event at offset {bad.offset}: {bad.detail}" for bad in intake.rejects]
        for row in rows_told(intake.batch.columns):
            try:
                event = read_event(row)
            except InvalidRecord as fault:
                left_out.append(f"the control event {row['event_id']}: {fault}")
                continue
            if event is not None and event.pipeline == contracts.pipeline.name:
                found.append(event)
    return found


def _packages(models: str, left_out: list[str]) -> list[tuple[Stored, Manifest]]:
    store = store_at(models)
    found = []
    for stored in store.packages():
        try:
            found.append((stored, store.manifest(stored)))
        except ContractError as fault:
            left_out.append(f"the package of {stored.title}: {fault}")
    return found
