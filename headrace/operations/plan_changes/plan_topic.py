"""The plans topic: all facts that it has, and the plan that makes a package the champion."""

from __future__ import annotations

import getpass
import time
from dataclasses import replace

from headrace.domain.models.package import ModelPackage
from headrace.domain.pipeline.wiring import Contracts
from headrace.domain.plans.plan_log import PlanFact, history, publish
from headrace.domain.plans.plans import CHAMPION, Arm, Plan
from headrace.streaming.kafka.bindings import Channel
from headrace.streaming.kafka.connection import Connection
from headrace.streaming.process.settings import Settings


def publish_plan(
    connection: Connection, channel: Channel, pipeline: str, package: ModelPackage, uri: str, reason: str
) -> int:
    """Write the plan that makes a package the champion and leaves all other parts as they are; returns its version.

    Raises:
        Contested: somebody else changed the plan at the same moment; nothing was written.
    """
    manifest = package.manifest
    champion = Arm(CHAMPION, manifest.name, manifest.version, package.digest, uri)

    def crowned(plan: Plan | None) -> Plan:
        if plan is None:
            return Plan(pipeline, 0, (champion,))
        return replace(plan, arms=(champion, *(arm for arm in plan.arms if arm.arm != CHAMPION)))

    return publish(connection, channel, pipeline, crowned, time=now(), actor=getpass.getuser(), reason=reason).version


def facts_of(settings: Settings, contracts: Contracts) -> list[PlanFact]:
    """All facts that the pipeline's plans topic still has, oldest first."""
    return history(settings.connection, contracts.channel("plans"), contracts.pipeline.name)


def now() -> int:
    """Milliseconds since the epoch."""
    return int(time.time() * 1000)
