"""How many matured events, and about how many days, a decision takes at today's traffic."""

from __future__ import annotations

import math
from dataclasses import dataclass

from headrace.domain.pipeline.release.spec import DAY, Release

FACTOR = 1.5
"""What bets take beyond the best fixed one of who knows the harm; measured are 0.85 to 1.4 (docs/evidence.md)."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """What is known before a candidate comes.

    Attributes:
        loss: mean loss of the champion at an event.
        deviation: of the difference of two models' losses at an event, or, where none was seen, of the champion's loss.
        events_a_day: that mature.
        matures_after: milliseconds until an event's label is final.
    """

    loss: float
    deviation: float
    events_a_day: float
    matures_after: int = 0


@dataclass(frozen=True, slots=True)
class DecisionForecast:
    """When a release decides.

    Attributes:
        events: matured ones, about; None: never, as nothing stands out.
        days: from the start to the decision, labels included; None with `events`, and where no event matures.
        growth: what an event adds to the logarithm of the evidence, about.
        needed: the logarithm of the evidence that is needed.
    """

    events: int | None
    days: float | None
    growth: float
    needed: float


def time_to_roll_back(rules: Release, traffic: Traffic, harm: float, baselines: int = 1) -> DecisionForecast:
    """Of a candidate that loses `harm` more than its champion in the mean: when it is put back.

    The margin is tolerated, so evidence comes from what is beyond it alone.

    >>> time_to_roll_back(Release(), Traffic(0.02, 0.03, 2_000, 7 * DAY), 0.004).events
    1198
    """
    return _forecast(math.log(baselines / rules.alpha), harm - _margin(rules, traffic), rules, traffic, 0)


def time_to_advance(rules: Release, traffic: Traffic, harm: float = 0.0) -> DecisionForecast:
    """Of a candidate that loses `harm` more than its champion, 0: as much: when evidence lets it go on.

    The minimum and the time in the dark count as well.
    """
    return _forecast(-math.log(rules.alpha_advance), _margin(rules, traffic) - harm, rules, traffic, rules.minimum)


def time_to_champion(rules: Release, traffic: Traffic, harm: float = 0.0) -> float | None:
    """Days from the start until it is champion, all shares passed; None where evidence does not let it go on.

    A share lasts until `each` of what it answered is mature.
    """
    found = time_to_advance(rules, traffic, harm)
    if found.days is None:
        return None
    dark = max(found.days, max(rules.shadow, rules.each) / DAY + traffic.matures_after / DAY)
    share = (rules.each + traffic.matures_after) / DAY if rules.each else 0.0
    return dark + (len(rules.canary) - 1) * share


def _forecast(needed: float, mean: float, rules: Release, traffic: Traffic, least: int) -> DecisionForecast:
    square = traffic.deviation**2 + mean**2
    growth = mean**2 / (2 * square) if mean > 0 and square > 0 else 0.0
    if growth <= 0:
        return DecisionForecast(None, None, 0.0, needed)
    events = max(math.ceil(FACTOR * needed / growth), least)
    days = None
    if traffic.events_a_day > 0:
        days = events / traffic.events_a_day + traffic.matures_after / DAY
    return DecisionForecast(events, days, growth, needed)


def _margin(rules: Release, traffic: Traffic) -> float:
    return rules.margin_share * traffic.loss + rules.margin_offset
