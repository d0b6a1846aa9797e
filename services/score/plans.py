"""What scores what: the latest plan of a pipeline, as its facts tell it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from services.kit.errors import InvalidRecord

CHAMPION = "champion"

kernels: Any = pc  # its stubs know too few of the overloads


@dataclass(frozen=True, slots=True)
class Arm:
    """One model's part in a plan.

    Attributes:
        arm: `champion`, whose answer is published; other arms are named in the plan and not yet played.
        model, version, digest, uri: the package, by name and by identity, and where it lies.
        share: of the entities, 0 to 1.
    """

    arm: str
    model: str
    version: str
    digest: str
    uri: str
    share: float


@dataclass(frozen=True, slots=True)
class Plan:
    """One fact of the plans topic.

    Attributes:
        pipeline: whose plan it is.
        version: counts up; the highest known one holds, whatever order facts arrive in.
        arms: every model that has a part, the champion among them.
    """

    pipeline: str
    version: int
    arms: tuple[Arm, ...]

    @property
    def champion(self) -> Arm:
        """The arm whose answer is published."""
        return next(arm for arm in self.arms if arm.arm == CHAMPION)


def latest(facts: pa.RecordBatch, pipeline: str, known: int = 0) -> tuple[Plan | None, list[InvalidRecord]]:
    """The newest plan of this pipeline among the facts when it is newer than the known version, and what is no plan.

    A fact that makes no plan (it has no champion, or two) does not hold the others up.
    """
    newer = kernels.and_(kernels.equal(facts["pipeline"], pipeline), kernels.greater(facts["plan_version"], known))
    rows: list[dict[str, Any]] = facts.filter(newer).select(["pipeline", "plan_version", "arms"]).to_pylist()
    plans, faults = [], []
    for row in rows:
        try:
            plans.append(_plan(row))
        except InvalidRecord as fault:
            faults.append(fault)
    return max(plans, key=lambda plan: plan.version, default=None), faults


def _plan(row: dict[str, Any]) -> Plan:
    version = int(row["plan_version"])
    arms = tuple(Arm(a["arm"], a["model"], a["version"], a["digest"], a["uri"], float(a["share"])) for a in row["arms"])
    names = [arm.arm for arm in arms]
    if names.count(CHAMPION) != 1:
        raise InvalidRecord("no_champion", f"plan {version} has {names.count(CHAMPION)} champions, it needs one")
    return Plan(row["pipeline"], version, arms)
