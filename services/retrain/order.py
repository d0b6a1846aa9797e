"""What a training is ordered: all that its job needs to make the same package again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

from headrace.domain.evaluation.order import EvaluationOrder
from headrace.domain.pipeline.retrain.spec import Retrain
from headrace.domain.plans.plans import CANARY, SINGLE, Arm
from headrace.domain.retrain.packages import RegisteredPackage
from headrace.domain.training.job.order import JobLimits, TrainingOrder, WindowCandidate, parse_order


def order_of(
    pipeline: str,
    policy: Retrain,
    since: int | None,
    champion: Arm | None,
    run: str,
    now: int,
    offsets: Mapping[int, tuple[int, int]],
    exchange_partitions: int,
) -> TrainingOrder:
    """The order of a training.

    Its candidates are the last `window` of event time; all rows, those a `window` ago counting half; where a finding
    says since when things are other than they were, the rows since then; and the champion, which learns on from rows
    since then, or since its own end.

    Args:
        pipeline: its name; whoever carries the order out has it as a file.
        policy: of the pipeline file.
        since: event time since when things are other than they were, milliseconds; None: nobody found that they are.
        champion: of the newest plan; None: there is none, or it is no package of its own. Its digest belongs to the
            order, so that a repeat goes on from the same one.
        run: identity of the training.
        now: milliseconds since the epoch.
        offsets: what the outcomes topic holds, by partition.
        exchange_partitions: how many the exchange has.
    """
    windows = [
        WindowCandidate(kind="sliding", name="sliding", length=policy.window),
        WindowCandidate(kind="growing", name="growing", half_life=policy.window),
    ]
    if since is not None:
        windows.append(WindowCandidate(kind="since", name="since", start=since))
    if champion is not None and champion.combination == SINGLE:
        windows.append(
            WindowCandidate(
                kind="continued", name="continued", start=since,
                base_name=champion.model, base_version=champion.version, base_digest=champion.digest,
            )
        )  # fmt: skip  # what goes on, from whom
    day = datetime.fromtimestamp(now / 1000, UTC).strftime("%Y%m%d")
    seconds = policy.limit / 1000
    return TrainingOrder(
        pipeline=pipeline,
        version=f"{day}-{run.removeprefix('r-')}",
        offsets=offsets,
        exchange_partitions=exchange_partitions,
        trainer=policy.trainer,
        windows=tuple(windows),
        limits=JobLimits(memory=policy.memory_mb << 20, cpu_s=seconds, wall_s=seconds),
    )


def order_here(order: str, pipeline: str) -> TrainingOrder:
    """An order as its job gets it, with the pipeline file of this machine."""
    return replace(parse_order(order), pipeline=pipeline)


def evaluation_of(package: RegisteredPackage, pipeline: str, policy: Retrain, look: int = 1) -> EvaluationOrder:
    """The order of an evaluation, with the pipeline file of this machine; it may take what a training may."""
    name, _, version = package.model.rpartition("@")
    seconds = policy.limit / 1000
    return EvaluationOrder(
        pipeline=pipeline,
        candidate=Arm(CANARY, name, version, package.digest, package.uri),
        look=look,
        limits=JobLimits(memory=policy.memory_mb << 20, cpu_s=seconds, wall_s=seconds),
    )
