"""The state of a pipeline's releases as columns, as checkpoints have them, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from headrace.columnar.packing import Column, json_column, json_of
from headrace.domain.plans.plans import Arm, EnsembleMember, Plan
from headrace.domain.release.states import Candidate, ModelRelease, ReleaseState, Spending, Stage


def save_releases(state: ReleaseState) -> dict[str, Column]:
    """As columns: one, of JSON."""
    return {"releases": json_column(asdict(state))}


def load_releases(columns: Mapping[str, Column]) -> ReleaseState:
    """What `save_releases` told."""
    said = json_of(columns["releases"])
    return ReleaseState(
        pipeline=said["pipeline"],
        clock=said["clock"],
        plan=_plan(said["plan"]),
        approved=_arm(said["approved"]),
        releases=tuple(_release(each) for each in said["releases"]),
        numbers=said["numbers"],
        spent=tuple(Spending(**each) for each in said["spent"]),
        handled=tuple(said["handled"]),
    )


def _plan(said: dict[str, Any] | None) -> Plan | None:
    if said is None:
        return None
    arms = tuple(arm for arm in map(_arm, said["arms"]) if arm is not None)
    return Plan(**{**said, "arms": arms})


def _arm(said: dict[str, Any] | None) -> Arm | None:
    if said is None:
        return None
    return Arm(**{**said, "members": tuple(EnsembleMember(**each) for each in said["members"])})


def _release(said: dict[str, Any]) -> ModelRelease:
    own = {
        "candidate": Candidate(**said["candidate"]),
        "stage": Stage(said["stage"]),
        "champion": _arm(said["champion"]),
        "approved": _arm(said["approved"]),
        "added": tuple((arm, digest) for arm, digest in said["added"]),
    }
    lists = {name: tuple(value) for name, value in said.items() if isinstance(value, list)}
    return ModelRelease(**{**said, **lists, **own})
