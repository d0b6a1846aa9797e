"""What becomes of a new model, step by step."""

from __future__ import annotations

import pytest

from headrace.columnar.packing import pack, unpack
from headrace.domain.release.machine import decide
from headrace.domain.release.state_columns import load_releases, save_releases
from headrace.domain.release.states import ReleaseState, Stage
from tests.release.release_scenes import HARMFUL, SAFE, Scene


@pytest.fixture
def scene() -> Scene:
    """Model 1 is the champion; model 2 was registered, passed its gates, was approved and is in the dark."""
    scene = Scene()
    assert scene.arrive("2") == []
    assert scene.evaluate("2", "passed") == ["approval_requested"]
    assert scene.ask("approve", "ana", "2") == ["release_started"]
    return scene


def test_a_good_model_becomes_the_champion_share_by_share(scene: Scene) -> None:
    """Each step with the arms that it needs, and nothing left at the end."""
    assert scene.arms == [("challenger", "2", 1.0), ("champion", "1", 1.0)]
    assert scene.rows(10, safety=SAFE) == []
    assert scene.rows(1, safety=SAFE) == ["release_advanced"]
    both = [("challenger", "1", 1.0), ("challenger", "2", 1.0), ("champion", "1", 1.0)]
    assert scene.arms == [("canary", "2", 0.05), *both]
    assert scene.rows(10) == ["release_advanced"]
    assert scene.arms == [("canary", "2", 0.25), *both]
    assert scene.rows(10) == ["release_promoted"]
    assert scene.arms == [("challenger", "1", 1.0), ("champion", "2", 1.0)]
    assert scene.rows(19) == []
    assert scene.rows(1) == ["release_settled"]
    assert scene.arms == [("champion", "2", 1.0)]
    assert scene.state.approved is not None
    assert scene.state.approved.version == "2"


@pytest.mark.parametrize("before", [0, 11, 21, 31])
def test_harm_puts_it_back_from_everywhere(scene: Scene, before: int) -> None:
    """The dark, a canary, and the guard."""
    if before:
        scene.rows(before, safety=SAFE)
    assert scene.rows(1, harm=HARMFUL) == ["release_rolled_back"]
    assert scene.arms == [("champion", "1", 1.0)]
    assert scene.stage("2") is Stage.ROLLED_BACK
    assert scene.said[-1].cause == f"event-{before + 1}"


def test_state_survives_a_checkpoint(scene: Scene) -> None:
    """Bit for bit, in the middle of a canary."""
    scene.rows(15, safety=SAFE)
    assert load_releases(unpack(pack(save_releases(scene.state)))) == scene.state


def test_a_replay_decides_alike(scene: Scene) -> None:
    """The same inputs, the same decisions with the same identities."""
    scene.rows(40, safety=SAFE)
    state, said = ReleaseState("p"), []
    for told in scene.told:
        state, decisions = decide(state, told, scene.rules)
        said += decisions
    assert (state, said) == (scene.state, scene.said)
    assert len({each.event for each in said}) == len(said)
