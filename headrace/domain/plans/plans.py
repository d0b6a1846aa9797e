"""What scores what: the latest plan of a pipeline, as its facts tell it.

A plan as a whole holds or does not (it needs one champion, and one canary at most); whether a single arm can be played
shows when it is opened, so that a broken dark model is nobody else's trouble.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from headrace.errors import InvalidRecord
from headrace.streaming.watermarks.event_time import EARLIEST, LATEST

CHAMPION, CANARY, CHALLENGER, SHADOW = "champion", "canary", "challenger", "shadow"
DARK = (CHALLENGER, SHADOW)
REPLAY = "replay"
"""The arm of predictions that were made again, or of models that had no part then: no plan names it."""
SINGLE = "single"

MOST_VERSION = 10**12
"""Of plans: one a millisecond for thirty years. What claims a higher one would shut out all that come after it."""

kernels: Any = pc  # its stubs know too few of the overloads


@dataclass(frozen=True, slots=True)
class EnsembleMember:
    """One model of an ensemble.

    Attributes:
        model, version, digest, uri: the package, by name and by identity, and where it lies.
        weight: its part in a weighted mean.
    """

    model: str
    version: str
    digest: str
    uri: str
    weight: float = 1.0

    @property
    def title(self) -> str:
        """`name@version`, for people and logs; the digest is the identity."""
        return f"{self.model}@{self.version}"


@dataclass(frozen=True, slots=True)
class Arm:
    """One model's part in a plan.

    Attributes:
        arm: `champion` and `canary` answer, `challenger` and `shadow` are scored in the dark.
        model, version, digest, uri: the package, by name and by identity, and where it lies. The mean of an ensemble
            has no package: its uri is empty, its digest is `ensembles.digest_of`.
        share: of the entities, 0 to 1; what a canary answers.
        priority: dark models of a higher one are kept longer when some must go.
        threshold: a score at or above it is a positive decision; None: what the package says.
        combination: `single`, or how the scores of `members` make this arm's (`ensembles`).
        members: the models of an ensemble, in order.
    """

    arm: str
    model: str
    version: str
    digest: str
    uri: str
    share: float = 1.0
    priority: int = 0
    threshold: float | None = None
    combination: str = SINGLE
    members: tuple[EnsembleMember, ...] = ()

    @property
    def title(self) -> str:
        """`name@version`, for people and logs; the digest is the identity."""
        return f"{self.model}@{self.version}"

    @property
    def place(self) -> str:
        """`name@version/arm`: the end of the ids of its predictions, so unique among the arms that are played."""
        return f"{self.title}/{self.arm}"


@dataclass(frozen=True, slots=True)
class Plan:
    """One fact of the plans topic.

    Attributes:
        pipeline: whose plan it is.
        version: counts up; the highest known one holds, whatever order facts arrive in.
        arms: every model that has a part, the champion among them.
        salt: shuffles which entities a canary answers; the same salt keeps every entity with its arm.
    """

    pipeline: str
    version: int
    arms: tuple[Arm, ...]
    salt: str = ""

    @property
    def champion(self) -> Arm:
        """The arm whose answer is published."""
        return next(arm for arm in self.arms if arm.arm == CHAMPION)

    @property
    def canary(self) -> Arm | None:
        """The arm that answers its share of the entities instead of the champion."""
        return next((arm for arm in self.arms if arm.arm == CANARY), None)

    @property
    def dark(self) -> tuple[Arm, ...]:
        """Challengers and shadows: scored on the same events, never published."""
        return tuple(arm for arm in self.arms if arm.arm in DARK)

    def fact(self, time: int, actor: str, reason: str) -> dict[str, Any]:
        """The plan as a record of the plans topic (`schemas/plan.avsc`).

        Args:
            time: when it was decided, milliseconds since the epoch.
            actor: who decided: a person or a service.
            reason: why, in a sentence.
        """
        arms = [{**asdict(arm), "members": [asdict(member) for member in arm.members]} for arm in self.arms]
        own = {"pipeline": self.pipeline, "plan_version": self.version, "arms": arms, "salt": self.salt}
        return {**own, "time": time, "actor": actor, "reason": reason}


def latest(facts: pa.RecordBatch, pipeline: str, known: int = 0) -> tuple[Plan | None, list[InvalidRecord]]:
    """The newest plan of this pipeline among the facts when it is newer than the known version, and what is no plan.

    A fact that makes no plan (`parsed`) does not hold the others up.
    """
    news = kernels.or_(kernels.greater(facts["plan_version"], known), kernels.less(facts["plan_version"], 1))
    plans, faults = [], []
    for row in rows_of(facts.filter(kernels.and_(kernels.equal(facts["pipeline"], pipeline), news))):
        try:
            plans.append(parsed(row))
        except InvalidRecord as fault:
            faults.append(fault)
    return max(plans, key=lambda plan: plan.version, default=None), faults


def rows_of(facts: pa.RecordBatch | pa.Table) -> list[dict[str, Any]]:
    """Records of the plans topic; times stay milliseconds, for calendars do not know all of them."""
    place = facts.schema.get_field_index("time")
    return facts.set_column(place, "time", facts["time"].cast(pa.int64())).to_pylist()  # type: ignore[no-any-return]  # pyarrow says Any


def parsed(row: Mapping[str, Any]) -> Plan:
    """The plan that a record of the plans topic tells.

    Raises:
        InvalidRecord: `no_champion` where there is not exactly one, `canaries` where there are several, `canary_share`
            where the canary's is not between 0 and 1, `plan_version` and `plan_time` where they are none.
    """
    if not 1 <= row["plan_version"] <= MOST_VERSION:
        raise InvalidRecord("plan_version", f"{row['plan_version']} is no version of a plan: 1 to {MOST_VERSION}")
    if not EARLIEST <= row["time"] <= LATEST:
        raise InvalidRecord("plan_time", f"plan {row['plan_version']} is of {row['time']} ms, which no calendar holds")
    arms = tuple(
        Arm(**{**named, "members": tuple(EnsembleMember(**member) for member in named["members"])})
        for named in row["arms"]
    )
    plan = Plan(row["pipeline"], int(row["plan_version"]), arms, row["salt"])
    kinds = [arm.arm for arm in arms]
    if kinds.count(CHAMPION) != 1:
        raise InvalidRecord("no_champion", f"plan {plan.version} has {kinds.count(CHAMPION)} champions, it needs one")
    if kinds.count(CANARY) > 1:
        raise InvalidRecord("canaries", f"plan {plan.version} has {kinds.count(CANARY)} canaries; one is allowed")
    if plan.canary is not None and not 0 <= plan.canary.share <= 1:
        raise InvalidRecord("canary_share", f"plan {plan.version}: a share of {plan.canary.share} is not in 0 to 1")
    return plan
