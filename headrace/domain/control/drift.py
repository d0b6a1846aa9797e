"""What `drift` finds of incidents.

| type | said when |
|---|---|
| `drift_opened` | the evidence of a change reached the threshold, and no incident was open |
| `drift_grew` | so it did for further columns while one was |
| `drift_closed` | all columns of an incident are as before, or its models answer no more |
| `drift_harmed` | a model is proved worse than its reference by more than is tolerated since an incident opened |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from headrace.domain.control.base import ControlFinding


@dataclass(frozen=True, slots=True)
class DriftFinding(ControlFinding):
    """What is found of an incident.

    Attributes:
        incident: its identity.
        stream: logical topic whose rows tell of it: of predictions what models read and answer, of shadow-predictions
            what dark ones do, of outcomes how wrong they are, of dead-letters what is refused.
        reached: event time of it, milliseconds.
        began: event time at which it began, as far as the events that are remembered say; None: they do not.
        model: `name@version`; of the end, all of them; of refused records their topic and the reason.
        digest: the identity of its package; of the end, and of refused records, nothing.
        columns: JSON, a list of those that changed, or that are as before: of each its name, and of a change its share
            of the evidence, what won most, when it began, and the shares of its bins before and since.
    """

    incident: str = ""
    stream: str = ""
    reached: int = 0
    began: int | None = None
    model: str = ""
    digest: str = ""
    columns: str = "[]"


@dataclass(frozen=True, slots=True)
class DriftOpened(DriftFinding):
    """An incident began: `evidence` is over its threshold, 1."""

    type: ClassVar[str] = "drift_opened"

    evidence: float = 0.0


@dataclass(frozen=True, slots=True)
class DriftGrew(DriftFinding):
    """Further columns changed."""

    type: ClassVar[str] = "drift_grew"

    evidence: float = 0.0


@dataclass(frozen=True, slots=True)
class DriftClosed(DriftFinding):
    """It is over, `because` of what."""

    type: ClassVar[str] = "drift_closed"

    because: str = ""


@dataclass(frozen=True, slots=True)
class DriftHarmed(DriftFinding):
    """Since it opened, a model lost more than its reference and what is tolerated; once for each incident and basis.

    Attributes:
        basis: `labels`: by outcomes; `estimate`: by what its scores let expect, before labels come.
        evidence: over its threshold, 1.
        worse: mean loss over that of the reference.
        tolerated: the same of what is held to be no harm, with the bound for what the reference does not know.
        rows: outcomes, or predictions, since then.
        kind: `concept`, where the same scores stand for other chances than they did; `covariate`, where enough outcomes
            say that they do not; `unknown` before that.
    """

    type: ClassVar[str] = "drift_harmed"

    basis: str = ""
    evidence: float = 0.0
    worse: float = 0.0
    tolerated: float = 0.0
    rows: int = 0
    kind: str = ""


DRIFT_KINDS = (DriftOpened, DriftGrew, DriftClosed, DriftHarmed)
