"""The model of a replay: a package of the store, or what a plan makes of several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from headrace.domain.models.store import Stored
from headrace.domain.plans.plan_log import PlanFact, newest
from headrace.domain.plans.plans import CANARY, CHALLENGER, CHAMPION, REPLAY, SHADOW, Arm
from headrace.errors import ConfigurationError
from headrace.operations.plan_changes.lookup import choose

PARTS = (CHAMPION, CANARY, CHALLENGER, SHADOW)


def replayed_arm(text: str, packages: Sequence[Stored], facts: Sequence[PlanFact]) -> Arm:
    """The arm that a text means, as the part `replay`.

    It may be a part of the newest plan that one model plays (`champion`), the `NAME@VERSION` of an ensemble that a plan
    of the topic names, the newest such plan's, or a package as `lookup.choose` takes it. Where the newest plan says a
    threshold for a package, that one holds.

    Raises:
        ConfigurationError: it means none, or several.
    """
    held = newest(facts)
    playing = held.plan.arms if held is not None and held.plan is not None else ()
    if text in PARTS:
        arms = [arm for arm in playing if arm.arm == text]
        if len(arms) != 1:
            told = ", ".join(arm.title for arm in arms) or "nobody"
            raise ConfigurationError(f"--model {text}: {told} plays it in the newest plan; name a model of the store")
        return _played(arms[0])
    plans = sorted((fact for fact in facts if fact.plan is not None), key=lambda fact: fact.version, reverse=True)
    every = (arm for fact in plans if fact.plan is not None for arm in fact.plan.arms)
    ensemble = next((arm for arm in every if arm.members and arm.title == text), None)
    if ensemble is not None:
        return _played(ensemble)
    stored = choose(packages, text)
    threshold = next((arm.threshold for arm in playing if arm.digest == stored.digest), None)
    return Arm(REPLAY, stored.name, stored.version, stored.digest, stored.uri, threshold=threshold)


def _played(arm: Arm) -> Arm:
    return replace(arm, arm=REPLAY, share=1.0, priority=0)
