"""What a member of `score` says of an arm that answers.

| type | said when |
|---|---|
| `arm_breached` | it gave no usable score where one was due; once per breaker, plan and life of a member |

| breaker | what happened |
|---|---|
| `non_finite_score` | a canary gave no finite score for rows for which the champion gives one |
| `does_not_run` | a canary's model failed, or gave an answer of another shape |
| `out_of_memory` | it found no memory |
| `latency` | it took longer for batches than the pipeline's target, and the champion did not for the same rows |
| `error_rate` | its scores are outside 0 and 1 for more of its entities than the champion's for its own |
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from headrace.domain.control.base import ControlFinding, Offsets

NON_FINITE, DOES_NOT_RUN, OUT_OF_MEMORY = "non_finite_score", "does_not_run", "out_of_memory"
LATENCY, ERROR_RATE = "latency", "error_rate"


@dataclass(frozen=True, slots=True)
class ArmBreached(ControlFinding):
    """An arm broke at what needs no statistics.

    Attributes:
        model: its title, `name@version`.
        arm: `canary`.
        digest: the identity of its package.
        plan_version: of the plan that names it.
        member: who says so.
        breaker: see above.
        detail: what happened.
        rows: how many rows of the batch.
        offsets: of the features topic, where the first of them are.
    """

    type: ClassVar[str] = "arm_breached"

    model: str = ""
    arm: str = ""
    digest: str = ""
    plan_version: int = 0
    member: str = ""
    breaker: str = ""
    detail: str = ""
    rows: int = 0
    offsets: Offsets = field(default_factory=dict)


BREACH_KINDS = (ArmBreached,)
