"""The load test of a revision: in small from end to end, and that it finds what it is for."""

from __future__ import annotations

import subprocess
import sys

import pyarrow as pa
import pytest

from loadtests.revising import differing
from tests.sources import ROOT


def table(**customer: list[float | None]) -> pa.Table:
    """Features of two events."""
    struct = pa.StructArray.from_arrays([pa.array(values) for values in customer.values()], names=list(customer))
    return pa.table({"event_id": ["b", "a"], "customer": struct})


def test_a_difference_is_told() -> None:
    """By its feature, to the last bit; events and features that one of both lacks are not compared."""
    mine = table(nb_tx_1d=[2.0, 1.0], most_1d=[None, 5.0])
    assert differing(mine, mine) == []
    assert differing(mine.slice(1), mine) == []
    other = table(nb_tx_1d=[2.0, 1.0000000000000002], most_1d=[None, 5.0], least_1d=[1.0, 1.0])
    assert differing(mine, other) == ["customer.nb_tx_1d: 1 of 2 rows differ"]
    assert differing(mine, table(nb_tx_1d=[2.0, 1.0], most_1d=[3.0, 5.0])) == ["customer.most_1d: 1 of 2 rows differ"]


@pytest.mark.rehearsal
def test_a_revision_under_load() -> None:
    """Two hundred events a second: each is answered once, with the features of the revision that answered it.

    How long the switch takes is no matter here: on a machine that does other things it says nothing.
    """
    argv = [sys.executable, "-m", "loadtests.revising", "--rate", "200", "--seconds", "90", "--pause", "60"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing" in done.stdout
