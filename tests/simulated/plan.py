"""What a seed stands for: how large the world is, what may go wrong in it, and how often."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from random import Random

AT_CALLS = ("kill", "freeze", "twin", "cut", "rebalance", "abort", "hang")
"""Faults that strike a member at a call that it makes."""
AT_TURNS = ("stop", "clock", "empty", "slow", "compact", "expire", "grow", "lose")
"""Faults that happen between calls: a member is told to drain, clocks are set, a store has nothing or answers late,
retention takes what was answered, or (lose) what was not, the input grows by a partition.
"""
MEETINGS, DECISIONS = 0.2, 0.1
TWICE = ("tally", "score", "shadow", "enrich", "scorecards", "drift")
"""Scenes that may be of at_least_once: what a service sends itself comes twice then, which others do not tell apart."""
SELDOM = {"lose": 0.04, "grow": 0.15}
OF_PRODUCT = {"lose": 0.04, "grow": 0.4}
"""How many schedules may have these. Those that lose input cannot be held to answer all of it."""
PROTOCOLS = ("classic", "consumer")
VARIANTS: Mapping[str, Mapping[str, float]] = {
    "labels": {"bursts": 0.3},
    "scorecards": {"segments": 0.4, "samples": 0.3},
    "drift": {"idle": 0.4, "accepted": 0.4, "bursts": 0.4},
    "release": {"bursts": 0.3},
    "handover": {"backfill": 0.4, "labels": 0.3, "shared": 0.3},
    "views": {"growth": 0.3, "backfill": 0.4, "labels": 0.3},
}
"""By scene, what its pipeline or its publishers may have beside all else, and how many schedules do."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One schedule.

    Attributes:
        scene: which service they are of.
        members: how many processes of the service there are.
        partitions: of the input.
        events: how many are published.
        turns: how many turns the scheduler takes before faults end.
        overtaking: how likely others go on in the middle of a member's call.
        rates: how likely each fault is, at each call or turn.
        kept: of the faults that the seed has, those that happen, by their numbers; None: all.
        variants: see `VARIANTS`.
    """

    seed: int
    members: int
    partitions: int
    events: int
    turns: int
    scene: str
    mode: str
    protocol: str
    batch_rows: int
    commit_ms: float
    checkpoint_rows: int
    overtaking: float
    rates: dict[str, float] = field(default_factory=dict)
    kept: frozenset[int] | None = None
    variants: frozenset[str] = frozenset()

    def only(self, kept: frozenset[int]) -> Plan:
        """The same with no faults but these."""
        return replace(self, kept=kept)


def _variants(scene: str, seed: int) -> frozenset[str]:
    draw = Random(f"kind {seed}")
    return frozenset(name for name, share in VARIANTS.get(scene, {}).items() if draw.random() < share)


def plan_of(seed: int, protocols: tuple[str, ...] = PROTOCOLS, product: str = "") -> Plan:
    """The schedule of a seed. Each has faults of its own choice, so that rare ones are not drowned by frequent ones.

    `product`: the scene of the product's that it is of; those that are small are drawn otherwise.
    """
    draw = Random(f"plan {product} {seed}" if product else f"plan {seed}")
    rates, seldom = {}, OF_PRODUCT if product else SELDOM
    for fault in AT_CALLS + AT_TURNS:
        if draw.random() < seldom.get(fault, 0.45):
            rates[fault] = 10 ** draw.uniform(-3.0, -1.5) if fault in AT_CALLS else 10 ** draw.uniform(-2.0, -0.9)
    if draw.random() < 0.03:
        rates = {}
    drawn = draw.random()
    scene = product or ("meeting" if drawn < MEETINGS else "decision" if drawn > 1 - DECISIONS else "tally")
    once = scene not in TWICE or draw.random() < 0.75
    return Plan(
        seed,
        members=draw.choice((1, 2, 2, 3)),
        partitions=draw.choice((1, 2, 2, 3)),
        events=draw.randint(4, 24),
        turns=draw.randint(20, 90),
        scene=scene,
        mode="exactly_once" if once else "at_least_once",
        protocol=draw.choice(protocols),
        batch_rows=draw.choice((1, 2, 5, 50)),
        commit_ms=draw.choice((1.0, 20.0, 100.0)),
        checkpoint_rows=draw.choice((1, 3, 1_000)),
        overtaking=draw.choice((0.0, 0.02, 0.1)),
        rates=rates,
        variants=_variants(scene, seed),
    )
