"""Whether a trigger starts a training: rules in an order, of which the first that holds decides.

| rule | a trigger is ignored |
|---|---|
| `off` | whose source is not among `retrain.on` |
| `early` | before the first outcome, where `retrain.clock` is `events`: nothing tells the time, nor is there a row |
| `dark` | about a model that answers nobody: of the stream shadow-predictions |
| `refused` | about records that were refused, which no model mends: of the stream dead-letters |
| `incident` | about an incident that has started a training; `harm` until `settle` after one that came to nothing |
| `debounce` | within `debounce` of the last of the same source that was none of the above |
| `active` | while a training runs, or told while the last one did |
| `loop` | about a model that a training made, until it is `settle` old, times 2 for each training in a row before it |
| `cooldown` | within `cooldown` of the end of the last training |
| `budget` | when `per_month` trainings began in this calendar month (UTC) |

Times are the wall clock's, or event time where `retrain.clock` says so; whether one was told while a training ran is
always the wall clock's: it asks what caused what. What a person asks for is stopped by `active` and `budget` alone.
The rules make loops of our own impossible: what a training or its model brings about can be told only while the
training runs (`active`), or of the model that it made (`loop`). Of trainings each of which begins with a finding
about the model of the one before, the second begins `settle` after the first ended at the earliest, the third twice
`settle` after the second, and so on: in a time T there are no more than log2(T / settle + 1) + 1.
An incident whose trainings come to nothing has no more of them either: they are as far apart.
"""

from __future__ import annotations

from dataclasses import dataclass

from headrace.domain.pipeline import units
from headrace.domain.pipeline.retrain.spec import Retrain
from headrace.domain.retrain.history import TrainingHistory, next_month
from headrace.domain.retrain.trigger import HARM, PERSON, Trigger

MOST_DOUBLED = 20
"""A chain of so many waits longer than anybody watches: the doubling ends there, and numbers stay small."""


@dataclass(frozen=True, slots=True)
class IgnoreRule:
    """A rule that keeps a trigger from starting a training.

    Attributes:
        rule: its name.
        because: a sentence.
        until: milliseconds until when it holds, by the clock of the rules; None: no time ends it.
    """

    rule: str
    because: str
    until: int | None = None


def refusal(policy: Retrain, history: TrainingHistory, trigger: Trigger, now: int) -> IgnoreRule | None:
    """Why a trigger starts no training at `now`, by the clock of the rules (milliseconds); None: it does."""
    asked = trigger.source == PERSON
    found = None if asked else _none_at_all(policy, history, trigger, now)
    found = found or _beside(history, trigger, asked)
    found = found or (None if asked else _too_soon(policy, history, trigger, now))
    if found is None and policy.per_month is not None and history.used(now) >= policy.per_month:
        used = f"{history.used(now)} of {policy.per_month} trainings of this month have begun (retrain.per_month)"
        return IgnoreRule("budget", used, next_month(now))
    return found


def _none_at_all(policy: Retrain, history: TrainingHistory, trigger: Trigger, now: int) -> IgnoreRule | None:
    """The rules that say that there is nothing to answer."""
    if trigger.source not in policy.on:
        return IgnoreRule("off", f"{trigger.source} is not among retrain.on of the pipeline file")
    if policy.by_events and not now:
        return IgnoreRule("early", "no outcome has come yet: there is nothing to train on, and no event time to go by")
    if trigger.stream == "shadow-predictions":
        return IgnoreRule("dark", f"{trigger.model} answers nobody: it is scored in the dark")
    if trigger.stream == "dead-letters":
        return IgnoreRule("refused", "it is about records that were refused, which no model mends")
    if trigger.incident in history.incidents and (found := _had_its_own(policy, history, trigger, now)) is not None:
        return found
    last = history.last.get(trigger.source)
    if last is not None and now < last + policy.debounce:
        wait = units.duration(policy.debounce)
        return IgnoreRule(
            "debounce", f"another {trigger.source} was answered less than {wait} ago", last + policy.debounce
        )
    return None


def _had_its_own(policy: Retrain, history: TrainingHistory, trigger: Trigger, now: int) -> IgnoreRule | None:
    """An incident has one training, and another where that came to nothing while it harms."""
    runs = history.incidents[trigger.incident]
    run, told = runs[-1], f"incident {trigger.incident} has started training {runs[-1]}"
    end, why = history.runs[run].end, history.fruitless.get(run)
    if trigger.source != HARM or why is None or end is None:
        return IgnoreRule("incident", told)
    until = end + policy.settle * 2 ** min(len(runs) - 1, MOST_DOUBLED)
    return IgnoreRule("incident", f"{told}: {why}, and harm asks again after a while", until) if now < until else None


def _beside(history: TrainingHistory, trigger: Trigger, asked: bool) -> IgnoreRule | None:
    """One training at a time; what is found while one runs may be its own doing."""
    if history.active is not None:
        return IgnoreRule("active", f"training {history.active.run} runs")
    last = history.newest_run
    if not asked and last is not None and last.ended is not None and last.began <= trigger.time <= last.ended:
        return IgnoreRule("active", f"it was told while training {last.run} ran")
    return None


def _too_soon(policy: Retrain, history: TrainingHistory, trigger: Trigger, now: int) -> IgnoreRule | None:
    chain = history.chain(trigger)
    if chain:
        run, since = history.made[trigger.model]
        until = since + policy.settle * 2 ** min(chain - 1, MOST_DOUBLED)
        if now < until:
            return IgnoreRule("loop", f"training {run} made {trigger.model}, which has to settle first", until)
    last = history.newest_run
    if last is not None and last.end is not None and now < last.end + policy.cooldown:
        wait = units.duration(policy.cooldown)
        return IgnoreRule("cooldown", f"training {last.run} ended less than {wait} ago", last.end + policy.cooldown)
    return None
