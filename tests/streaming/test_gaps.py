"""Records that were deleted before they were read: what is missing from answers and state is said and counted."""

from __future__ import annotations

from typing import Any

import pytest
from structlog.testing import capture_logs

from headrace.errors import ContractError
from headrace.streaming.process.metrics import Metrics
from headrace.streaming.task.commitment import CheckpointPlace, Commitment
from headrace.streaming.task.recovery import SKIP_DELETED, Recovery

PLACE = CheckpointPlace(1_000, ((0, 7),))


def skipped(found: Commitment, stateful: bool = True) -> tuple[Commitment, list[tuple[Any, ...]], dict[str, float]]:
    """What is gone on with where the log begins at 2,000, what was said to be gone, and what was counted."""
    metrics = Metrics()
    with capture_logs() as logs:
        begun = Recovery(SKIP_DELETED, metrics).skip_deleted("events[0]", 2_000, found, stateful)
    said = [entry for entry in logs if entry["event"] == "offsets were deleted"]
    assert {(entry["partition"], entry["log_level"]) for entry in said} == {("events[0]", "warning")}
    counted = {
        sample.labels["how"]: sample.value
        for family in metrics.offsets_deleted.collect()
        for sample in family.samples
        if sample.name.endswith("_total")
    }
    return begun, [(entry["how"], entry["start"], entry["stop"], entry["offsets"]) for entry in said], counted


def test_what_was_answered_after_the_checkpoint_is_said_to_be_missing_from_the_state() -> None:
    """A checkpoint at 1,000 and answers up to 1,500: 500 offsets are unanswered, but the state lacks 1,000."""
    begun, said, counted = skipped(Commitment(1_500, 1_600, PLACE))
    assert begun == Commitment(2_000, 2_000, CheckpointPlace(2_000, PLACE.chunks))
    assert said == [("unanswered", 1_500, 2_000, 500), ("missing_from_state", 1_000, 2_000, 1_000)]
    assert counted == {"unanswered": 500, "missing_from_state": 1_000}


def test_a_state_without_a_checkpoint_is_said_to_begin_empty() -> None:
    """All that was folded since the state began is missing; what was admitted behind the gap stays admitted."""
    begun, said, _ = skipped(Commitment(1_500, 2_100, begun=200))
    assert begun == Commitment(2_000, 2_100)
    assert said[1] == ("missing_from_state", 200, 2_000, 1_800)


def test_who_has_no_state_lacks_answers_alone() -> None:
    """A service without state says what it does not answer, and nothing else."""
    _, said, counted = skipped(Commitment(1_500, 1_500), stateful=False)
    assert (said, counted) == ([("unanswered", 1_500, 2_000, 500)], {"unanswered": 500})


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (Commitment(1_500, 1_500, PLACE), "The 500 offsets between are never answered, and its state is that of 1000"),
        (Commitment(1_500, 1_500, begun=0), "never answered, and its state begins empty, for it has no checkpoint"),
    ],
)
def test_the_operator_is_told_before_it_is_allowed(found: Commitment, told: str) -> None:
    """Whoever decides reads what the state will lack, not only what is never answered."""
    metrics = Metrics()
    with pytest.raises(ContractError, match=told):
        Recovery("", metrics).skip_deleted("events[0]", 2_000, found, stateful=True)
    assert not metrics.offsets_deleted.collect()[0].samples
