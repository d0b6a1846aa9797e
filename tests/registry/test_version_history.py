"""What MLflow is to be told: a fold of the ledger."""

from __future__ import annotations

from typing import Any

from headrace.domain.control.base import ControlFinding
from headrace.domain.control.events import ControlEvent
from headrace.domain.control.release import ReleasePromoted, ReleaseRefused, ReleaseRejected, ReleaseRolledBack
from headrace.domain.control.retrain import ModelRefused, ModelRegistered
from headrace.domain.ledger.chain import LedgerChain
from headrace.domain.ledger.entry import LedgerEntry
from headrace.domain.ledger.sources import record_of
from headrace.domain.plans.plans import CHAMPION, Arm, Plan
from headrace.domain.registry.version_history import RegistryStanding

OURS, THEIRS, OTHER = "sha256:aa", "sha256:bb", "sha256:cc"
SEVEN, EIGHT = "mlflow/fraud/7/r7/1700000000000", "mlflow/fraud/8/r8/1700000000001"


def entries(*told: ControlFinding | str) -> list[LedgerEntry]:
    """A ledger of findings, and of plans whose champion has a digest."""
    chain, found = LedgerChain("p"), []
    for number, each in enumerate(told):
        row: dict[str, Any]
        if isinstance(each, str):
            row = Plan("p", number + 1, (Arm(CHAMPION, "m", "1", each, "m/1"),)).fact(number, "ann", "")
            source = "plans"
        else:
            row = ControlEvent(f"e{number}", "p", number, "ann", each).row()
            row["evidence"] = dict(row["evidence"])
            source = "control"
        found.append(chain.append(record_of(source, 0, number, row)))
    return found


def fold(*told: ControlFinding | str) -> RegistryStanding:
    """What such a ledger says."""
    standing = RegistryStanding()
    for entry in entries(*told):
        standing.take(entry)
    return standing


CAME = ModelRegistered("m@mlflow-7", THEIRS, "s3://m", source=SEVEN)
MADE_HERE = ModelRegistered("m@2", OURS, "s3://m")


def test_decisions_of_a_version_are_told_in_their_order() -> None:
    """Those of models that came from elsewhere are none of its business, and a refused request changes no state."""
    standing = fold(
        OURS,
        MADE_HERE,
        CAME,
        ReleaseRejected("r", "m@2", OURS, "rejected", why="worse"),
        ReleaseRefused("", "m@mlflow-7", THEIRS, "registered", why="not yet"),
        ReleaseRejected("r", "m@mlflow-7", THEIRS, "rejected", why="too slow"),
    )
    assert list(standing.versions) == [SEVEN]
    told = [(each.number, each.state, each.because) for each in standing.versions[SEVEN].decisions]
    assert told == [(3, "registered", "it is m@mlflow-7 here, and is judged next"), (6, "rejected", "too slow")]
    assert standing.aliases == {}


def test_the_alias_follows_the_champion_of_plans() -> None:
    """There, back to one that is none of MLflow's, and there again by hand; each with the entry that said so."""
    standing = fold(OURS, CAME, THEIRS)
    assert (standing.aliases["fraud"].version, standing.aliases["fraud"].number) == (7, 3)
    promoted = ReleasePromoted("r", "m@mlflow-7", THEIRS, "guarded", why="safe")
    back = ReleaseRolledBack("r", "m@mlflow-7", THEIRS, "rolled_back", why="harm")
    standing = fold(OURS, CAME, promoted, THEIRS, back, OURS)
    assert (standing.aliases["fraud"].version, standing.aliases["fraud"].number) == (None, 6)
    standing = fold(OURS, CAME, THEIRS, THEIRS, OTHER, THEIRS)
    assert (standing.aliases["fraud"].version, standing.aliases["fraud"].number) == (7, 6)


def test_a_champion_that_is_registered_later_is_known_then() -> None:
    """A plan may name a package before anybody registered it."""
    standing = fold(THEIRS, CAME)
    assert (standing.aliases["fraud"].version, standing.aliases["fraud"].number) == (7, 2)


def test_a_refusal_is_told_of_its_version() -> None:
    """And what fits later is registered."""
    refused = ModelRefused("m@mlflow-8", EIGHT, "colour is no input")
    standing = fold(refused, ModelRegistered("m@mlflow-8", OTHER, "s3://m", source=EIGHT))
    assert [each.state for each in standing.versions[EIGHT].decisions] == ["refused", "registered"]
    assert standing.versions[EIGHT].version == 8
