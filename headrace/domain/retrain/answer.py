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
) -> ControlEvent:
    """What a trigger of `history` is answered.

    Args:
        policy: of the pipeline file.
        history: all that is on the topic.
        trigger: one without an answer.
        pipeline: name of it.
        now: milliseconds since the epoch; where the topic has a later time, that one counts.
        order: of a training, by its identity, what its job is told.
    """
    now = max(now, history.newest)
    found = refusal(policy, history, trigger, now)
    if found is not None:
        said: RetrainIgnored | RetrainStarted = RetrainIgnored(
            trigger.event_id, trigger.source, found.rule, found.because, found.until
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
        )
    return ControlEvent(answer_id(trigger.event_id), pipeline, now, ACTOR, said, trigger.event_id)


def answer_id(trigger: str) -> str:
    """The identity of the answer to a trigger."""
    return f"{ACTOR}/answer/{trigger}"


def run_of(trigger: str) -> str:
    """The identity of the training that a trigger starts.

    >>> run_of("drift/opened/predictions/1")
    'r-17648cd525'
    """
    return f"r-{hashlib.sha256(trigger.encode()).hexdigest()[:10]}"
