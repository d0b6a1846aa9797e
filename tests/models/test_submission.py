"""Scores that are asked for now and collected later are those that would have been given at once."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from headrace.domain.models.batch_tuning import InnerBatch
from headrace.domain.models.sessions import Matrix, Scores, SessionSettings, open_session
from headrace.domain.models.submission import SubmittingSession
from headrace.errors import ContractError
from tests.models import graphs

SETTINGS = SessionSettings(device="cpu", rows=64)


class Gated:
    """A session that waits until it is let go on, refuses rows that begin with -1, and notes its threads."""

    batch = InnerBatch(64, 0.0)

    def __init__(self) -> None:
        self.go = threading.Event()
        self.threads: list[int] = []

    def run(self, matrix: Matrix) -> Scores:
        assert self.go.wait(30), "let go on by the test"
        self.threads.append(threading.get_ident())
        if matrix[0, 0] == -1:
            raise ContractError("m@1 does not run")
        return matrix[:, 0].astype(np.float64)


def test_same_bits() -> None:
    """Batches submitted one after another give the bits that the session gives alone, in any order."""
    random = np.random.default_rng(1)
    matrices = [random.normal(size=(rows, 2)).astype(np.float32) for rows in (1, 63, 64, 1_000, 0)]
    plain = open_session(graphs.package(), SETTINGS)
    wanted = [plain.run(matrix) for matrix in matrices]
    session = SubmittingSession(open_session(graphs.package(), SETTINGS))
    handles = [session.submit(matrix) for matrix in matrices]
    found = [handle.collect() for handle in reversed(handles)][::-1]
    assert [each.tobytes() for each in found] == [each.tobytes() for each in wanted]
    assert session.run(matrices[3]).tobytes() == wanted[3].tobytes()
    session.close()


def test_the_caller_goes_on() -> None:
    """Submitting does not wait; one thread, never the caller's, computes all; close finishes what was asked for."""
    gated = Gated()
    session = SubmittingSession(gated)
    handles = [session.submit(np.full((2, 1), number, np.float32)) for number in range(3)]
    assert not any(handle.done for handle in handles)
    gated.go.set()
    session.close()
    assert all(handle.done for handle in handles)
    assert [handle.collect().tolist() for handle in handles] == [[0, 0], [1, 1], [2, 2]]
    assert len(set(gated.threads)) == 1
    assert threading.get_ident() not in gated.threads


def test_a_failure_is_told_to_whom_it_concerns() -> None:
    """A batch that the model does not run raises when it is collected, each time; those beside it are answered."""
    gated = Gated()
    gated.go.set()
    session = SubmittingSession(gated)
    good, bad, after = (session.submit(np.full((1, 1), number, np.float32)) for number in (5, -1, 6))
    for _ in range(2):
        with pytest.raises(ContractError, match="does not run"):
            bad.collect()
    assert (good.collect().tolist(), after.collect().tolist()) == ([5], [6])
    session.close()
