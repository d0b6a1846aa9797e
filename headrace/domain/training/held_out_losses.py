"""What a model lost on rows that it was not fitted on: by its score, and by each column of its reference."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from headrace.domain.drift.cycles import hours_of
from headrace.domain.drift.harm.column_losses import losses_by_bin
from headrace.domain.drift.harm.loss_reference import chance_losses, value_losses
from headrace.domain.drift.reference_profile import DECISION, SCORE, ReferenceProfile
from headrace.domain.pipeline.classes.decision import Costs
from headrace.domain.quality.classes.losses import half_brier
from headrace.domain.training.classes.class_answers import answered
from headrace.domain.training.dataset import Dataset

Floats = npt.NDArray[np.float64]


def with_losses(
    profile: ReferenceProfile, held_out: Dataset, scores: Floats, threshold: float, costs: Costs = ()
) -> ReferenceProfile:
    """A profile that tells of losses too.

    Args:
        profile: of the rows that were fitted, with its answers.
        held_out: other rows, in the order of their time.
        scores: what the model answered to them.
        threshold: from which on its decision is yes.
        costs: of decisions among several classes; none where all errors cost alike.
    """
    truths = held_out.labels.astype(np.float64)
    hours = hours_of(held_out.times)
    lost = half_brier(scores, truths) if held_out.classes else (scores - truths) ** 2
    if held_out.classes:
        answers = answered(held_out, scores, costs, threshold)
    elif held_out.quantities:
        answers = {SCORE: scores}
    else:
        answers = {SCORE: scores, DECISION: (scores >= threshold).astype(np.float64)}
    values = {name: held_out.matrix[:, at].astype(np.float64) for at, name in enumerate(held_out.inputs)}
    values |= answers
    known = {name: column for name, column in {**profile.inputs, **profile.answers}.items() if name in values}
    places = {name: column.place(np.ascontiguousarray(values[name]), hours) for name, column in known.items()}
    if profile.joint is not None:
        made_of = np.ascontiguousarray(np.column_stack([places[name] for name in profile.joint.of]))
        joint = profile.joint.score.place(made_of)
        places |= {name: joint[:, at] for at, name in enumerate(profile.joint.columns)}
    columns = profile.columns
    losses = {name: losses_by_bin(each, lost, len(columns[name].bins.counts)) for name, each in places.items()}
    several = bool(held_out.classes) or held_out.quantities
    loss = value_losses(answers[SCORE], lost) if several else chance_losses(scores, truths)
    return replace(profile, loss=loss, losses=losses)
