"""What people ask of releases, and what `release` decides.

Asked by people, whose name is the record's actor:

| type | asks |
|---|---|
| `approval_given` | that a model be let in, as far as the person is concerned |
| `approval_denied` | that it be not |
| `promotion_asked` | that it go on by one step, or become champion, without waiting for evidence |
| `rollback_asked` | that it be put back |
| `hold_asked` | that no machine moves it, or that they may again |

Answered and decided by the service; the record's cause is the event that led to it:

| type | said when |
|---|---|
| `approval_requested` | gates are passed and people have to approve; again after each approval while more are needed |
| `release_queued` | a model is ready and waits for its turn |
| `release_started` | it is scored in the dark beside the champion |
| `release_advanced` | it answers its share of the entities |
| `release_promoted` | it is the champion, guarded |
| `release_settled` | the guard is over |
| `release_rolled_back` | it is put back, by evidence, a breaker or a person |
| `release_rejected` | a gate failed, or a person denied it |
| `release_inconclusive` | evidence did not decide by the deadline, or a gate is not known: a person has to |
| `release_superseded` | another model took its place |
| `release_withdrawn` | somebody took it out of the plan by hand |
| `release_rebased` | somebody changed other arms of the plan; the release goes on upon the new one |
| `release_held` | a person stopped the machines, or let them go on |
| `release_warned` | what a machine would have done had no person stopped it |
| `release_refused` | a person's request cannot be met |
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from headrace.domain.control.base import ControlFinding, Offsets


@dataclass(frozen=True, slots=True)
class ReleaseRequest(ControlFinding):
    """What a person asks of a model's release.

    Attributes:
        model: its title, `name@version`.
        digest: the identity of its package.
        reason: why, in a sentence.
    """

    model: str = ""
    digest: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ApprovalGiven(ReleaseRequest):
    """The person approves."""

    type: ClassVar[str] = "approval_given"


@dataclass(frozen=True, slots=True)
class ApprovalDenied(ReleaseRequest):
    """The person does not."""

    type: ClassVar[str] = "approval_denied"


@dataclass(frozen=True, slots=True)
class PromotionAsked(ReleaseRequest):
    """Go on without waiting for evidence; `to`: `next` step, or `champion`."""

    type: ClassVar[str] = "promotion_asked"

    to: str = "next"


@dataclass(frozen=True, slots=True)
class RollbackAsked(ReleaseRequest):
    """Put it back."""

    type: ClassVar[str] = "rollback_asked"


@dataclass(frozen=True, slots=True)
class HoldAsked(ReleaseRequest):
    """Stop the machines; `lift`: 1 lets them go on."""

    type: ClassVar[str] = "hold_asked"

    lift: int = 0


REQUEST_KINDS = (ApprovalGiven, ApprovalDenied, PromotionAsked, RollbackAsked, HoldAsked)


@dataclass(frozen=True, slots=True)
class ReleaseFinding(ControlFinding):
    """What is decided of a model's release, and on what.

    Attributes:
        release: its identity: a model that comes again has another.
        model: its title, `name@version`.
        digest: the identity of its package.
        stage: what it is now.
        was: what it was before.
        rule: which rule decided.
        why: the same in a sentence, with figures.
        person, reason: who asked for it and why; empty where a machine decided.
        at: stream time, milliseconds: of the matured event that decided, or how far stream time had come.
        events: matured events with both scores so far.
        log_harm, log_safety: logarithms of the evidence, of harm the largest and of safety the smallest over the
            baselines; None before any.
        harm_needed, safety_needed: what they are held against: log(1 / alpha).
        plan: version of the plan that the decision makes; None where it makes none.
        offsets: of outcomes, up to where they were read for what decided; empty where that was no outcome.
    """

    release: str = ""
    model: str = ""
    digest: str = ""
    stage: str = ""
    was: str = ""
    rule: str = ""
    why: str = ""
    person: str = ""
    reason: str = ""
    at: int = 0
    events: int = 0
    log_harm: float | None = None
    log_safety: float | None = None
    harm_needed: float | None = None
    safety_needed: float | None = None
    plan: int | None = None
    offsets: Offsets = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ApprovalRequested(ReleaseFinding):
    """People have to approve: `missing` more, none of whom is in `approved` (JSON, a list of names)."""

    type: ClassVar[str] = "approval_requested"

    missing: int = 0
    approved: str = "[]"


@dataclass(frozen=True, slots=True)
class ReleaseQueued(ReleaseFinding):
    """Ready, and waits."""

    type: ClassVar[str] = "release_queued"


@dataclass(frozen=True, slots=True)
class ReleaseStarted(ReleaseFinding):
    """In the dark, against `champion` and `approved` (digests), with `alpha` of the year's (six digits)."""

    type: ClassVar[str] = "release_started"

    champion: str = ""
    approved: str = ""
    alpha: str = ""


@dataclass(frozen=True, slots=True)
class ReleaseAdvanced(ReleaseFinding):
    """It answers `share` of the entities, such as 5%."""

    type: ClassVar[str] = "release_advanced"

    share: str = ""


@dataclass(frozen=True, slots=True)
class ReleasePromoted(ReleaseFinding):
    """Champion instead of `champion` (a digest), which goes on in the dark."""

    type: ClassVar[str] = "release_promoted"

    champion: str = ""


@dataclass(frozen=True, slots=True)
class ReleaseSettled(ReleaseFinding):
    """The guard is over."""

    type: ClassVar[str] = "release_settled"


@dataclass(frozen=True, slots=True)
class ReleaseRolledBack(ReleaseFinding):
    """Put back; `champion` (a digest) answers."""

    type: ClassVar[str] = "release_rolled_back"

    champion: str = ""


@dataclass(frozen=True, slots=True)
class ReleaseRejected(ReleaseFinding):
    """Never let in; `gates`: JSON, those that decided."""

    type: ClassVar[str] = "release_rejected"

    gates: str = "[]"


@dataclass(frozen=True, slots=True)
class ReleaseInconclusive(ReleaseFinding):
    """A person has to decide; `gates`: JSON, those that are not known."""

    type: ClassVar[str] = "release_inconclusive"

    gates: str = "[]"


@dataclass(frozen=True, slots=True)
class ReleaseSuperseded(ReleaseFinding):
    """Another, `by` (a digest), took its place."""

    type: ClassVar[str] = "release_superseded"

    by: str = ""


@dataclass(frozen=True, slots=True)
class ReleaseWithdrawn(ReleaseFinding):
    """Taken out of the plan by hand."""

    type: ClassVar[str] = "release_withdrawn"


@dataclass(frozen=True, slots=True)
class ReleaseRebased(ReleaseFinding):
    """It goes on upon a plan that somebody changed."""

    type: ClassVar[str] = "release_rebased"


@dataclass(frozen=True, slots=True)
class ReleaseHeld(ReleaseFinding):
    """Machines are stopped (`held` 1), or go on (0)."""

    type: ClassVar[str] = "release_held"

    held: int = 0


@dataclass(frozen=True, slots=True)
class ReleaseWarned(ReleaseFinding):
    """What would have been decided, of kind `instead`, had nobody stopped the machines."""

    type: ClassVar[str] = "release_warned"

    instead: str = ""


@dataclass(frozen=True, slots=True)
class ReleaseRefused(ReleaseFinding):
    """A request of kind `asked` cannot be met."""

    type: ClassVar[str] = "release_refused"

    asked: str = ""


DECISION_KINDS = (
    ApprovalRequested, ReleaseQueued, ReleaseStarted, ReleaseAdvanced, ReleasePromoted, ReleaseSettled,
    ReleaseRolledBack, ReleaseRejected, ReleaseInconclusive, ReleaseSuperseded, ReleaseWithdrawn, ReleaseRebased,
    ReleaseHeld, ReleaseWarned, ReleaseRefused,
)  # fmt: skip  # in the order of the table
RELEASE_KINDS = (*REQUEST_KINDS, *DECISION_KINDS)
