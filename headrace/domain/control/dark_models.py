"""What a member of `shadow` says of its dark models.

| type | said when |
|---|---|
| `model_shed` | a model is left out to catch up, or a partition comes while it is out |
| `model_restored` | it is scored again |
| `model_failed` | it does not load or does not run; a partition comes while it is out |
| `model_recovered` | it does after all |
| `model_unanswered` | its first rows without a finite score under a plan |
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from headrace.domain.control.base import ControlFinding, Offsets


@dataclass(frozen=True, slots=True)
class DarkModelFinding(ControlFinding):
    """What is found of a dark model.

    Attributes:
        model: its title, `name@version`.
        arm: `challenger` or `shadow`.
        digest: the identity of its package.
        plan_version: of the plan that names it.
        member: who says so.
        offsets: of the features topic, from where on. A gap that began there ends at the offset of the next restored
            or recovered event for the partition, or where another member, or a new life of this one, takes over.
    """

    model: str = ""
    arm: str = ""
    digest: str = ""
    plan_version: int = 0
    member: str = ""
    offsets: Offsets = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ModelShed(DarkModelFinding):
    """It is left out: `lag_s` behind, beyond `bound_s`; or it was, when a partition came (`problem`)."""

    type: ClassVar[str] = "model_shed"

    lag_s: float | None = None
    bound_s: float | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class ModelRestored(DarkModelFinding):
    """It is scored again, `lag_s` behind."""

    type: ClassVar[str] = "model_restored"

    lag_s: float | None = None
    bound_s: float | None = None


@dataclass(frozen=True, slots=True)
class ModelFailed(DarkModelFinding):
    """It does not load, or does not run."""

    type: ClassVar[str] = "model_failed"

    problem: str = ""


@dataclass(frozen=True, slots=True)
class ModelRecovered(DarkModelFinding):
    """It loads after all."""

    type: ClassVar[str] = "model_recovered"


@dataclass(frozen=True, slots=True)
class ModelUnanswered(DarkModelFinding):
    """Its first `rows` without a finite score under a plan."""

    type: ClassVar[str] = "model_unanswered"

    rows: int = 0


DARK_KINDS = (ModelShed, ModelRestored, ModelFailed, ModelRecovered, ModelUnanswered)
