"""What a model was trained on, column by column, as bins: what later events are held against."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace.domain.drift.attribution_sample import AttributionSample, attribution_sample
from headrace.domain.drift.bets import inflation_of
from headrace.domain.drift.cycles import CELLS, Cycle, calendar_share, cycle_of
from headrace.domain.drift.harm.column_losses import read_losses
from headrace.domain.drift.harm.loss_reference import LossReference
from headrace.domain.drift.joint_score import JointScore, joint_score_on, others_of
from headrace.domain.drift.reference_bins import Bytes, Floats, Ints, ReferenceBins, code_bins, halved_bins
from headrace.errors import ContractError

FORMAT = 1
SCORE, DECISION, LOSS, LABEL = "model score", "model decision", "model loss", "positive label"
"""Columns beside a model's inputs, under names that no input has: what it answered, whether that reached its threshold,
how wrong it was, and what came true."""
CLASS, TRUE_CLASS = "model class", "true class"
"""Of several classes: the one decided on, and what came true."""
TOGETHER = "inputs together"
WEEKS, CYCLIC = 4, 0.02
"""Weeks of a reference, and the share of a column's variance that the hour of the week explains, from which on values
are held against what is usual at their hour."""
MOST_BINS = 64
NORMAL_95 = 1.6449
CERTAIN = 1e-6
"""Scores count as no closer to 0 and 1, so that a loss is a number."""


@dataclass(frozen=True, slots=True, eq=False)
class ColumnProfile:
    """A column as the reference knows it.

    Attributes:
        bins: how its values lie.
        inflation: how much more sums of its rows vary than those of independent ones, see `inflation_of`.
        cycle: what is usual at each hour; the bins are of residuals then. None: of the values themselves.
        others: int64, by bin: of the rows counted, those that had no part in making the bins; None: nobody knows which.
    """

    bins: ReferenceBins
    inflation: float = 1.0
    cycle: Cycle | None = None
    others: Ints | None = None

    def place(self, values: Floats, hours: Ints) -> Bytes:
        """The bin of each value (float64, NaN where missing), uint8; `hours`: int64, of the week."""
        return self.bins.place(pa.array(values if self.cycle is None else self.cycle.residuals(values, hours)))

    def divergence(self, shares: Floats) -> float:
        """Kullback and Leibler's, of shares of the bins (float64) from the reference's, in nats."""
        known, there = self.bins.frequencies, shares > 0
        return float(np.sum(shares[there] * np.log(shares[there] / known[there])))

    def by_chance(self, events: float) -> float:
        """The divergence within which so many events stay that differ by chance alone, 19 times in 20 (G test)."""
        if events <= 0:
            return np.inf
        spread = self.inflation * (1 + events / max(self.bins.rows, 1))
        free = max(len(self.bins.counts) - 1, 1)
        # Wilson and Hilferty's quantile of chi squared.
        bound = free * (1 - 2 / (9 * free) + NORMAL_95 * np.sqrt(2 / (9 * free))) ** 3
        return float(bound * spread / (2 * events))


@dataclass(frozen=True, slots=True, eq=False)
class JointProfile:
    """What inputs have to do with one another, as further columns.

    Attributes:
        of: names of the inputs that `score` is made of, in its order.
        score: makes the columns.
        columns: profiles of these, by name, in their order.
    """

    of: tuple[str, ...]
    score: JointScore
    columns: Mapping[str, ColumnProfile]


@dataclass(frozen=True, slots=True, eq=False)
class AttributionProfile:
    """What inputs contributed to answers.

    Attributes:
        sample: how contributions are made, and of which rows.
        columns: by input, profiles of how large they were, on rows that the model was not fitted on.
    """

    sample: AttributionSample
    columns: Mapping[str, ColumnProfile]


@dataclass(frozen=True, slots=True, eq=False)
class ReferenceProfile:
    """The columns of a reference, by name: a model's inputs by theirs, and those known of `SCORE` and its like.

    Attributes:
        inputs: what the model read.
        answers: what became of it, on rows that it was not fitted on.
        joint: of inputs together; None where there are not two that vary.
        calendar: inputs that the hour of the week determines, of which nothing else is told.
        attributions: how large inputs' contributions were; None where nobody looked.
        loss: what it lost by its score, on rows that it was not fitted on; None where nobody counted.
        losses: by column, float64, the mean loss of such rows in each of its bins.
    """

    inputs: Mapping[str, ColumnProfile]
    answers: Mapping[str, ColumnProfile]
    joint: JointProfile | None = None
    calendar: tuple[str, ...] = ()
    attributions: AttributionProfile | None = None
    loss: LossReference | None = None
    losses: Mapping[str, Floats] = field(default_factory=dict)

    @property
    def columns(self) -> dict[str, ColumnProfile]:
        """All of them."""
        return {**self.inputs, **self.answers, **({} if self.joint is None else self.joint.columns)}

    def dump(self) -> bytes:
        """As JSON, always the same."""
        parts = {"inputs": self.inputs, "answers": self.answers}
        said = {part: {name: said_of(column) for name, column in columns.items()} for part, columns in parts.items()}
        joint = {} if self.joint is None else {"joint": _said_joint(self.joint)}
        further: dict[str, Any] = {"calendar": list(self.calendar)} if self.calendar else {}
        further |= {} if self.attributions is None else {"attributions": _said_attributions(self.attributions)}
        further |= {} if self.loss is None else {"loss": self.loss.dump()}
        further |= {"losses": {name: each.tolist() for name, each in self.losses.items()}} if self.losses else {}
        return json.dumps(
            {"format": FORMAT, **said, **joint, **further}, separators=(",", ":"), allow_nan=False
        ).encode()


def profile_of(
    names: Sequence[str], matrix: npt.NDArray[np.floating], hours: Ints | None = None
) -> dict[str, ColumnProfile]:
    """Profiles of numeric columns.

    Args:
        names: of the columns.
        matrix: rows x columns, in the order of their time, NaN where missing.
        hours: int64, of the week, of each row; None: no column is held against what is usual at its hour.
    """
    columns = (np.ascontiguousarray(matrix[:, at], np.float64) for at in range(len(names)))
    return {name: _hourly_profile(values, hours) for name, values in zip(names, columns, strict=True)}


def _hourly_profile(values: Floats, hours: Ints | None) -> ColumnProfile:
    if hours is None or np.count_nonzero(np.diff(hours) < 0) < WEEKS or calendar_share(values, hours) < CYCLIC:
        return numeric_profile(values)
    cycle = cycle_of(values, hours)
    return replace(numeric_profile(cycle.residuals(values, hours)), cycle=cycle)


def joint_of(
    profiles: Mapping[str, ColumnProfile], matrix: npt.NDArray[np.floating], hours: Ints | None = None
) -> JointProfile | None:
    """What columns have to do with one another in a reference.

    Args:
        profiles: of numeric columns, by name.
        matrix: rows x these columns, in the order of their time, NaN where missing.
        hours: as in `profile_of`.
    """
    bins = [profile.bins for profile in profiles.values()]
    hours = np.zeros(len(matrix), np.int64) if hours is None else hours
    places = np.empty((len(matrix), len(bins)), np.uint8)
    for at, profile in enumerate(profiles.values()):
        places[:, at] = profile.place(np.ascontiguousarray(matrix[:, at], np.float64), hours)
    score = joint_score_on(bins, places)
    if score is None:
        return None
    names = tuple(profiles)
    inflations = [inflation_of(np.ascontiguousarray(values)) for values in score.values(places).T]
    further = [
        ColumnProfile(bins, inflation, others=others)
        for bins, inflation, others in zip(score.bins, inflations, others_of(score, places), strict=True)
    ]
    return JointProfile(names, score, dict(zip(_joint_names(names, score), further, strict=True)))


def _joint_names(of: tuple[str, ...], score: JointScore) -> list[str]:
    features = [of[at] for at in score.features.tolist()]
    return [TOGETHER, *(f"{features[a]} with {features[b]}" for a, b in score.pairs.tolist())]


def numeric_profile(values: Floats) -> ColumnProfile:
    """The profile of numbers (float64, NaN where missing), in the order of their time."""
    largest = np.finfo(np.float64).max
    known = np.where(np.isfinite(values), values, np.nan)
    bins, others = halved_bins(np.clip(values, -largest, largest))
    return ColumnProfile(bins, inflation_of(known), others=others)


def category_profile(numbers: Floats, name: Callable[[int], str]) -> ColumnProfile:
    """The profile of a category by its numbers (float64, NaN where missing), in the order of their time.

    The inflation is that of the bin that varies most.

    Args:
        name: how people read a number.
    """
    made = code_bins(numbers[::2], name)
    others = np.bincount(made.place(pa.array(numbers[1::2])), minlength=len(made.counts)).astype(np.int64)
    places = made.place(pa.array(numbers))
    inflation = max(inflation_of((places == at).astype(np.float64)) for at in range(len(made.counts)))
    return ColumnProfile(replace(made, counts=made.counts + others), inflation, others=others)


def answers_of(scores: Floats, labels: Floats, threshold: float) -> dict[str, ColumnProfile]:
    """Profiles of what a model answered to rows that it was not fitted on, float64, in the order of their time."""
    found = {SCORE: scores, DECISION: (scores >= threshold).astype(np.float64), LOSS: log_loss(scores, labels)}
    found[LABEL] = labels
    return {name: numeric_profile(values) for name, values in found.items()}


def values_of(scores: Floats, labels: Floats) -> dict[str, ColumnProfile]:
    """As `answers_of`, of quantities: what was answered, and how far it was off, squared."""
    return {SCORE: numeric_profile(scores), LOSS: numeric_profile(squared_error(scores, labels))}


def class_answers_of(
    chances: Floats, decided: Ints, truths: tuple[Floats, Floats], threshold: float,
    classes: Sequence[str], fields: Sequence[str],
) -> dict[str, ColumnProfile]:  # fmt: skip  # rows, the model
    """As `answers_of`, of several classes.

    Args:
        chances: float64 [rows, classes].
        decided: int64, the place of the class decided on.
        truths: float64, the place of the one that came true, and what each row lost; NaN where not known.
        threshold: the least chance of the class decided on with which its decision is yes.
        classes, fields: their names, as people read them and as fields have them.
    """
    scores, (labels, lost) = chances[np.arange(len(chances)), decided], truths
    found = {SCORE: scores, DECISION: (scores >= threshold).astype(np.float64), LOSS: lost}
    found |= {score_of(name): np.ascontiguousarray(chances[:, at]) for at, name in enumerate(fields)}
    profiles = {name: numeric_profile(values) for name, values in found.items()}
    places = {CLASS: decided.astype(np.float64), TRUE_CLASS: labels}
    return profiles | {name: category_profile(each, classes.__getitem__) for name, each in places.items()}


def score_of(name: str) -> str:
    """The column of the chance of one of several classes, by its name as a field."""
    return f"{SCORE} of {name}"


def log_loss(scores: Floats, labels: Floats) -> Floats:
    """Of each row, float64: minus the logarithm of the chance that was given to what came true; NaN without a label.

    >>> log_loss(np.array([0.5, 1.0, 0.3]), np.array([1.0, 1.0, np.nan])).round(3).tolist()
    [0.693, 0.0, nan]
    """
    chance = np.clip(np.where(labels > 0.5, scores, 1 - scores), CERTAIN, 1.0)
    return np.where(np.isnan(labels), np.nan, 0.0 - np.log(chance))


def squared_error(scores: Floats, labels: Floats) -> Floats:
    """Of each row, float64; NaN without a label."""
    found: Floats = (scores - labels) ** 2
    return found


def parse(data: bytes, where: str) -> ReferenceProfile:
    """The profile that `dump` wrote; ContractError says what is wrong with it, `where` it lies."""
    try:
        said = json.loads(data)
        if said["format"] != FORMAT:
            raise ContractError(f"{where}: a reference profile of format {said['format']}, this code reads {FORMAT}")
        inputs, answers = (
            {name: column_of(column) for name, column in said[part].items()} for part in ("inputs", "answers")
        )
        joint = _joint(said["joint"], inputs) if "joint" in said else None
        attributions = _attributions(said["attributions"]) if "attributions" in said else None
        loss = LossReference.of(said["loss"]) if "loss" in said else None
        calendar = tuple(map(str, said.get("calendar", ())))
        plain = ReferenceProfile(inputs, answers, joint, calendar, attributions, loss)
        bins = {name: len(column.bins.counts) for name, column in plain.columns.items()}
        return replace(plain, losses=read_losses(said.get("losses", {}), bins))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ContractError(f"{where}: no reference profile: {type(error).__name__} {error}") from None


def said_of(column: ColumnProfile) -> dict[str, Any]:
    """A column as JSON has it."""
    bins = column.bins
    kind: dict[str, Any] = {"levels": list(bins.levels)} if bins.edges is None else {"edges": bins.edges.tolist()}
    kind |= {} if bins.codes is None else {"codes": bins.codes.tolist()}
    cycle = column.cycle
    usual = {} if cycle is None else {"centres": cycle.centres.tolist(), "spreads": cycle.spreads.tolist()}
    others = {} if column.others is None else {"others": column.others.tolist()}
    return {**kind, "counts": bins.counts.tolist(), "inflation": column.inflation, **others, **usual}


def _said_attributions(given: AttributionProfile) -> dict[str, Any]:
    return given.sample.said() | {"columns": {name: said_of(column) for name, column in given.columns.items()}}


def _attributions(said: Mapping[str, Any]) -> AttributionProfile:
    columns = {str(name): column_of(column) for name, column in said["columns"].items()}
    if any(column.bins.edges is None for column in columns.values()):
        raise ValueError("contributions that are no numbers")
    return AttributionProfile(attribution_sample(said), columns)


def _said_joint(joint: JointProfile) -> dict[str, Any]:
    score = joint.score
    return {
        "of": list(joint.of),
        "features": score.features.tolist(),
        "scores": score.scores.tolist(),
        "whitening": score.whitening.tolist(),
        "pairs": score.pairs.tolist(),
        "columns": [said_of(column) for column in joint.columns.values()],
    }


def _joint(said: Mapping[str, Any], inputs: Mapping[str, ColumnProfile]) -> JointProfile:
    of, columns = tuple(map(str, said["of"])), [column_of(column) for column in said["columns"]]
    features, pairs = (np.array(said[name], np.int64) for name in ("features", "pairs"))
    pairs = pairs.reshape(-1, 2)
    scores, whitening = (np.array(said[name], np.float64) for name in ("scores", "whitening"))
    count = len(features)
    shapes = scores.ndim == 2 and len(scores) == count and whitening.shape == (count, count)
    if not shapes or len(columns) != 1 + len(pairs) or count < 2:
        raise ValueError("what is said of inputs together does not fit together")
    within = np.all((features >= 0) & (features < len(of))) and np.all((pairs >= 0) & (pairs < count))
    widest = max(len(inputs[name].bins.counts) for name in of)
    widest = max(len(inputs[of[at]].bins.counts) for at in features) if within else 0
    if not within or not np.isfinite(scores).all() or not np.isfinite(whitening).all() or scores.shape[1] < widest:
        raise ValueError("what is said of inputs together is of none of them")
    score = JointScore(features, scores, whitening, pairs, tuple(column.bins for column in columns))
    return JointProfile(of, score, dict(zip(_joint_names(of, score), columns, strict=True)))


def column_of(said: Mapping[str, Any]) -> ColumnProfile:
    """What `said_of` told. Raises ValueError, KeyError or TypeError for anything else."""
    counts = np.array(said["counts"], np.int64)
    edges = np.array(said["edges"], np.float64) if "edges" in said else None
    levels = tuple(map(str, said.get("levels", ())))
    expected = len(levels) + 2 if edges is None else len(edges) + 2
    if len(counts) != expected or not 2 <= expected <= MOST_BINS or counts.ndim != 1 or (counts < 0).any():
        raise ValueError(f"{len(counts)} counts where {expected} are due")
    if edges is not None and (not np.isfinite(edges).all() or (np.diff(edges) <= 0).any()):
        raise ValueError("edges do not ascend")
    inflation = float(said["inflation"])
    if not 1.0 <= inflation < np.inf:
        raise ValueError(f"an inflation of {inflation}")
    others = np.array(said["others"], np.int64) if "others" in said else None
    if others is not None and (others.shape != counts.shape or (others < 0).any() or (others > counts).any()):
        raise ValueError("other rows are not among those counted")
    codes = np.array(said["codes"], np.int64) if "codes" in said else None
    if codes is not None and (edges is not None or len({*codes.tolist()}) != len(levels) or codes.ndim != 1):
        raise ValueError(f"{len(codes)} numbers of {len(levels)} levels")
    return ColumnProfile(ReferenceBins(counts, edges, levels, codes), inflation, _cycle(said), others)


def _cycle(said: Mapping[str, Any]) -> Cycle | None:
    if "centres" not in said:
        return None
    centres, spreads = (np.array(said[name], np.float64) for name in ("centres", "spreads"))
    if centres.shape != (CELLS,) or spreads.shape != (CELLS,) or not (spreads > 0).all():
        raise ValueError("what is usual at each hour is not told of each")
    if not np.isfinite(centres).all() or not np.isfinite(spreads).all():
        raise ValueError("what is usual at an hour is no number")
    return Cycle(centres, spreads)
