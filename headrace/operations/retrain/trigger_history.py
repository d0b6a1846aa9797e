"""Everything that asked for a training, what it was answered, and what became of that."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from headrace.domain.control.events import ControlEvent
from headrace.domain.control.retrain import RetrainFailed, RetrainFinished, RetrainIgnored, RetrainStarted
from headrace.domain.pipeline.wiring import Contracts
from headrace.domain.retrain.trigger import Trigger, trigger_of
from headrace.operations.control_tail import events_in
from headrace.streaming.kafka.reader import ranges, read
from headrace.streaming.process.settings import Settings


@dataclass(frozen=True, slots=True)
class TriggerStory:
    """A trigger and what became of it.

    Attributes:
        event_id, time, actor: of the trigger; milliseconds since the epoch; who told it.
        source: `drift`, `harm`, `schedule`, `volume` or `person`.
        about: the incident and the model of a finding, the reason of a request.
        outcome: `waiting` for an answer, `ignored`, `active`, `finished` or `failed`.
        answered: when it was answered, milliseconds since the epoch; None: not yet.
        rule, because, until: of what was ignored.
        run: the training.
        model: `name@version` that it made.
        problem: why it made none.
        seconds, cpu_s: what it took, by the clock and of processors; None: nobody said.
    """

    event_id: str
    time: int
    actor: str
    source: str
    about: str
    outcome: str = "waiting"
    answered: int | None = None
    rule: str = ""
    because: str = ""
    until: int | None = None
    run: str = ""
    model: str = ""
    problem: str = ""
    seconds: float | None = None
    cpu_s: float | None = None


def trigger_stories(settings: Settings, contracts: Contracts) -> list[TriggerStory]:
    """All that the control topic tells of triggers, in its order.

    Raises Transient when Kafka does not answer, ContractError when there is no such topic.
    """
    channel = contracts.channel("control")
    intakes = read(settings.connection, channel, ranges(settings.connection, channel.name))
    return stories_of(event for intake in intakes for event in events_in(intake.batch.columns))


def stories_of(events: Iterable[ControlEvent]) -> list[TriggerStory]:
    """The triggers among some events, in their order, with what the others say of them."""
    found: dict[str, TriggerStory] = {}
    trainings: dict[str, str] = {}
    for event in events:
        said = event.finding
        trigger = trigger_of(event)
        if trigger is not None:
            found.setdefault(event.event_id, _asked(trigger, event.actor))
        elif isinstance(said, RetrainStarted | RetrainIgnored) and said.trigger in found:
            found[said.trigger] = _answered(found[said.trigger], said, event.time)
            if isinstance(said, RetrainStarted):
                trainings[said.run] = said.trigger
        elif isinstance(said, RetrainFinished | RetrainFailed) and said.run in trainings:
            found[trainings[said.run]] = _ended(found[trainings[said.run]], said)
    return list(found.values())


def _asked(trigger: Trigger, actor: str) -> TriggerStory:
    about = trigger.reason or ", ".join(filter(None, [trigger.incident, trigger.model]))
    return TriggerStory(trigger.event_id, trigger.time, actor, trigger.source, about)


def _answered(story: TriggerStory, said: RetrainStarted | RetrainIgnored, time: int) -> TriggerStory:
    if story.answered is not None:
        return story
    if isinstance(said, RetrainStarted):
        return replace(story, outcome="active", answered=time, run=said.run)
    ignored = replace(story, outcome="ignored", answered=time, rule=said.rule, because=said.because)
    return replace(ignored, until=said.until)


def _ended(story: TriggerStory, said: RetrainFinished | RetrainFailed) -> TriggerStory:
    if isinstance(said, RetrainFailed):
        return replace(story, outcome="failed", problem=said.problem, seconds=said.seconds)
    return replace(story, outcome="finished", model=said.model, seconds=said.seconds, cpu_s=said.cpu_s)
