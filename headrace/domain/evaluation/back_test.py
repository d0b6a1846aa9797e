"""A candidate and the champion on the same recent outcomes: the figures that gates ask for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace.domain.evaluation.paired_figures import paired_figures
from headrace.domain.models.model_loader import OpenArm, Pass
from headrace.domain.models.package import ModelPackage
from headrace.domain.pipeline.classes.decision import decided
from headrace.domain.pipeline.classes.names import field_names
from headrace.domain.pipeline.release.spec import Release
from headrace.domain.pipeline.segments import WHOLE, Segments
from headrace.domain.pipeline.spec import Pipeline
from headrace.domain.quality.classes.class_gaps import class_gaps
from headrace.domain.quality.classes.class_pairs import ClassAnswers, ClassPair, class_differences
from headrace.domain.quality.comparison.paired_tests import Difference
from headrace.domain.quality.comparison.pairs import Pair
from headrace.domain.quality.fairness import Gap, gaps
from headrace.domain.quality.score_table import LEAST_CAP, tabulated
from headrace.domain.release.gates import EvaluationFigures, top_agreement
from headrace.domain.training.dataset import milliseconds
from headrace.errors import ContractError

PIECE = 65_536
"""Rows that models score at once."""
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class BackTest:
    """Labelled events that both models answered.

    Attributes:
        pair: the champion's scores (`a`), the candidate's (`b`), and labels; of several classes with their chances.
        times: int64, event times in milliseconds, ascending.
        entities: whom they are of.
        groups: (segment, group) -> bool, the rows of each group that there are any of.
        columns: of these rows, as the outcomes have them.
        known: labelled events that one of the two was fitted on, which are left out.
        unanswered: labelled events that the candidate gave no finite score, and those of the champion.
        broken: those of the candidate for which the champion has one.
        problem: what the candidate said of rows that it did not run on at all; empty where there are none.
    """

    pair: Pair | ClassPair
    times: npt.NDArray[np.int64]
    entities: pa.Array
    groups: Mapping[tuple[str, str], Flags]
    columns: pa.RecordBatch
    known: int
    unanswered: tuple[int, int]
    broken: int = 0
    problem: str = ""

    def __len__(self) -> int:
        return len(self.pair)


def back_test(events: pa.Table, labels: Floats, champion: OpenArm, candidate: OpenArm, pipeline: Pipeline) -> BackTest:
    """Score all labelled events that neither of the two was fitted on, nor had its threshold chosen by.

    Args:
        events: columns of outcomes, each event once.
        labels: float64 [events], NaN where not known.
        champion, candidate: open on the schema of `events`.
        pipeline: its segments.

    Rows that the candidate does not run on are rows without a score of it. Raises ContractError where the champion does
    not run on the rows.
    """
    times = milliseconds(events["event_time"])
    labelled = ~np.isnan(labels)
    knew = _knew(champion, times) | _knew(candidate, times)
    rows = np.flatnonzero(labelled & ~knew)
    rows = rows[np.argsort(times[rows], kind="stable")]
    (batch,) = events.take(pa.array(rows)).combine_chunks().to_batches() or [
        pa.RecordBatch.from_pylist([], schema=events.schema)
    ]
    problems: list[str] = []
    classes = len(pipeline.model.classes)
    scores = [_scores(champion, batch, classes), _scores(candidate, batch, classes, problems)]
    finite = [np.isfinite(each).all(axis=1) if classes else np.isfinite(each) for each in scores]
    both = np.flatnonzero(finite[0] & finite[1])
    kept = batch.take(pa.array(both))
    truths, answers = labels[rows][both], [each[both] for each in scores]
    pair: Pair | ClassPair
    if classes:
        arms = zip(answers, (champion, candidate), strict=True)
        said = [ClassAnswers(each, decided(each, pipeline.model.costs), arm.threshold) for each, arm in arms]
        pair = ClassPair(said[0], said[1], truths)
    else:
        pair = Pair(answers[0], answers[1], truths, champion.threshold, candidate.threshold)
    groups = {} if not len(both) else dict(_groups(kept, pipeline))
    unanswered = (int((~finite[1]).sum()), int((~finite[0]).sum()))
    known = int((labelled & knew).sum())
    broken = int((finite[0] & ~finite[1]).sum())
    problem = problems[0] if problems else ""
    return BackTest(pair, times[rows][both], kept["entity"], groups, kept, known, unanswered, broken, problem)


def _groups(columns: pa.RecordBatch, pipeline: Pipeline) -> Iterator[tuple[tuple[str, str], Flags]]:
    for group, members in Segments(pipeline).groups(columns):
        if group != WHOLE and members is not None:
            yield group, members


def _knew(arm: OpenArm, times: npt.NDArray[np.int64]) -> Flags:
    """Which events a model was fitted on, or tuned by, by their times."""
    found = np.zeros(len(times), np.bool_)
    models = (*arm.models, arm.stacking) if arm.stacking else arm.models
    for model in models:
        found |= model.package.manifest.saw(times)
    return found


def _scores(arm: OpenArm, columns: pa.RecordBatch, classes: int, problems: list[str] | None = None) -> Floats:
    """Float64 [rows], or of several classes [rows, classes].

    `problems`: takes what the model says where it does not run, whose rows have no score then; None: it raises.
    """
    found = np.empty((columns.num_rows, classes) if classes else columns.num_rows)
    for start in range(0, columns.num_rows, PIECE):
        piece = columns.slice(start, PIECE)
        try:
            scores = arm.score(Pass(piece, lambda: 0.0))
        except ContractError as error:
            if problems is None:
                raise
            problems.append(str(error))
            scores = np.full((piece.num_rows, *found.shape[1:]), np.nan)
        found[start : start + piece.num_rows] = scores
    return found


def figures_of(rules: Release, tested: BackTest, pipeline: Pipeline) -> EvaluationFigures:
    """What the gates of a pipeline ask of a back-test; what a package costs is not among it."""
    everywhere = np.ones(len(tested), np.bool_)
    differences = _within(tested, everywhere, set(rules.gates), pipeline)
    groups = {
        segment: {
            group: _within(tested, members, set(wanted), pipeline)
            for (name, group), members in tested.groups.items()
            if name == segment
        }
        for segment, wanted in rules.groups.items()
    }
    fairness = {}
    if rules.fairness is not None:
        segment = rules.fairness.segment
        members = {group: rows for (name, group), rows in tested.groups.items() if name == segment}
        fairness = {segment: _gaps(tested.pair, members, pipeline)}
    return EvaluationFigures(
        outcomes=len(tested), differences=differences, groups=groups, gaps=fairness, broken=tested.broken,
        problem=tested.problem,
    )  # fmt: skip  # a row of figures


def _gaps(pair: Pair | ClassPair, members: Mapping[str, Flags], pipeline: Pipeline) -> Mapping[str, Gap]:
    """Of the candidate, between groups."""
    if isinstance(pair, ClassPair):
        groups = {group: pair.b.some(rows).group(pair.labels[rows]) for group, rows in members.items()}
        fields = field_names(pipeline.model.classes)
        return class_gaps(groups, pair.b.threshold, np.array(pipeline.model.costs), fields)
    tables = {
        group: tabulated(pair.b[rows], pair.labels[rows], max(LEAST_CAP, int(rows.sum())))
        for group, rows in members.items()
    }
    return gaps(tables, pair.threshold_b, pipeline.value)


def _within(tested: BackTest, members: Flags, names: set[str], pipeline: Pipeline) -> Mapping[str, Difference]:
    pair = tested.pair
    if isinstance(pair, ClassPair):
        fields, costs = field_names(pipeline.model.classes), np.array(pipeline.model.costs)
        return class_differences(pair.some(members), names, fields, costs)
    inside = replace(pair, a=pair.a[members], b=pair.b[members], labels=pair.labels[members])
    rows = pa.array(np.flatnonzero(members))
    return paired_figures(inside, names, tested.times[members], tested.entities.take(rows), pipeline.value)


def agreement_of(rules: Release, champion: OpenArm, candidate: ModelPackage) -> float | None:
    """How far both models rest on the same inputs, by their cards; None where one has none, or is an ensemble."""
    if rules.explanations is None or len(champion.models) != 1 or champion.stacking is not None:
        return None
    cards = champion.models[0].package.model_card, candidate.model_card
    if cards[0] is None or cards[1] is None:
        return None
    first, second = cards[0].contributions.inputs, cards[1].contributions.inputs
    return top_agreement(first, second, rules.explanations.top)
