"""All that is known of one event: looked for in every topic, told as a story."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Set
from dataclasses import replace

from headrace.domain.models.store import ModelStore
from headrace.domain.pipeline.wiring import Contracts
from headrace.errors import ContractError
from headrace.operations.history.story import ModelDecision, NothingFound, Story
from headrace.operations.history.story_builder import build_story
from headrace.operations.history.trace import gather
from headrace.operations.ledger.ledger_topic import ledger_records
from headrace.operations.time_spans import moment
from headrace.streaming.process.settings import Settings


def event_history(
    settings: Settings,
    contracts: Contracts,
    store: ModelStore,
    text: str,
    start: int | None,
    stop: int | None,
    progress: Callable[[str, int], None],
) -> Story | NothingFound:
    """The story of an event, or of a prediction's event.

    Args:
        settings, contracts: of the pipeline.
        store: has the packages of its models.
        text: an event id or a prediction id.
        start, stop: look only at events written from then until then, milliseconds since the epoch.
        progress: told the topic and how many of its records were looked at so far.

    Raises:
        Transient: Kafka or the model store does not answer.
    """
    looked: Counter[str] = Counter()

    def count(topic: str, records: int) -> None:
        looked[topic] += records
        progress(topic, looked[topic])

    trace = gather(settings, contracts, store, text, start, stop, count)
    pipeline = contracts.pipeline
    if not trace.empty:
        story = build_story(pipeline, trace)
        return replace(story, decisions=_decisions(settings, contracts, {each.digest for each in story.predictions}))
    searched = ", ".join(f"{records:,} {topic}" for topic, records in looked.items()) or "no records at all"
    hint = (
        f"nothing about {text} in {pipeline.name} (looked at {searched}). The id is the event's {pipeline.events.id}, "
        "to the letter; records go when their topic's retention ends; or is it another pipeline's?"
    )
    return NothingFound(pipeline.name, trace.event_id, hint)


def _decisions(settings: Settings, contracts: Contracts, digests: Set[str]) -> list[ModelDecision]:
    """What the ledger has of these packages; nothing where there is no ledger."""
    try:
        entries = [entry for _, entry in ledger_records(settings, contracts).entries]
    except ContractError:
        return []
    found = []
    for entry in entries:
        evidence = entry.said().get("evidence", {})
        if evidence.get("digest") in digests:
            why = evidence.get("reason") or evidence.get("why") or evidence.get("verdict", "")
            told = entry.number, moment(entry.time), entry.type, entry.actor, evidence.get("model", ""), why
            found.append(ModelDecision(*told))
    return found
