"""Witnesses: river's detectors say what they say, and are made again from values alone."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from river.drift import ADWIN

from headrace.domain.drift.reference_bins import Floats
from headrace.domain.drift.witnesses import METHODS, Witness, folded_again
from headrace.errors import ConfigurationError, ContractError

CHANGE = 3_000


def stream(name: str) -> Floats:
    """Values that change at `CHANGE`, of a kind that the method takes."""
    draw = np.random.default_rng(5)
    if METHODS[name].takes == "numbers":
        return np.concatenate([draw.normal(size=CHANGE), draw.normal(2.0, size=CHANGE)])
    return np.concatenate([draw.random(CHANGE) < 0.1, draw.random(CHANGE) < 0.6]).astype(float)


@pytest.mark.parametrize("name", METHODS)
def test_each_tells_a_large_change(name: str) -> None:
    """Soon after it, and by positions counted from the start."""
    found = Witness(name).listen(stream(name))
    assert ((found > CHANGE) & (found < CHANGE + 1_500)).any()


@pytest.mark.parametrize("name", METHODS)
def test_a_witness_is_made_again_from_its_values(name: str) -> None:
    """Saved in the middle, as JSON, and folded again from the start, it goes on as if nothing had been."""
    values = stream(name)
    whole = Witness(name)
    first = whole.listen(values[:2_003])
    saved = json.loads(json.dumps(whole.save()))
    again = folded_again(saved, (values[low : low + 700] for low in range(0, len(values), 700)))
    assert again.save() == saved
    rest = whole.listen(values[2_003:])
    assert np.array_equal(again.listen(values[2_003:]), rest)
    assert np.array_equal(np.concatenate([first, rest]), Witness(name).listen(values))


def test_positions_are_those_of_river_itself() -> None:
    """One value after the other into river's own object says the same; what is missing it is not shown."""
    values = stream("ADWIN")
    values[::7] = np.nan
    detector, found = ADWIN(delta=0.01), []
    for at, value in enumerate(values.tolist()):
        if value == value:
            detector.update(value)
            if detector.drift_detected:
                found.append(at)
    assert found
    assert Witness("ADWIN", {"delta": 0.01}).listen(values).tolist() == found


def test_too_few_values_make_no_witness_again() -> None:
    """A witness that forgot what it heard would say something else, and nobody would know."""
    witness = Witness("ADWIN")
    witness.listen(np.zeros(100))
    with pytest.raises(ContractError, match="100 values, and 40 are here"):
        folded_again(witness.save(), [np.zeros(40)])


def test_what_a_method_cannot_take_is_refused() -> None:
    """Names, parameters and values, each with what it would have taken."""
    with pytest.raises(ConfigurationError, match="ADWIN, PageHinkley"):
        Witness("ADVIN")
    with pytest.raises(ConfigurationError, match="does not take"):
        Witness("ADWIN", {"confidence": 0.1})
    witness = Witness("DDM")
    with pytest.raises(ContractError, match="0 or 1"):
        witness.listen(np.array([0.0, 0.5]))
    assert witness.position == 0
    with pytest.raises(ContractError, match="from 0 to 1"):
        Witness("HDDMW").listen(np.array([0.0, 1.5]))


def test_without_river_it_says_what_to_install() -> None:
    """The module loads all the same."""
    code = """
import sys
sys.modules["river"] = None
from headrace.domain.drift.witnesses import Witness
from headrace.errors import ConfigurationError
try:
    Witness("ADWIN")
except ConfigurationError as error:
    print(error)
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ran.stdout.strip() == "river is not installed: pip install headrace[drift]", ran.stderr
