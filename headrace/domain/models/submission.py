"""A session's scores, asked for now and collected later: one batch computes while the next is decoded."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

from headrace.domain.models.sessions import Matrix, Scores, Session


class SubmittedScores:
    """Scores that a session was asked for."""

    def __init__(self, future: Future[Scores]) -> None:
        self._future = future

    @property
    def done(self) -> bool:
        """Whether `collect` would not wait."""
        return self._future.done()

    def collect(self) -> Scores:
        """The scores, float64 [n], in the rows' order; waits for them. The same on a repeat.

        Raises:
            ContractError: the model does not run on these rows.
        """
        return self._future.result()


class SubmittingSession:
    """A session whose batches are computed in the order they are submitted, by one thread of its own at most.

    ONNX Runtime and the forest's kernels let the interpreter's lock go, so the caller goes on meanwhile. Scores have
    the bits that the session's own `run` gives: the same calls are made, one after another. The thread begins with the
    first batch that is submitted and ends with `close`.

    Args:
        session: loaded and warm; nobody else may run it until `close`.
    """

    def __init__(self, session: Session) -> None:
        self.batch = session.batch
        self._session = session
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="session")

    def submit(self, matrix: Matrix) -> SubmittedScores:
        """Ask for the scores of a [n, inputs] matrix, which must not be changed until they are collected."""
        return SubmittedScores(self._worker.submit(self._session.run, matrix))

    def run(self, matrix: Matrix) -> Scores:
        """As `Session.run`, after all that was submitted before."""
        return self.submit(matrix).collect()

    def close(self) -> None:
        """Finish what was submitted, and end the thread; nothing can be submitted afterwards."""
        self._worker.shutdown()
