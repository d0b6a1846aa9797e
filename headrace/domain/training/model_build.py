"""Fits a model by the trainer that was chosen, proves that its graph says the same, packs both with their origin."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import version as version_of
from platform import python_version
from typing import Any

import numpy as np
import numpy.typing as npt

from headrace.domain.drift.cycles import calendar_features, hours_of
from headrace.domain.drift.reference_profile import (
    ReferenceProfile,
    answers_of,
    category_profile,
    joint_of,
    profile_of,
    values_of,
)
from headrace.domain.models import held_out
from headrace.domain.models.answer_interval import AnswerInterval
from headrace.domain.models.card import ModelCard
from headrace.domain.models.checks.graph_policy import LARGEST_GRAPH
from headrace.domain.models.package import Input, Manifest, ModelPackage, Training, Tuned, pack
from headrace.domain.models.positive_class import scored
from headrace.domain.models.sessions import RUNTIME_VERSION, SessionSettings, open_session
from headrace.domain.pipeline.categories.section import native
from headrace.domain.pipeline.categories.spec import Category
from headrace.domain.pipeline.classes.decision import Costs
from headrace.domain.quality.decisions import DecisionWorth, best_threshold
from headrace.domain.quality.score_table import LEAST_CAP, tabulated
from headrace.domain.training.attribution_reference import attribution_profile, held_out_contributions
from headrace.domain.training.card_figures import completed, metrics_of
from headrace.domain.training.categories.encoder import described, encoder_of
from headrace.domain.training.classes.class_answers import class_profiles
from headrace.domain.training.classes.two_classes import of_both
from headrace.domain.training.dataset import Dataset, split
from headrace.domain.training.evaluation import conformal_half_width
from headrace.domain.training.graphs import CLASSES, OUTPUT, QUANTITY, REMEDY
from headrace.domain.training.held_out_losses import with_losses
from headrace.domain.training.trainer import (
    ALONE,
    CONTINUED,
    GROWN,
    NATIVE,
    QUANTITIES,
    SEVERAL,
    TRAINERS,
    WEIGHED,
    Choice,
    Fitted,
    libraries_of,
    taken_by,
    trainer_of,
)
from headrace.errors import ConfigurationError, ContractError

PARITY = 5e-5  # most that the graph may differ from the library on any row: sums of 32 bits lose 1e-5 with large leaves
QUANTILES = tuple(np.linspace(0, 1, 41).tolist())
LEAST_ROWS = 100
LIBRARIES = ("numba", "numpy", "onnx")
"""That graphs, contributions and profiles are made by, whatever fits."""


@dataclass(frozen=True, slots=True)
class BasePackage:
    """A package that a model goes on from.

    Attributes:
        title, digest: its name@version, and its identity.
        continuation: the trainer's own form of it.
        start, end: event times of the rows whose labels it knows, first and last, milliseconds.
    """

    title: str
    digest: str
    continuation: bytes
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Tuning:
    """Rows that a threshold is chosen by: the one by which decisions about them would have been worth most.

    Attributes:
        rows: labelled ones, which the model is not fitted on.
        worth: of a decision.
    """

    rows: Dataset
    worth: DecisionWorth

    def threshold(self, package: ModelPackage) -> float | None:
        """The best one for a package; None: the rows say nothing."""
        scores = open_session(package, SessionSettings(device="cpu")).run(self.rows.matrix)
        best = best_threshold(tabulated(scores, self.rows.labels, max(LEAST_CAP, len(scores))), self.worth)
        return None if best is None else float(best[0])

    @property
    def span(self) -> Tuned:
        """When the rows were."""
        return Tuned(start=int(self.rows.times.min()), end=int(self.rows.times.max()))


@dataclass(frozen=True, slots=True)
class Recipe:
    """What to make of the rows.

    Attributes:
        name, version: of the package.
        threshold: a score at or above it is a positive decision.
        trainer: a name of `trainer.TRAINERS`.
        parameters, trees, seed: see `trainer.Choice`.
        holdout: share of the time, at its end, that the model is judged by and not fitted on; 0 fits on all rows.
        gap: milliseconds left out between the two.
        as_of: milliseconds, the moment whose knowledge the labels are; for the package.
        revision: of the code that makes the package.
        offsets: topic name -> partition -> [from, to): the records that the rows were read from.
        clock: inputs that say nothing of an event but when it was: nobody watches them for drift.
        base: the model that it goes on from.
        card: what is to be told of where the rows come from; how the model does is added.
        tuning: what chooses the threshold, in place of `threshold`.
        categories: of inputs that are categories, how they become numbers; `Dataset.declared` says which are.
        coverage: share of later events that intervals of quantities are to hold.
        costs: of decisions among several classes, by which the reference tells decisions.
    """

    name: str
    version: str
    threshold: float = 0.5
    trainer: str = "lightgbm"
    parameters: Mapping[str, Any] = field(default_factory=dict)
    trees: int | None = None
    seed: int = 0
    holdout: float = 0.25
    gap: int = 0
    as_of: int | None = None
    revision: str | None = None
    offsets: Mapping[str, Mapping[int, tuple[int, int]]] = field(default_factory=dict)
    clock: frozenset[str] = frozenset()
    base: BasePackage | None = None
    card: ModelCard = field(default_factory=ModelCard)
    tuning: Tuning | None = None
    categories: Mapping[str, Category] = field(default_factory=dict)
    coverage: float = 0.9
    costs: Costs = ()


@dataclass(frozen=True, slots=True)
class Cut:
    """Where rows are parted: those before `fitted` are fitted, those from `judged` on held out; None holds none out."""

    fitted: int
    judged: int | None


def train(data: Dataset, recipe: Recipe, progress: Callable[[int], None] = lambda trees: None) -> ModelPackage:
    """Fit, judge, convert, compare, pack. The same rows and recipe give the same package, to the digest.

    Args:
        data: labelled rows in time order.
        recipe: what to make of them.
        progress: told the number of trees grown so far.

    Raises:
        ConfigurationError: no such trainer or parameter, too few rows or one class on either side of the split, or
            rows that the library cannot take.
        ContractError: the model cannot be converted, is too large, or the graph's scores of any row differ from the
            library's by more than `PARITY`.
    """
    check_share(recipe.holdout)
    cut = Cut(len(data), None)
    if recipe.holdout:
        if len(data) and int(data.times.min()) == int(data.times.max()):
            raise ConfigurationError(
                f"all {len(data):,} rows have one time, so none of it can be held out to judge by: take a longer time, "
                "or hold nothing out (--holdout 0)"
            )
        fitted, later = split(data, recipe.holdout, recipe.gap)
        cut = Cut(len(fitted), len(data) - len(later))
    return package_of(fit(data, cut, recipe, progress), data, cut, recipe)


def check_share(holdout: float) -> None:
    """Raise ConfigurationError where it is no share of the time."""
    if not 0 <= holdout < 1:
        raise ConfigurationError(f"holdout {holdout:g}: give a share of the time from 0 up to, not including, 1")


def fit(data: Dataset, cut: Cut, recipe: Recipe, progress: Callable[[int], None] = lambda trees: None) -> Fitted:
    """A model of the rows before the cut; raises what `train` does of the rows and the choice."""
    trainer = trainer_of(recipe.trainer)
    takes = taken_by(recipe.trainer)
    if recipe.base is not None and CONTINUED not in takes:
        why = ALONE.get(recipe.trainer, f"it does not say that it takes `{CONTINUED}`")
        raise ConfigurationError(f"trainer {recipe.trainer} does not go on from a model: {why}")
    if recipe.trees is not None and GROWN not in takes:
        raise ConfigurationError(f"trainer {recipe.trainer} does not grow a number of trees; leave --trees away")
    fitted = data.part(slice(0, cut.fitted))
    if fitted.weights is not None and WEIGHED not in takes:
        raise ConfigurationError(f"trainer {recipe.trainer} takes no weights of rows")
    left = [name for name in native(recipe.categories) if name in fitted.declared]
    if left and NATIVE not in takes:
        raise ConfigurationError(
            f"trainer {recipe.trainer} has no splits by categories, and {', '.join(left)} is left to them: write "
            "another encoding in model.categories, such as one_hot, or take lightgbm or xgboost"
        )
    if recipe.base is not None and fitted.declared:
        raise ConfigurationError(
            f"no model of categories is gone on from ({', '.join(fitted.declared)}): what they count as was learnt "
            "from its own rows; train on all rows instead"
        )
    if fitted.quantities and QUANTITIES not in takes:
        raise ConfigurationError(
            f"trainer {recipe.trainer} fits classes, and the model tells a quantity (output: value): take lightgbm, "
            "xgboost, random_forest or decision_tree"
        )
    if len(fitted.classes) > 2 and SEVERAL not in takes:
        raise ConfigurationError(
            f"trainer {recipe.trainer} fits two classes, and the model has {len(fitted.classes)}: take "
            + ", ".join(TRAINERS)
        )
    _check_rows("fit", fitted)
    _check_classes(fitted)
    if cut.judged is not None:
        _check_rows("judge", data.part(slice(cut.judged, len(data))))
    base = None if recipe.base is None else recipe.base.continuation
    choice = Choice(recipe.parameters, recipe.trees, recipe.seed, base)
    both = len(fitted.classes) == 2  # of two classes trainers fit the second one's probability
    rows = replace(fitted, classes=()) if both else fitted
    if rows.declared:
        encoder = encoder_of(rows, recipe.categories)
        model = encoder.around(trainer(encoder.training(rows), choice, progress))
    else:
        model = trainer(rows, choice, progress)
    model = of_both(model) if both else model
    if len(model.graph) > LARGEST_GRAPH:
        raise ContractError(
            f"the model takes {len(model.graph):,} bytes, more than the {LARGEST_GRAPH:,} of a graph: {REMEDY}"
        )
    return model


def package_of(model: Fitted, data: Dataset, cut: Cut, recipe: Recipe) -> ModelPackage:
    """A model that was fitted on the rows before the cut, judged by those behind it; raises what `train` does of it."""
    fitted = data.part(slice(0, cut.fitted))
    package = pack(_manifest(fitted, recipe, model), model.graph)
    tuning = recipe.tuning
    if tuning is not None and (best := tuning.threshold(package)) is not None:
        # Before anything is told of decisions: a reference of other ones would have them drift from the first event.
        recipe = replace(recipe, threshold=best)
        manifest = package.manifest.model_copy(update={"threshold": best, "tuned": tuning.span})
        package = pack(manifest, model.graph)
    scores = model.predict(data.matrix)
    answered = _checked_scores(package, recipe.trainer, data.matrix, scores)
    profile = _profile(fitted, recipe)
    if cut.judged is None:
        card = completed(recipe.card, fitted, None, None, "no rows were held out")
        return pack(package.manifest, package.graph, profile, None, card, model.continuation)
    later, own = data.part(slice(cut.judged, len(data))), answered[cut.judged :]
    metrics = metrics_of(later, scores[cut.judged :])
    truths = later.labels.astype(np.float64)
    if later.classes:
        answers = class_profiles(later, own, recipe.costs, recipe.threshold)
    else:
        answers = values_of(own, truths) if later.quantities else answers_of(own, truths, recipe.threshold)
    profile = with_losses(replace(profile, answers=answers), later, own, recipe.threshold, recipe.costs)
    judged = None
    if not later.quantities and not later.classes:  # what is estimated without labels is estimated of chances alone
        judged = held_out.drawn(profile, later.inputs, later.matrix, later.times, own, later.labels)
    contributed = held_out_contributions(package, fitted, later, answered[: len(fitted)])
    if not isinstance(contributed, str):
        left_out = {*recipe.clock, *profile.calendar}
        profile = replace(profile, attributions=attribution_profile(contributed, later, left_out))
    card = completed(recipe.card, fitted, later, scores[cut.judged :], contributed)
    manifest = package.manifest.model_copy(update={"metrics": metrics, "interval": _interval(later, own, recipe)})
    return pack(manifest, package.graph, profile, judged, card, model.continuation)


def _interval(later: Dataset, answered: npt.NDArray[np.float64], recipe: Recipe) -> AnswerInterval | None:
    """How far quantities were off on rows held out."""
    width = conformal_half_width(later.labels, answered, recipe.coverage) if later.quantities else None
    if width is None:
        return None
    return AnswerInterval(coverage=recipe.coverage, half_width=width, rows=len(later))


def _profile(fitted: Dataset, recipe: Recipe) -> ReferenceProfile:
    """What was fitted on, without what the calendar determines."""
    hours = hours_of(fitted.times)
    columns = {name: fitted.matrix[:, at].astype(np.float64) for at, name in enumerate(fitted.inputs)}
    numbers = {name: values for name, values in columns.items() if name not in fitted.declared}
    calendar = tuple(name for name in calendar_features(numbers, hours) if name not in recipe.clock)
    watched = [at for at, name in enumerate(fitted.inputs) if name not in recipe.clock and name not in calendar]
    names = [fitted.inputs[at] for at in watched]
    plain = [at for at in watched if fitted.inputs[at] not in fitted.declared]
    found = profile_of([fitted.inputs[at] for at in plain], fitted.matrix[:, plain], hours)
    for name in names:
        codes = fitted.declared[name].codes if name in fitted.declared else None
        if codes is not None:
            found[name] = category_profile(columns[name], codes.name)
    inputs = {name: found[name] for name in names}
    return ReferenceProfile(inputs, {}, joint_of(inputs, fitted.matrix[:, watched], hours), calendar)


def _check_rows(what: str, rows: Dataset) -> None:
    if len(rows) < LEAST_ROWS or len(np.unique(rows.labels)) < 2:
        of = "" if rows.quantities or rows.classes else f", {rows.positives} positive"
        raise ConfigurationError(f"{len(rows)} rows to {what} by{of}; take a longer time")


def _check_classes(rows: Dataset) -> None:
    """Raise ConfigurationError where rows to fit by lack a class: no library would ever decide for it."""
    counts = np.bincount(rows.labels.astype(np.int64), minlength=len(rows.classes)) if rows.classes else np.ones(1)
    lacking = [name for name, count in zip(rows.classes, counts, strict=False) if not count]
    if lacking:
        raise ConfigurationError(
            f"none of {len(rows)} rows to fit by is of the class {' or '.join(lacking)}; take a longer time, or take "
            "the class out of the pipeline file"
        )


def _manifest(fitted: Dataset, recipe: Recipe, model: Fitted) -> Manifest:
    ours = {"trainer": recipe.trainer, "seed": recipe.seed, "holdout": recipe.holdout, "gap": recipe.gap}
    if recipe.as_of is not None:
        ours["as_of"] = recipe.as_of
    encoded = {"categories": described(recipe.categories, [*fitted.declared])} if fitted.declared else {}
    base = recipe.base
    return Manifest(
        name=recipe.name,
        version=recipe.version,
        inputs=tuple(fitted.declared.get(name, Input(name=name)) for name in fitted.inputs),
        output=QUANTITY if fitted.quantities else CLASSES if fitted.classes else OUTPUT,
        classes=fitted.classes or None,
        threshold=recipe.threshold,
        training=Training(
            start=int(fitted.times[0]) if base is None else min(int(fitted.times[0]), base.start),
            end=int(fitted.times[-1]) if base is None else max(int(fitted.times[-1]), base.end),
            rows=len(fitted),
            positives=fitted.positives,
            offsets={topic: dict(ranges) for topic, ranges in recipe.offsets.items()},
        ),
        parameters={**model.parameters, **ours, **encoded},
        libraries={
            **model.libraries,
            **libraries_of(recipe.trainer),
            **{name: version_of(name) for name in LIBRARIES},
            "onnxruntime": RUNTIME_VERSION,
            "python": python_version(),
        },
        revision=recipe.revision,
        reference=reference(fitted),
    )


def reference(data: Dataset) -> dict[str, tuple[float, ...]]:
    """Each input's values at `QUANTILES`, missing ones left out; nothing for an input that was always missing, nor for
    a category.
    """
    profiles = {}
    for place, name in enumerate(data.inputs):
        if name in data.declared:
            continue
        values = data.matrix[:, place]
        values = values[np.isfinite(values)]
        if len(values):
            profiles[name] = tuple(float(v) for v in np.quantile(values, QUANTILES))
    return profiles


def _checked_scores(
    package: ModelPackage, trainer: str, matrix: npt.NDArray[np.float32], scores: npt.NDArray[np.floating]
) -> npt.NDArray[np.float64]:
    """What the graph says of the rows, once that is what the library said."""
    settings = SessionSettings(executor="onnxruntime", device="cpu", classes=scored(package.manifest))
    found = open_session(package, settings).run(matrix)
    difference = float(np.abs(found - scores).max())
    allowed = PARITY * max(1.0, float(np.abs(scores).max()))  # quantities may be of any size
    if not difference <= allowed:
        raise ContractError(
            f"{package.title}: the ONNX graph differs from trainer {trainer} by {difference:.2g} on "
            f"{len(matrix)} rows; {allowed:g} is allowed"
        )
    return found.astype(np.float64)
