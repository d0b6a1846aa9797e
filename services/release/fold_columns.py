"""The fold of the parts as columns, as checkpoints have it, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from headrace.columnar.packing import Column, beneath, json_column, json_of
from headrace.domain.records.release_parts import OUTCOMES
from headrace.domain.release.state_columns import load_releases, save_releases
from services.release.decision_fold import DecisionFold, FoldState, PartRecord, PlanAttempt
from services.release.paired_outcomes import loaded_content, saved_content


def save_fold(fold: DecisionFold) -> dict[str, Column]:
    """As columns."""
    said: dict[str, Any] = {"queue": [_saved(part) for part in fold.queue], "state": _named(fold.state)}
    columns = _machine("state", fold.state)
    attempt = fold.attempt
    if attempt is not None:
        columns |= _machine("before", attempt.before) | _machine("after", attempt.after)
        said["attempt"] = {
            "before": _named(attempt.before),
            "after": _named(attempt.after),
            "cause": _saved(attempt.cause),
            "digests": attempt.digests,
            "won": attempt.won,
        }
    columns |= {f"evidence.{name}": column for name, column in fold.evidence.save().items()}
    return {"said": json_column(said), **columns}


def load_fold(fold: DecisionFold, columns: Mapping[str, Column], partitions: int = 0) -> None:
    """Take over what `save_fold` told.

    Args:
        partitions: of outcomes, now. Raises ContractError where there are fewer than then.
    """
    said = json_of(columns["said"])
    fold.evidence.load(beneath(columns, "evidence."), partitions)
    fold.queue = [_loaded(part) for part in said["queue"]]
    fold.state = _state("state", said["state"], columns)
    fold.attempt = None
    if "attempt" in said:
        kept = said["attempt"]
        fold.attempt = PlanAttempt(
            _state("before", kept["before"], columns),
            _state("after", kept["after"], columns),
            _loaded(kept["cause"]),
            tuple(kept["digests"]),
            kept["won"],
        )


def _saved(part: PartRecord) -> dict[str, Any]:
    content = saved_content(part.content) if part.source == OUTCOMES else part.content
    return {
        "source": part.source,
        "partition": part.partition,
        "offset": part.offset,
        "content": content,
        "entered": part.entered,
    }


def _loaded(said: Mapping[str, Any]) -> PartRecord:
    part = PartRecord(**said)
    return replace(part, content=loaded_content(part.content)) if part.source == OUTCOMES else part


def _named(state: FoldState) -> dict[str, Any]:
    return {"number": state.number, "head": state.head, "plan_offset": state.plan_offset, "own": state.own}


def _machine(name: str, state: FoldState) -> dict[str, Column]:
    return {f"{name}.{inner}": column for inner, column in save_releases(state.machine).items()}


def _state(name: str, said: Mapping[str, Any], columns: Mapping[str, Column]) -> FoldState:
    machine = load_releases(beneath(columns, f"{name}."))
    return FoldState(said["number"], said["head"], said["plan_offset"], tuple(said["own"]), machine)
