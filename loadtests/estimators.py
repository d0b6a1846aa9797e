"""Those who say how good scores are before labels come, and how far off they were."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import lightgbm
import numpy as np
import numpy.typing as npt

from headrace.domain.quality import estimation
from headrace.domain.quality.covariate_shift import ReferenceSample, shifted_estimates
from headrace.domain.quality.curve_estimates import steady_estimates
from headrace.domain.quality.decisions import confusion
from headrace.domain.quality.estimation import Estimate, Expected, fared
from headrace.domain.quality.ranking import Graded, auc_roc, average_precision
from headrace.domain.quality.score_table import ScoreTable, tabulated
from headrace.domain.quality.statistics.isotonic import fitted
from headrace.domain.quality.statistics.proportions import deviations

Floats = npt.NDArray[np.float64]
Estimator = Callable[[ReferenceSample, ReferenceSample, ScoreTable, float], Mapping[str, Estimate | None]]
FIGURES = ("auc_roc", "accuracy", "average_precision", "precision", "recall")
WIDE = deviations(0.95)


@dataclass(frozen=True, slots=True)
class Window:
    """A reference, and rows that came later; estimators are shown no label of the latter."""

    reference: ReferenceSample
    later: ReferenceSample


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """How one estimator did over windows; float64[windows, figures], NaN where there is none.

    Attributes:
        estimated, errors, realised: figures in the order of `FIGURES`.
        seconds: of CPU, per window.
    """

    estimated: Floats
    errors: Floats
    realised: Floats
    seconds: float

    @property
    def distances(self) -> Floats:
        """Absolute, of estimate and realised figure."""
        return np.abs(self.estimated - self.realised)

    def fared(self, figure: str) -> estimation.Fared | None:
        """What became of estimates of a figure; coverage is of 95% intervals."""
        place = FIGURES.index(figure)
        return fared(self.estimated[:, place], self.errors[:, place], self.realised[:, place], WIDE)


def unshifted(
    reference: ReferenceSample, later: ReferenceSample, window: ScoreTable, threshold: float
) -> Mapping[str, Estimate | None]:
    """Figures as they were on the reference."""
    return {
        name: None if value is None else Estimate(value, None)
        for name, value in realised(tabulated(reference.scores, reference.positive), threshold).items()
    }


def published_cbpe(
    reference: ReferenceSample, later: ReferenceSample, window: ScoreTable, threshold: float
) -> Mapping[str, Estimate | None]:
    """CBPE as NannyML does it: isotonic regression where that lessens the calibration error, its standard errors."""
    known = tabulated(reference.scores, reference.positive)
    calibrated = estimation.calibrator(known)
    if calibrated is None:
        return {}
    return estimation.estimates(estimation.expected(window, calibrated), threshold, None, known)


def cbpe(
    reference: ReferenceSample, later: ReferenceSample, window: ScoreTable, threshold: float
) -> Mapping[str, Estimate | None]:
    """CBPE by a curve that is held near what scores claim."""
    return steady_estimates(tabulated(reference.scores, reference.positive), window, threshold) or {}


def boosted_pape(
    reference: ReferenceSample, later: ReferenceSample, window: ScoreTable, threshold: float
) -> Mapping[str, Estimate | None]:
    """PAPE as published: LightGBM at its defaults tells production from reference, isotonic regression. No errors."""
    rows = np.concatenate([reference.places, later.places], axis=1).T.astype(np.float32)
    ours = reference.places.shape[1]
    classifier = lightgbm.LGBMClassifier(verbose=-1, n_jobs=1, random_state=0)
    chances = classifier.fit(rows, np.arange(len(rows)) >= ours).predict_proba(rows[:ours])[:, 1]
    weights = chances / (1 - chances)
    scores, which = np.unique(reference.scores, return_inverse=True)
    positive, every = np.bincount(which, weights * reference.positive), np.bincount(which, weights)
    expected = estimation.expected(window, fitted(Expected(scores, positive, every - positive)))
    return {
        name: None if value is None else Estimate(value, None)
        for name, value in estimation.figures(expected, threshold).items()
    }


def pape(
    reference: ReferenceSample, later: ReferenceSample, window: ScoreTable, threshold: float
) -> Mapping[str, Estimate | None]:
    """Ours."""
    return shifted_estimates(reference, later.places, window, threshold).figures


SAME, PUBLISHED, CBPE, BOOSTED, PAPE = (
    "as on the reference", "CBPE, isotonic where it helps", "CBPE, curve", "PAPE, boosted and isotonic", "PAPE, ours",
)  # fmt: skip
ESTIMATORS: Mapping[str, Estimator] = {
    SAME: unshifted, PUBLISHED: published_cbpe, CBPE: cbpe, BOOSTED: boosted_pape, PAPE: pape,
}  # fmt: skip


def realised(table: Graded, threshold: float) -> dict[str, float | None]:
    """Figures that labels give."""
    matrix = confusion(table, threshold)
    shares: dict[str, float | None] = {name: getattr(matrix, name) for name in ("accuracy", "precision", "recall")}
    return {"auc_roc": auc_roc(table), "average_precision": average_precision(table), **shares}


def tried(windows: Iterable[Window], threshold: float) -> dict[str, Trial]:
    """Every estimator on all windows, at least one."""
    real: list[Floats] = []
    told: dict[str, tuple[list[Floats], list[Floats], list[float]]] = {title: ([], [], []) for title in ESTIMATORS}
    for window in windows:
        later = window.later
        table = tabulated(later.scores, np.full(len(later.scores), np.nan))
        real.append(_numbers(realised(tabulated(later.scores, later.positive), threshold)))
        for title, estimator in ESTIMATORS.items():
            begin = time.process_time()
            found = estimator(window.reference, later, table, threshold)
            values, errors, seconds = told[title]
            seconds.append(time.process_time() - begin)
            values.append(_numbers({name: each and each.value for name, each in found.items()}))
            errors.append(_numbers({name: each and each.error for name, each in found.items()}))
    return {
        title: Trial(np.array(values), np.array(errors), np.array(real), float(np.median(seconds)))
        for title, (values, errors, seconds) in told.items()
    }


def gain(ours: Trial, theirs: Trial, figure: str) -> tuple[float, float, float]:
    """By how much less ours are off: mean over windows that both estimated, and its 95% interval."""
    place = FIGURES.index(figure)
    less = theirs.distances[:, place] - ours.distances[:, place]
    less = less[~np.isnan(less)]
    reach = WIDE * float(less.std(ddof=1)) / np.sqrt(len(less)) if len(less) > 1 else np.inf
    return float(less.mean()), float(less.mean() - reach), float(less.mean() + reach)


def _numbers(figures: Mapping[str, float | None]) -> list[float]:
    return [np.nan if (value := figures.get(name)) is None else value for name in FIGURES]
