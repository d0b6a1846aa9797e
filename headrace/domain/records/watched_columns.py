"""What `drift` watches of a model: which columns of predictions and outcomes, and where their values lie."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace.domain.drift.cycles import hours_of
from headrace.domain.drift.e_detector import NOTHING
from headrace.domain.drift.harm.column_losses import effect
from headrace.domain.drift.joint_score import weights_with
from headrace.domain.drift.reference_profile import (
    CLASS,
    DECISION,
    LABEL,
    LOSS,
    SCORE,
    TRUE_CLASS,
    ColumnProfile,
    JointProfile,
    ReferenceProfile,
    log_loss,
    score_of,
    squared_error,
)
from headrace.domain.models.matrix import FeatureMatrix
from headrace.domain.models.package import Manifest
from headrace.domain.pipeline.classes import columns as class_columns
from headrace.domain.pipeline.classes.names import field_names
from headrace.domain.pipeline.segments import Segments, group_names
from headrace.domain.pipeline.spec import Pipeline
from headrace.domain.quality.classes.losses import half_brier
from headrace.domain.records.contribution_columns import WEIGHT, ContributionColumns, Opening
from headrace.domain.records.loss_columns import LossColumns

Floats = npt.NDArray[np.float64]
Bytes = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]

PREDICTIONS, SHADOW, OUTCOMES = "predictions", "shadow-predictions", "outcomes"
STREAMS = (PREDICTIONS, SHADOW, OUTCOMES)
"""The topics whose rows are watched by what their model's package says, each by itself."""
LARGEST = float(np.finfo(np.float64).max)
"""Infinite values count as this."""
NO_CHANGES: Mapping[str, Callable[[Floats], Floats]] = {}
SILENT = np.inf
"""Stands for a value where a row says nothing of a column."""
WHOLE_LOSS, POSITIVES = 0.5, 0.2
"""What the loss of all rows, and the share of positives, have of what is laid on outcomes; groups share the rest."""


class ModelIdentity(NamedTuple):
    """Which model answered."""

    name: str
    version: str
    digest: str

    @property
    def title(self) -> str:
        """`name@version`."""
        return f"{self.name}@{self.version}"


class WatchedColumns:
    """The columns of a stream that are watched for a model; a pure function of rows.

    Of predictions, dark ones too: what the model reads, its score and decision, the ages of views, and of a sample what
    its inputs contributed; of several classes the chance of each, too, and which was decided on. Of outcomes: how wrong
    it was, in all and in each group of the segments, and the share of positives where it gives chances, or of each of
    several classes.

    Args:
        stream: of `STREAMS`.
        pipeline: its views and segments.
        manifest: of the model's package.
        reference: of the package; None where it has none.
        schema: of the stream's columns.
        opening: loads the model once contributions are due; None: no row says anything of them.

    Attributes:
        names: of all columns, in their order.
        profiles: of those that the reference knows.
        known, unknown: those that it knows, and the others.
        proved: whether the promise on false alarms is to be proved: references of packages that do not tell by which
            rows do not count then.
        losses: what is told of each row beside them.
        groups: names of the columns that are of rows of a group.
        left_out: inputs that are not watched, for they follow from the time of the event alone: no day is like another.

    Raises:
        ContractError: predictions lack what the model reads.
    """

    def __init__(
        self,
        stream: str,
        pipeline: Pipeline,
        manifest: Manifest,
        reference: ReferenceProfile | None,
        schema: pa.Schema,
        opening: Opening | None = None,
    ) -> None:
        self._chance = pipeline.model.output == "probability"
        self._classes = pipeline.model.classes
        self._chances = tuple(map(score_of, field_names(self._classes)))
        self.proved = pipeline.drift.mode == "proved"
        self._joint: JointProfile | None = None
        self._contributions: ContributionColumns | None = None
        self._manifest = manifest
        self.left_out: tuple[str, ...] = ()
        self.groups: tuple[str, ...] = ()
        told = None if reference is None else reference.loss
        told = told if told is not None and (told.scores is not None) == self._chance else None
        self.losses = LossColumns(told, stream == OUTCOMES)
        self._lost = {} if told is None or reference is None else reference.losses
        self._segments = Segments(pipeline)
        self._matrix: FeatureMatrix | None = None
        answers = {} if reference is None else reference.answers
        if stream != OUTCOMES:
            self._inputs = manifest.input_names
            calendar = {*pipeline.clock_features, *(() if reference is None else reference.calendar)}
            self.left_out = tuple(name for name in self._inputs if name in calendar)
            self._matrix = FeatureMatrix.resolve(manifest.inputs, schema, f"{manifest.name}@{manifest.version}")
            self._fields = {SCORE: "score"} | ({DECISION: "decision"} if self._chance or self._classes else {})
            self._fields |= {f"age of {view.name}": f"{view.name}_age" for view in pipeline.foreign_views}
            of_classes = (*self._chances, *([CLASS] if self._classes else []))
            self.names: tuple[str, ...] = (
                *(n for n in self._inputs if n not in self.left_out),
                *self._fields,
                *of_classes,
            )
            profiles = {**({} if reference is None else reference.inputs), **answers}
            self._joint = None if reference is None else reference.joint
            attributions = None if reference is None else reference.attributions
            if attributions is not None and all(map(self._serves, attributions.columns.values())):
                self._contributions = ContributionColumns(attributions, self._inputs, self.left_out, opening)
        else:
            groups = ((segment.name, name) for segment in pipeline.segments.values() for name in group_names(segment))
            self.groups = tuple(loss_of(*group) for group in groups)
            positives = [LABEL] if self._chance else [TRUE_CLASS] if self._classes else []
            self.names = (LOSS, *positives, *self.groups)
            profiles = dict(answers) if self._chance or told is not None else {}
        self.profiles = {
            name: profiles[name] for name in self.names if name in profiles and self._serves(profiles[name])
        }
        if self._joint is not None and not all(map(self._serves, self._joint.columns.values())):
            self._joint = None
        if self._joint is not None and self.profiles.keys() >= set(self._joint.of):
            self.profiles |= self._joint.columns
            self.names = (*self.names, *self._joint.columns)
        else:
            self._joint = None
        if self._contributions is not None:
            self.profiles |= self._contributions.profiles
            self.names = (*self.names, *self._contributions.profiles)
        self.known = tuple(name for name in self.names if name in self.profiles)
        self.unknown = tuple(name for name in self.names if name not in self.profiles)

    def _serves(self, profile: ColumnProfile) -> bool:
        return profile.others is not None or not self.proved

    @property
    def categories(self) -> dict[str, Callable[[int], str]]:
        """Of columns whose numbers stand for categories, how people read one."""
        codes = {} if self._matrix is None else {self._inputs[at]: each for at, each in self._matrix.codes}
        found = {name: each.name for name, each in codes.items()}
        return found | (dict.fromkeys((CLASS, TRUE_CLASS), self._classes.__getitem__) if self._classes else {})

    @property
    def inputs(self) -> list[str]:
        """Inputs of the model among the columns."""
        return [] if self._matrix is None else [name for name in self._inputs if name in self.names]

    @property
    def plain(self) -> frozenset[str]:
        """The columns that are not made of others."""
        return frozenset(self.names) - (frozenset() if self._joint is None else frozenset(self._joint.columns))

    def values(self, columns: pa.RecordBatch, name: str) -> Floats:
        """The values of one column that is not made of others, float64: NaN where missing, `SILENT` where none is."""
        found = self._losses(columns) if self._matrix is None else self._answers(columns)
        contributions = self._contributions
        if contributions is not None and name in contributions.profiles:
            rows = contributions.rows(columns)
            found[name] = np.full(columns.num_rows, SILENT)
            found[name][rows] = contributions.sizes(rows, found)[:, [*contributions.profiles].index(name)]
        return found[name]

    def fits(self, places: Bytes, values: Floats) -> bool:
        """Whether these can be what `read` gives: as many columns, and no bin that there is not."""
        if (places.shape[1], values.shape[1]) != (len(self.known), len(self.unknown)):
            return False
        most = np.array([len(self.profiles[name].bins.counts) for name in self.known], np.int64)
        return bool(np.all((places < most) | (places == NOTHING)))

    def fits_with_losses(self, places: Bytes, values: Floats) -> bool:
        """Whether these can be what `read_with_losses` gives, or what `read` does: so it once was."""
        known, unknown = len(self.known), len(self.unknown)
        further = places[:, known:], values[:, unknown:]
        alone = not further[0].shape[1] and not further[1].shape[1]
        return self.fits(places[:, :known], values[:, :unknown]) and (alone or self.losses.fits(*further))

    def weights(self) -> Floats:
        """Of each column's bets together, float64; of outcomes see `WHOLE_LOSS`."""
        joint, contributions = self._joint, self._contributions
        if contributions is not None:
            others = len(self.names) - len(contributions.profiles)
            further = 0 if joint is None else len(joint.columns)
            found = weights_with(others - further, None if joint is None else joint.score)
            return np.append((1 - WEIGHT) * found, contributions.weights())
        if joint is not None:
            return weights_with(len(self.names) - len(joint.columns), joint.score)
        if self._matrix is not None:
            return np.full(len(self.names), 1.0 / len(self.names))
        parts = {LOSS: WHOLE_LOSS, LABEL: POSITIVES, TRUE_CLASS: POSITIVES}
        alone = [parts.get(name, 0.0) for name in self.names]
        rest = 0.0 if not self.groups else (1.0 - sum(alone)) / len(self.groups)
        found = np.array([parts.get(name, rest) for name in self.names])
        weights: Floats = found / found.sum()
        return weights

    def new(self, columns: pa.RecordBatch) -> Flags:
        """Which rows the model was not fitted on, by their event times: of the others it knows too much."""
        return ~self._manifest.saw(columns.column("event_time").cast(pa.int64()).to_numpy())

    def read(
        self, columns: pa.RecordBatch, changes: Mapping[str, Callable[[Floats], Floats]] = NO_CHANGES
    ) -> tuple[Bytes, Floats]:
        """Of each row the bins of known columns, uint8 rows x known, and the values of unknown ones, float64
        rows x unknown: NaN where missing, `SILENT` where the row says nothing of it.

        Args:
            changes: by column, what becomes of its values before that, for whoever supposes something.
        """
        values = self._losses(columns) if self._matrix is None else self._answers(columns)
        values |= {name: change(values[name]) for name, change in changes.items()}
        hours = hours_of(columns.column("event_time").cast(pa.int64()).to_numpy())
        places = np.empty((columns.num_rows, len(self.known)), np.uint8)
        for at, name in enumerate(self.known):
            if name in values:
                places[:, at] = self.profiles[name].place(values[name], hours)
        end = len(self.known)
        if self._contributions is not None:
            first = end - len(self._contributions.profiles)
            places[:, first:end] = self._contributions.place(self._contributions.rows(columns), values, hours)
            end = first
        if self._joint is not None:
            made_of = [self.known.index(name) for name in self._joint.of]
            places[:, end - len(self._joint.columns) : end] = self._joint.score.place(places[:, made_of])
        rest = np.empty((columns.num_rows, len(self.unknown)))
        for at, name in enumerate(self.unknown):
            rest[:, at] = values[name]
        return places, rest

    def read_with_losses(self, columns: pa.RecordBatch) -> tuple[Bytes, Floats]:
        """What `read` gives, with what `losses` tells of each row behind it."""
        places, values = self.read(columns)
        truths = None
        if self._matrix is None:
            truths = _numbers(columns, "label") if self._chance else self._lost_by(columns)
        further = self.losses.read(_numbers(columns, "score"), truths)
        return np.hstack([places, further[0]]), np.hstack([values, further[1]])

    def members(self, places: Bytes, values: Floats) -> Flags:
        """Which groups rows are in, rows x groups, by what `read` gave."""
        found = np.empty((len(places), len(self.groups)), np.bool_)
        for at, name in enumerate(self.groups):
            if name in self.profiles:
                found[:, at] = places[:, self.known.index(name)] != NOTHING
            else:
                found[:, at] = values[:, self.unknown.index(name)] != SILENT
        return found

    def effect(self, name: str, reference: Floats, recent: Floats) -> float | None:
        """By which share of its mean the loss changes with the shares of a column's bins, all else the same.

        None where the package does not tell what was lost in each.
        """
        lost, told = self._lost.get(name), self.losses.reference
        if lost is None or told is None or len(lost) != len(recent) or told.mean <= 0:
            return None
        return effect(reference, recent, lost) / told.mean

    def _answers(self, columns: pa.RecordBatch) -> dict[str, Floats]:
        assert self._matrix is not None, "made for predictions"
        matrix = np.asfortranarray(self._matrix.of(columns), np.float64)
        found = {name: np.clip(matrix[:, at], -LARGEST, LARGEST) for at, name in enumerate(self._inputs)}
        found |= {name: _numbers(columns, field) for name, field in self._fields.items()}
        if self._classes:
            chances = class_columns.chances_of(columns)
            found |= {name: np.ascontiguousarray(chances[:, at]) for at, name in enumerate(self._chances)}
            places = class_columns.places_of(columns.column(class_columns.CLASS), self._classes)
            found[CLASS] = np.where(places == class_columns.NO_CLASS, np.nan, places)
        return found

    def _lost_by(self, columns: pa.RecordBatch) -> Floats:
        """What each outcome lost, float64: of several classes half its Brier score, of values the squared error."""
        labels = _numbers(columns, "label")
        if self._classes:
            return half_brier(class_columns.chances_of(columns), labels)
        return squared_error(_numbers(columns, "score"), labels)

    def _losses(self, columns: pa.RecordBatch) -> dict[str, Floats]:
        if self._chance:
            lost = log_loss(_numbers(columns, "score"), _numbers(columns, "label"))
        else:
            lost = self._lost_by(columns)
        loss = np.minimum(lost, LARGEST)
        found = {name: np.full(columns.num_rows, SILENT) for name in self.names}
        if self._chance or self._classes:
            found[LABEL if self._chance else TRUE_CLASS] = _numbers(columns, "label")
        for group, rows in self._segments.groups(columns):
            which = slice(None) if rows is None else rows
            found[LOSS if rows is None else loss_of(*group)][which] = loss[which]
        return found


def loss_of(segment: str, group: str) -> str:
    """The name of the column of losses of a group."""
    return f"{LOSS} ({segment} {group})"


def judged(columns: pa.RecordBatch) -> Flags:
    """Which outcomes say how wrong a model was: the first of a prediction, with a label; corrections repeat it."""
    first = columns.column("revision").to_numpy(zero_copy_only=False) == 0
    found: Flags = first & columns.column("label").is_valid().to_numpy(zero_copy_only=False)
    return found


def models_of(columns: pa.RecordBatch) -> Iterator[tuple[ModelIdentity, Flags | None]]:
    """Each model that rows of predictions or outcomes are of, with its rows; None for all."""
    model = columns.column("model")
    fields = [model.field(name).cast(pa.string()) for name in ModelIdentity._fields]
    digests = fields[2].dictionary_encode()
    codes = digests.indices.to_numpy(zero_copy_only=False)
    for code in range(len(digests.dictionary)):
        rows = codes == code
        first = int(np.argmax(rows))
        identity = ModelIdentity(*(field[first].as_py() for field in fields))
        yield identity, None if rows.all() else rows


def _numbers(columns: pa.RecordBatch, name: str) -> Floats:
    values = columns.column(name)
    if pa.types.is_boolean(values.type):
        values = values.cast(pa.uint8())
    found: Floats = values.cast(pa.float64(), safe=False).fill_null(np.nan).to_numpy(zero_copy_only=False)
    return np.clip(found, -LARGEST, LARGEST)
