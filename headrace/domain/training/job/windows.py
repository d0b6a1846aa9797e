"""Windows of training as candidates: each fitted on its own rows, all judged by the same newest ones, the best goes on.

A window that ends where the back-test begins is what a retraining at that moment would have had; so which window serves
best now is what served best for the newest events whose labels are known.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from headrace.domain.models.card import TriedWindow
from headrace.domain.quality.comparison.influence_functions import normal
from headrace.domain.training.card_figures import decisive, judged, losses_of
from headrace.domain.training.dataset import Dataset
from headrace.domain.training.job.order import WindowCandidate
from headrace.domain.training.model_build import BasePackage, Cut, Recipe, check_share, fit
from headrace.domain.training.trainer import TREES, Fitted
from headrace.errors import ConfigurationError

ALL = WindowCandidate(kind="all", name="all")
LEVEL = 0.95
"""Chance that the interval of a difference holds it."""
QUARTER = 4

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class FittedWindow:
    """A model of a window.

    Attributes:
        figures: what the card tells.
        losses: float64, of each row held out; none without such.
        model: what was fitted.
        data: the window's rows and all later ones.
        cut: where they are parted.
        recipe: of this window.
    """

    figures: TriedWindow
    losses: Floats
    model: Fitted
    data: Dataset
    cut: Cut
    recipe: Recipe


def best_window(
    data: Dataset,
    recipe: Recipe,
    windows: Sequence[WindowCandidate],
    base_of: Callable[[WindowCandidate], BasePackage],
    progress: Callable[[str, int], None] = lambda window, trees: None,
) -> tuple[FittedWindow, tuple[TriedWindow, ...]]:
    """The candidate that does best on rows that none was fitted on, the first of equals, and how each did.

    Args:
        data: labelled rows in time order, of all windows.
        recipe: what to make of them.
        windows: the candidates; one of all rows where there are none.
        base_of: the package that a window goes on from; raises ConfigurationError or ContractError where it cannot be.
        progress: told the window's name and the number of trees grown so far.

    Raises:
        ConfigurationError: none can be fitted; says of each why.
        ContractError: a model cannot be converted.
    """
    windows = windows or (ALL,)
    check_share(recipe.holdout)
    border = _border(data, recipe.holdout, windows)
    best: FittedWindow | None = None
    told: list[TriedWindow] = []
    losses: dict[str, Floats] = {}
    for window in windows:
        try:
            found = _fitted(data, recipe, window, border, base_of, progress)
        except ConfigurationError as error:
            if len(windows) == 1:
                raise
            told.append(TriedWindow(name=window.name, why=str(error)))
            continue
        told.append(found.figures)
        losses[window.name] = found.losses
        by = decisive(data)  # the loss that releases are decided by
        if best is None or found.figures.metrics[by] < best.figures.metrics[by]:
            best = found
    if best is None:
        raise ConfigurationError("no window can be fitted: " + "; ".join(f"{one.name}: {one.why}" for one in told))
    chosen = best.figures.name
    return best, tuple(
        one if one.why is not None or one.name == chosen else _behind(one, losses[one.name], best.losses)
        for one in told
    )


def _behind(one: TriedWindow, losses: Floats, least: Floats) -> TriedWindow:
    """What was tried, with how far it is behind the best, on the same rows."""
    more = losses - least
    found = normal(float(least.mean()), float(losses.mean()), float(more.std()) / math.sqrt(len(more)), LEVEL)
    return one.model_copy(update={"behind": (float(more.mean()), found.interval.low, found.interval.high)})


def _border(data: Dataset, holdout: float, windows: Sequence[WindowCandidate]) -> int | None:
    """The event time from which on rows are held out; None where none are.

    The share is of the sliding window where there is one, so that a long history does not hold out what is new to it.
    """
    if not holdout:
        return None
    first, last = int(data.times[0]), int(data.times[-1])
    lengths = [window.length for window in windows if window.length is not None]
    return last - int(min([last - first, *lengths]) * holdout)


def _fitted(
    data: Dataset,
    recipe: Recipe,
    window: WindowCandidate,
    border: int | None,
    base_of: Callable[[WindowCandidate], BasePackage],
    progress: Callable[[str, int], None],
) -> FittedWindow:
    base = base_of(window) if window.kind == "continued" else None
    if base is not None:
        if border is not None and base.end >= border:
            raise ConfigurationError(f"{base.title} was fitted on rows of the back-test, so that it would judge itself")
        # No row is learnt twice.
        window = replace(window, start=max(base.end + 1, window.start or 0))
    rows, cut = _rows(data, window, border, recipe.gap)
    if window.half_life is not None:
        ages = rows.times[max(cut.fitted - 1, 0)] - rows.times
        rows = replace(rows, weights=np.exp2(-np.maximum(ages, 0) / window.half_life))
    own = recipe
    if base is not None:
        ordered = recipe.trees or TREES
        own = replace(recipe, base=base, trees=window.trees or max(1, ordered // QUARTER))
    model = fit(rows, cut, own, lambda trees: progress(window.name, trees))
    later = None if cut.judged is None else rows.part(slice(cut.judged, len(rows)))
    scores = np.empty(0) if later is None else np.asarray(model.predict(later.matrix), np.float64)
    figures = TriedWindow(
        name=window.name,
        start=int(rows.times[0]),
        end=int(rows.times[cut.fitted - 1]),
        rows=cut.fitted,
        positives=rows.part(slice(0, cut.fitted)).positives,
        metrics={} if later is None else judged(later, scores),
        base=None if base is None else base.title,
    )
    losses = np.empty(0) if later is None else losses_of(later, scores)
    return FittedWindow(figures, losses, model, rows, cut, own)


def _rows(data: Dataset, window: WindowCandidate, border: int | None, gap: int) -> tuple[Dataset, Cut]:
    """The rows of a window and all later ones, and where they are parted; see `dataset.split`."""
    last = int(data.times[-1])
    end = last + 1 if border is None else border
    start = int(data.times[0])
    if window.start is not None:
        start = max(start, window.start)
    if window.length is not None:
        start = max(start, last + 1 - window.length)
    first = int(np.searchsorted(data.times, start))
    rows = data.part(slice(first, len(data)))
    if border is None:
        if not len(rows):
            raise ConfigurationError("no rows lie in it")
        return rows, Cut(len(rows), None)
    fitted = int(np.searchsorted(rows.times, end - min(gap, max(0, end - start) // QUARTER)))
    if not fitted:
        raise ConfigurationError("no rows lie in it before those that models are judged by")
    return rows, Cut(fitted, int(np.searchsorted(rows.times, border)))
