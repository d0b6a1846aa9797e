"""What is known of a pipeline's releases: frozen values, of which `machine.decide` makes the next ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from headrace.domain.plans.plans import Arm, Plan


class Stage(StrEnum):
    """What a release is."""

    REGISTERED = "registered"
    EVALUATED = "evaluated"
    SHADOW = "shadow"
    CANARY = "canary"
    INCONCLUSIVE = "inconclusive"
    GUARDED = "guarded"
    SETTLED = "settled"
    REJECTED = "rejected"
    ROLLED_BACK = "rolled_back"
    SUPERSEDED = "superseded"
    WITHDRAWN = "withdrawn"


_ENDED = frozenset({Stage.SETTLED, Stage.REJECTED, Stage.ROLLED_BACK, Stage.SUPERSEDED, Stage.WITHDRAWN})
_LET_IN = frozenset({Stage.CANARY, Stage.INCONCLUSIVE, Stage.GUARDED})
_OUT = frozenset({Stage.ROLLED_BACK, Stage.SUPERSEDED, Stage.WITHDRAWN})
LEGAL: Mapping[Stage, frozenset[Stage]] = {
    Stage.REGISTERED: frozenset({Stage.EVALUATED, Stage.REJECTED, Stage.SUPERSEDED, Stage.WITHDRAWN}),
    Stage.EVALUATED: frozenset({Stage.SHADOW, Stage.REJECTED, Stage.SUPERSEDED, Stage.WITHDRAWN}),
    Stage.SHADOW: _LET_IN | _OUT,
    Stage.CANARY: _LET_IN | _OUT,
    Stage.INCONCLUSIVE: frozenset({Stage.CANARY, Stage.GUARDED}) | _OUT,
    Stage.GUARDED: frozenset({Stage.SETTLED}) | _OUT,
    **dict.fromkeys(_ENDED, frozenset()),
}
"""From each stage, those that may follow; none follows an end. Another share of a canary is a canary again."""
ACTIVE = frozenset({Stage.SHADOW, Stage.CANARY, Stage.INCONCLUSIVE, Stage.GUARDED})
"""Stages in which a release has arms in the plan; one release at most is in any of them."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A package that asks to be let in.

    Attributes:
        model, version, digest, uri: by name and by identity, and where it lies.
        asked_by: the person who asked for its training or registered it; empty: none did.
    """

    model: str
    version: str
    digest: str
    uri: str
    asked_by: str = ""

    @property
    def title(self) -> str:
        """`name@version`."""
        return f"{self.model}@{self.version}"

    def arm(self, arm: str, share: float = 1.0) -> Arm:
        """Its part in a plan."""
        return Arm(arm, self.model, self.version, self.digest, self.uri, share)


@dataclass(frozen=True, slots=True)
class ModelRelease:
    """One attempt to let one model in.

    Attributes:
        number: counts the pipeline's releases.
        candidate: whose it is.
        stage: what it is.
        unknown: gates that its last evaluation could not tell; a person may decide over these.
        approvals: who approved.
        held: who stopped the machines; empty: nobody.
        queued: why it waits for its turn, as last said.
        warned: kinds of decisions that a hold kept from being made, as said.
        broken: what it broke at while somebody held it; empty: nothing.
        plan: version of the plan from which on it is there: as it came, then as it started. 0: before any.
        alpha: of the year's false roll-backs; what it was given when it started.
        margin_share, margin_offset: what it was given then.
        champion: what answered when it started; None before.
        approved: the last model that a person approved, where that is another; it is a second baseline.
        added: arms of the plan that are there for its sake, as (arm, digest).
        share: of the entities that it answers; 0 in the dark.
        since: stream time at which the stage, or the share, began.
        began: stream time of its first pair of scores, or of its start before there is one.
        events: matured events with both scores.
        harm, safety: logarithms of the evidence now, by baseline.
        most_harm, most_safety: the largest ones so far, by baseline: what was once reached stays reached.
    """

    number: int
    candidate: Candidate
    stage: Stage = Stage.REGISTERED
    unknown: tuple[str, ...] = ()
    approvals: tuple[str, ...] = ()
    held: str = ""
    queued: str = ""
    warned: tuple[str, ...] = ()
    broken: str = ""
    plan: int = 0
    alpha: float = 0.0
    margin_share: float = 0.0
    margin_offset: float = 0.0
    champion: Arm | None = None
    approved: Arm | None = None
    added: tuple[tuple[str, str], ...] = ()
    share: float = 0.0
    since: int = 0
    began: int = 0
    events: int = 0
    harm: tuple[float, ...] = ()
    safety: tuple[float, ...] = ()
    most_harm: tuple[float, ...] = ()
    most_safety: tuple[float, ...] = ()

    @property
    def identity(self) -> str:
        """Tells it from every other release of the pipeline, also of the same model.

        >>> ModelRelease(3, Candidate("m", "2", "abcdef0123456789", "")).identity
        '3-abcdef012345'
        """
        return f"{self.number}-{self.candidate.digest[:12]}"

    @property
    def active(self) -> bool:
        """Whether it has arms in the plan."""
        return self.stage in ACTIVE

    @property
    def ended(self) -> bool:
        """Whether nothing can become of it any more."""
        return not LEGAL[self.stage]

    @property
    def waits(self) -> bool:
        """Whether it has not started."""
        return self.stage in (Stage.REGISTERED, Stage.EVALUATED)

    @property
    def baselines(self) -> tuple[Arm, ...]:
        """What it is held against: the champion, and the last model that a person approved where that is another."""
        return tuple(arm for arm in (self.champion, self.approved) if arm is not None)

    def moved(self, stage: Stage, **changes: object) -> ModelRelease:
        """It, in another stage.

        Raises:
            ValueError: no release goes that way.
        """
        if stage not in LEGAL[self.stage]:
            raise ValueError(f"{self.candidate.title} is {self.stage}, from which nothing becomes {stage}")
        return replace(self, stage=stage, **changes)  # type: ignore[arg-type]  # fields of its own


@dataclass(frozen=True, slots=True)
class Spending:
    """`alpha` of the year's false roll-backs, given to the release of a number at a stream time."""

    at: int
    alpha: float
    number: int


@dataclass(frozen=True, slots=True)
class ReleaseState:
    """All that is known of a pipeline's releases.

    Attributes:
        clock: stream time, milliseconds: how far matured events have come; 0 before it is known.
        plan: the newest one, our own change included as soon as it is decided; None before the first.
        approved: the last champion that a person approved, by a release or by a plan of their own.
        releases: those that have not ended, and the last `KEPT` of those that have, by number.
        numbers: how many there were.
        spent: what was given to releases within a year.
        handled: identities of the last events that were answered: a repeat is known by them.
    """

    pipeline: str
    clock: int = 0
    plan: Plan | None = None
    approved: Arm | None = None
    releases: tuple[ModelRelease, ...] = ()
    numbers: int = 0
    spent: tuple[Spending, ...] = ()
    handled: tuple[str, ...] = ()

    @property
    def active(self) -> ModelRelease | None:
        """The release that has arms in the plan."""
        return next((each for each in self.releases if each.active), None)

    def of_digest(self, digest: str) -> ModelRelease | None:
        """The last release of a package."""
        return next((each for each in reversed(self.releases) if each.candidate.digest == digest), None)

    def at(self, clock: int) -> ReleaseState:
        """The state when stream time has come so far; it never goes back.

        What began before stream time was known is taken to have begun where it begins.
        """
        if self.clock or not clock:
            return replace(self, clock=max(self.clock, clock))
        releases = tuple(
            replace(each, since=each.since or clock, began=each.began or clock) if each.active else each
            for each in self.releases
        )
        spent = tuple(replace(each, at=each.at or clock) for each in self.spent)
        return replace(self, clock=clock, releases=releases, spent=spent)

    def with_release(self, release: ModelRelease) -> ReleaseState:
        """The state with a release anew."""
        kept = tuple(release if each.number == release.number else each for each in self.releases)
        return replace(self, releases=kept)
