"""Logistic regression on standardised inputs, by scikit-learn: the scaler is part of the model."""

from __future__ import annotations

import warnings
from importlib.metadata import version
from typing import Any

import numpy as np
import sklearn
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from headrace.domain.training.dataset import Dataset
from headrace.domain.training.graphs import Floats, line
from headrace.domain.training.trainer import (
    Choice,
    Fitted,
    Matrix,
    Progress,
    answers_of,
    check_names,
    plain,
    refuse_infinite,
    refuse_missing,
)
from headrace.errors import ConfigurationError

NAME = "logistic_regression"
MISSING = ("refuse", "mean")
REMEDY = "say in the pipeline file what they count as (`missing: 0` in the view), or train with --param missing=mean"


def fit_logistic_regression(rows: Dataset, choice: Choice, progress: Progress) -> Fitted:
    """See `Trainer`. Inputs are scaled to mean 0 and deviation 1 of the training rows, in 64 bits.

    Missing values are refused, or, with the parameter `missing=mean`, counted as the mean of the training rows, in
    training and in the graph alike.
    """
    parameters = dict(choice.parameters)
    missing = parameters.pop("missing", "refuse")
    if missing not in MISSING:
        raise ConfigurationError(f"trainer {NAME}: missing is {' or '.join(MISSING)}, not {missing}")
    check_names(NAME, parameters, [*LogisticRegression().get_params(), "missing"], {"random_state": "--seed"})

    def wide(matrix: Matrix) -> Floats:
        refuse_infinite(NAME, rows.inputs, matrix)
        if missing == "refuse":
            refuse_missing(NAME, rows.inputs, matrix, REMEDY)
        return matrix.astype(np.float64)

    model = make_pipeline(
        *([SimpleImputer(strategy="mean", keep_empty_features=True)] if missing == "mean" else []),
        StandardScaler(),
        LogisticRegression(**parameters, random_state=choice.seed),
    )
    # One thread: what several sum up differs in its last bits with their number.
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("error", ConvergenceWarning)
        try:
            model.fit(wide(rows.matrix), rows.labels, **_weights(model, rows))
        except ConvergenceWarning as warning:
            raise ConfigurationError(
                f"trainer {NAME} did not converge: {str(warning).splitlines()[0]}; give a larger --param max_iter=..."
            ) from warning
        except ValueError as error:
            raise ConfigurationError(f"trainer {NAME}: {error}") from error

    told = plain(model[-1].get_params()) | {"missing": missing, "scaler": "standard"}
    return Fitted(
        convert(model),
        lambda matrix: answers_of(model.predict_proba(wide(matrix))),
        told,
        {"scikit-learn": sklearn.__version__, "scipy": version("scipy")},
    )


def _weights(model: Pipeline, rows: Dataset) -> dict[str, Any]:
    """What rows count, for the steps that can tell them apart; means of missing values are of the rows as they are."""
    steps = (name for name, step in model.steps if not isinstance(step, SimpleImputer))
    return {} if rows.weights is None else {f"{name}__sample_weight": rows.weights for name in steps}


def convert(model: Pipeline) -> bytes:
    """An ONNX graph of a fitted pipeline: `features` float32 [n, inputs] -> `probability` float32 [n, 1].

    Its steps are an imputer or none, a standard scaler or none, and a logistic regression; the probability is that of
    the second of its two classes. Of several it gives `class`, float32 [n, classes].
    """
    regression = model[-1]
    width = regression.coef_.shape[1]
    fill, mean, scale = None, np.zeros(width), np.ones(width)
    for _, step in model.steps[:-1]:
        if isinstance(step, SimpleImputer):
            fill = step.transform(np.full((1, width), np.nan))[0]
        else:
            mean = mean if step.mean_ is None or not step.with_mean else step.mean_
            scale = scale if step.scale_ is None else step.scale_
    return line(mean, scale, regression.coef_.T, regression.intercept_, fill)
