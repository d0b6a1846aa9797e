"""The policy of trainings written again, slowly and from the page: it keeps nothing but what happened, and looks it all
through for every answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from headrace.domain.pipeline.retrain.spec import Retrain


@dataclass(frozen=True)
class Asked:
    """A trigger: who, when, about what."""

    name: str
    source: str
    time: int
    model: str = ""
    stream: str = ""
    incident: str = ""


@dataclass(frozen=True)
class Answered:
    """An answer: to which trigger, when, by which rule; "" for a training."""

    asked: Asked
    time: int
    rule: str


@dataclass(frozen=True)
class Ended:
    """The training of a trigger ended, and made a model or none."""

    asked: Asked
    time: int
    model: str = ""


@dataclass(frozen=True)
class Undone:
    """The model of a training was rejected or put back."""

    model: str


Past = Sequence[Answered | Ended | Undone]


def rule_of(policy: Retrain, past: Past, asked: Asked, now: int) -> tuple[str, int | None]:
    """(the first rule that holds, until when); ("", None) for a training."""
    starts = [each for each in past if isinstance(each, Answered) and each.rule == ""]
    ends = [each for each in past if isinstance(each, Ended)]
    over = {end.asked.name for end in ends}
    if asked.source != "person":
        if asked.source not in policy.on:
            return "off", None
        if asked.stream == "shadow-predictions":
            return "dark", None
        if asked.stream == "dead-letters":
            return "refused", None
        own = [start.asked for start in starts if start.asked.incident == asked.incident != ""]
        if own:
            end = next((end for end in ends if end.asked == own[-1]), None)
            if asked.source != "harm" or end is None or not came_to_nothing(past, end):
                return "incident", None
            until = end.time + policy.settle * 2 ** (len(own) - 1)
            if now < until:
                return "incident", until
        answers = [each for each in past if isinstance(each, Answered) and each.asked.source == asked.source]
        heard = [each.time for each in answers if each.rule in ("", "active", "loop", "cooldown", "budget")]
        if heard and now - heard[-1] < policy.debounce:
            return "debounce", heard[-1] + policy.debounce
    if any(start.asked.name not in over for start in starts):
        return "active", None
    if asked.source != "person" and starts:
        ended = next(end.time for end in ends if end.asked == starts[-1].asked)
        if starts[-1].time <= asked.time <= ended:
            return "active", None
        makers = [end for end in ends if end.model == asked.model != ""]
        if makers:
            until = makers[0].time + policy.settle * 2 ** (row(past, makers[0].asked) - 1)
            if now < until:
                return "loop", until
        if now - ended < policy.cooldown:
            return "cooldown", ended + policy.cooldown
    this = months(now)
    if policy.per_month is not None and sum(months(start.time) == this for start in starts) >= policy.per_month:
        until = now
        while months(until) == this:  # To the next day, again and again.
            until = until // 86_400_000 * 86_400_000 + 86_400_000
        return "budget", until
    return "", None


def came_to_nothing(past: Past, end: Ended) -> bool:
    """Whether a training failed, or what it made was sent away."""
    return not end.model or Undone(end.model) in past


def row(past: Past, asked: Asked) -> int:
    """How many trainings in a row there were, up to that of `asked`: one, and those that led to it."""
    makers = [each for each in past if isinstance(each, Ended) and each.model == asked.model != ""]
    return 1 + (row(past, makers[0].asked) if makers else 0)


def months(time: int) -> str:
    """The month of a time."""
    return datetime.fromtimestamp(time / 1000, UTC).strftime("%Y-%m")
