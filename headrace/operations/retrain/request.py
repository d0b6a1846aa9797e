"""A person asks for a training, and waits for the answer."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from headrace.domain.control.base import ControlFinding
from headrace.domain.control.events import ControlEvent
from headrace.domain.control.retrain import (
    RetrainAsked,
    RetrainFailed,
    RetrainFinished,
    RetrainIgnored,
    RetrainProgress,
    RetrainStarted,
)
from headrace.domain.pipeline.wiring import Contracts
from headrace.domain.retrain.answer import answer_id
from headrace.domain.retrain.trigger import PERSON
from headrace.errors import ConfigurationError, Transient
from headrace.operations.control_tail import ControlTail
from headrace.streaming.process.settings import Settings

Outcome = Literal["started", "ignored", "finished", "failed"]
AROUND_S = 300.0
"""Beyond its limit, a training may wait for its job to be started again."""


@dataclass(frozen=True, slots=True)
class RetrainAnswer:
    """What became of a request.

    Attributes:
        event_id: of the request.
        outcome: `started` or `ignored`; of a training that was waited for, `finished` or `failed`.
        run: the training.
        rule, because, until: of `ignored`, the rule that decided, in words too, and until when it holds, milliseconds.
        model, digest: of `finished`, the package.
        problem: of `failed`.
        log: of the job, on the machine of the service.
        seconds, cpu_s: what the training took, by the clock and of processors.
    """

    event_id: str
    outcome: Outcome
    run: str = ""
    rule: str = ""
    because: str = ""
    until: int | None = None
    model: str = ""
    digest: str = ""
    problem: str = ""
    log: str = ""
    seconds: float | None = None
    cpu_s: float | None = None


def ask(
    settings: Settings,
    contracts: Contracts,
    actor: str,
    reason: str,
    now: int,
    within: float,
    progress: Callable[[RetrainProgress], None] | None = None,
) -> RetrainAnswer:
    """Ask for a training and wait for the answer.

    Args:
        actor, reason: who asks, and why.
        now: milliseconds since the epoch.
        within: seconds in which there is to be an answer.
        progress: told each stage; the training is waited for, too. None: the answer alone is.

    Raises:
        ConfigurationError: the pipeline has no section `retrain`.
        Transient: nobody answers; the request is on the topic all the same.
    """
    pipeline = contracts.pipeline
    if pipeline.retrain is None:
        raise ConfigurationError(
            f"{pipeline.name} has no section retrain, so nobody trains it: add one, such as retrain: {{per_month: 10}}"
        )
    event_id = f"{PERSON}/{actor}/{uuid.uuid4().hex[:12]}"
    tail = ControlTail(settings.connection, contracts.channel("control"))
    try:
        tail.say(ControlEvent(event_id, pipeline.name, now, actor, RetrainAsked(PERSON, reason)))
        see = f"`headrace retrain {pipeline.name} --history` shows it once there is one"
        told = _first(tail, within, lambda event: event.event_id == answer_id(event_id), "the service retrain", see)
        if isinstance(told, RetrainIgnored):
            return RetrainAnswer(event_id, "ignored", rule=told.rule, because=told.because, until=told.until)
        assert isinstance(told, RetrainStarted)
        if progress is None:
            return RetrainAnswer(event_id, "started", told.run)
        return _end(tail, event_id, told.run, pipeline.retrain.limit / 1000 + AROUND_S, progress, see)
    finally:
        tail.close()


def _end(
    tail: ControlTail, event_id: str, run: str, within: float, progress: Callable[[RetrainProgress], None], see: str
) -> RetrainAnswer:
    def over(event: ControlEvent) -> bool:
        found = event.finding
        if isinstance(found, RetrainProgress) and found.run == run:
            progress(found)
        return isinstance(found, RetrainFinished | RetrainFailed) and found.run == run

    told = _first(tail, within, over, f"training {run}", see)
    if isinstance(told, RetrainFailed):
        return RetrainAnswer(event_id, "failed", run, problem=told.problem, log=told.log, seconds=told.seconds)
    assert isinstance(told, RetrainFinished)
    made = RetrainAnswer(event_id, "finished", run, model=told.model, digest=told.digest, log=told.log)
    return replace(made, seconds=told.seconds, cpu_s=told.cpu_s)


def _first(
    tail: ControlTail, within: float, wanted: Callable[[ControlEvent], bool], who: str, see: str
) -> ControlFinding:
    try:
        return next(event.finding for event in tail.events(within) if wanted(event))
    except Transient:
        raise Transient(f"{who} did not answer within {within:g} s; {see}") from None
