"""Whether a neighbour is felt: paired runs compared."""

from __future__ import annotations

import pytest

from loadtests.shadowing import paired


def test_noise_and_effect() -> None:
    """Runs that differ among themselves as much as from the others show no effect; steady ones show a small one."""
    noisy = paired([100, 130, 90, 110], [95, 120, 105, 100])
    assert noisy["within"]
    steady = paired([100, 101, 100, 99], [110, 111, 110, 109])
    assert not steady["within"]
    assert steady["effect"] == pytest.approx(1.1, abs=0.005)
