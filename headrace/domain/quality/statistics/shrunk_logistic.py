"""Logistic regression whose coefficients are held near zero, group by group, as strongly as the data asks for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

FREE = -1
"""Group of coefficients that nothing holds."""
_ROUNDS = 25
_STEPS = 30
_HALVINGS = 30
_NARROW, _WIDE = 1e-5, 25.0
_START = 0.05
_DOUBT = 4.0
_GAIN = 1e-5
"""Of the logarithm of the likelihood: less is not worth a step."""


@dataclass(frozen=True, slots=True, eq=False)
class Likelihood:
    """What data says of coefficients, at one place.

    Attributes:
        logarithm: of the likelihood, up to a constant.
        gradient: float64[d], its slope.
        curvature: float64[d, d], the negative second derivative: the information.
    """

    logarithm: float
    gradient: Floats
    curvature: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Shrunk:
    """Coefficients and what is known of them.

    Attributes:
        coefficients: float64[d], most likely given the variances.
        covariance: float64[d, d], about them (Laplace's approximation); a variance that few coefficients tell is itself
            uncertain, and counts as four times as large here.
        variances: float64[groups], of the coefficients of each group about zero, as the data tells it.
    """

    coefficients: Floats
    covariance: Floats
    variances: Floats

    def draws(self, count: int, random: np.random.Generator) -> Floats:
        """Coefficients as they might be too, float64[count, d]."""
        root = np.linalg.cholesky(self.covariance + np.diag(1e-9 * np.diag(self.covariance)))
        found: Floats = self.coefficients + random.standard_normal((count, len(self.coefficients))) @ root.T
        return found


def shrunk(likelihood: Callable[[Floats], Likelihood], groups: Ints, start: Floats, least: float = _NARROW) -> Shrunk:
    """Coefficients with a normal prior about zero, whose variance is one for each group and found by the evidence.

    Groups that the data has no use for get a variance near nothing, and their coefficients are nearly zero.

    Args:
        likelihood: of any coefficients; concave.
        groups: int64[d], from 0 on without gaps, `FREE` for coefficients without a prior.
        start: float64[d], where to begin.
        least: variance of a group, whatever the data says: what was not seen yet is not for that reason not there.

    References:
        D. J. C. MacKay: Bayesian Interpolation, Neural Computation 4 (1992), section 4.4: the fixed point.
    """
    sizes = np.bincount(groups[groups >= 0]).astype(np.float64)
    variances = np.full(len(sizes), _START)
    here = start.astype(np.float64)
    covariance = np.zeros((len(here), len(here)))
    for _ in range(_ROUNDS):
        here, covariance = most_likely(likelihood, _precisions(groups, variances), here)
        held = groups >= 0
        squares = np.bincount(groups[held], here[held] ** 2, len(sizes))
        told = sizes - np.bincount(groups[held], np.diag(covariance)[held], len(sizes)) / variances
        wanted = squares / np.maximum(told, 1e-3 * sizes)
        after = np.clip(np.clip(wanted, variances / 10, variances * 10), least, _WIDE)
        settled = np.all(np.abs(np.log(after / variances)) < 0.1)
        variances = after
        if settled:
            break
    curvature = likelihood(here).curvature
    doubted = np.linalg.inv(curvature + np.diag(_precisions(groups, _DOUBT * variances)))
    return Shrunk(here, np.asarray(doubted, np.float64), variances)


def most_likely(likelihood: Callable[[Floats], Likelihood], precisions: Floats, start: Floats) -> tuple[Floats, Floats]:
    """Coefficients and covariance for given precisions of the prior, by Newton's steps, halved until they gain."""
    here, found = start, likelihood(start)
    height = found.logarithm - float(precisions @ here**2) / 2
    for _ in range(_STEPS):
        step = np.linalg.solve(found.curvature + np.diag(precisions), found.gradient - precisions * here)
        gain = float((found.gradient - precisions * here) @ step)
        if gain < _GAIN:
            break
        for halving in range(_HALVINGS):
            there = here + step / 2**halving
            tried = likelihood(there)
            higher = tried.logarithm - float(precisions @ there**2) / 2
            if higher > height:
                here, found, height = there, tried, higher
                break
        else:
            break
    return here, np.asarray(np.linalg.inv(found.curvature + np.diag(precisions)), np.float64)


def _precisions(groups: Ints, variances: Floats) -> Floats:
    found: Floats = np.where(groups >= 0, 1 / np.append(variances, np.inf)[groups], 0.0)
    return found
