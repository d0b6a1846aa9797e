"""The answer to a trigger, as a control event whose identity follows from the trigger's."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from headrace.domain.control.events import ControlEvent
from headrace.domain.control.retrain import RetrainIgnored, RetrainStarted
from headrace.domain.pipeline.retrain.spec import Retrain
from headrace.domain.retrain.history import TrainingHistory
from headrace.domain.retrain.policy import refusal
from headrace.domain.retrain.trigger import Trigger

ACTOR = "retrain"


def answer(
    policy: Retrain,
    history: TrainingHistory,
    trigger: Trigger,
    pipeline: str,
    now: int,
    order: Callable[[str], str],
    wall: int = 0,
) -> ControlEvent:
    """What a trigger of `history` is answered.

    Args:
        policy: of the pipeline file.
        history: all that is on the topic.
        trigger: one without an answer.
        pipeline: name of it.
        now: by the clock of the rules, milliseconds since the epoch; where the topic has a later time, that one counts.
        order: of a training, by its identity, what its job is told.
        wall: the wall clock's time, where rules go by that of events; else it does not matter.
    """
    now = max(now, history.newest)
    at = now if history.by_events else None
    found = refusal(policy, history, trigger, now)
    if found is not None:
        said: RetrainIgnored | RetrainStarted = RetrainIgnored(
            trigger.event_id, trigger.source, found.rule, found.because, found.until, at
        )
    else:
        run = run_of(trigger.event_id)
        said = RetrainStarted(
            trigger.event_id,
            trigger.source,
            run,
            order(run),
            history.chain(trigger),
            history.used(now) + 1,
            policy.per_month,
            at,
        )
    time = wall if history.by_events else now
    return ControlEvent(answer_id(trigger.event_id), pipeline, time, ACTOR, said, trigger.event_id)


def answer_id(trigger: str) -> str:
    """The identity of the answer to a trigger."""
    return f"{ACTOR}/answer/{trigger}"


def run_of(trigger: str) -> str:
    """The identity of the training that a trigger starts.

    >>> run_of("drift/opened/predictions/1")
    'r-17648cd525'
    """
    return f"r-{hashlib.sha256(trigger.encode()).hexdigest()[:10]}"
