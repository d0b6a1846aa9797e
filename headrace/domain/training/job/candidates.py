"""The windows that a retraining compares, by what is known when it is asked for."""

from __future__ import annotations

from headrace.domain.pipeline.spec import Pipeline, Retrain
from headrace.domain.training.job.order import WindowCandidate
from headrace.domain.training.trainer import CONTINUED, WEIGHED, taken_by


def candidates_of(
    pipeline: Pipeline, began: int | None = None, base: tuple[str, str] | None = None, trainer: str | None = None
) -> tuple[WindowCandidate, ...]:
    """The pipeline's own window, one since a change began, all rows with the older ones counting less, and the base
    going on; those that the trainer can take.

    Args:
        pipeline: says in `retrain` how long the window is, and by which trainer.
        began: event time, milliseconds, since when the world is another one; None where nobody knows.
        base: version and digest of the package that could go on, such as the champion's.
        trainer: in place of the pipeline's.

    Raises:
        ConfigurationError: there is no such trainer.
    """
    said = pipeline.retrain or Retrain()
    takes = taken_by(trainer or said.trainer)
    found = [WindowCandidate(kind="sliding", name="sliding", length=said.window)]
    if began is not None:
        found.append(WindowCandidate(kind="since", name="since the change", start=began))
    if WEIGHED in takes:
        found.append(WindowCandidate(kind="growing", name="growing", half_life=said.window))
    if base is not None and CONTINUED in takes:
        version, digest = base
        found.append(WindowCandidate(kind="continued", name="continued", base_version=version, base_digest=digest))
    return tuple(found)
