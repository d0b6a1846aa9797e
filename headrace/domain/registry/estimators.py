"""Models of libraries as graphs: what a file of each flavour holds, and what it is asked to prove that they agree.

Runs in the process that `conversion` starts: reading a file of these may run code of whoever wrote it.
"""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from headrace.domain.registry.logged_model import LoggedModel
from headrace.errors import ContractError

Rows = npt.NDArray[np.float32]
Score = Callable[[Rows], npt.NDArray[np.float64]]
ELSEWHERE = "convert it to ONNX (skl2onnx.to_onnx(model, X, options={'zipmap': False})) and log that by mlflow.onnx"
TRUSTED = frozenset(
    {
        "collections.OrderedDict",
        "lightgbm.basic.Booster",
        "lightgbm.sklearn.LGBMClassifier",
        "lightgbm.sklearn.LGBMRegressor",
        "sklearn.tree._tree.Tree",
        "xgboost.core.Booster",
        "xgboost.sklearn.XGBClassifier",
    }
)
"""What a file of skops may hold beside what skops itself trusts: no more than can be converted."""
LOOSE = ("sklearn.datasets.", "sklearn.externals.", "sklearn.utils.")
"""Where scikit-learn has functions that do more than fit and predict."""


@dataclass(frozen=True, slots=True)
class Estimator:
    """A model of a library, understood.

    Attributes:
        graph: ONNX, `features` float32 [n, width] -> `probability` float32 [n, 1], or `class`, [n, classes].
        score: the library's own probability of the positive class, [n], or of each of several, [n, classes].
        width: how many columns it takes.
        columns: its own names of them, empty where it has none.
        classes: what it calls its classes, empty where it does not say.
        library: name and version of what answers here.
        levels: of columns that it splits by sets of categories, by their place: the text of each number.
    """

    graph: bytes
    score: Score
    width: int
    columns: tuple[str, ...]
    classes: tuple[Any, ...]
    library: tuple[str, str]
    levels: Mapping[int, tuple[str, ...]] = field(default_factory=dict)


def read_estimator(folder: Path, logged: LoggedModel) -> Estimator:
    """The model in a directory of MLflow, of any flavour but onnx.

    Raises:
        ContractError: it is of a kind that cannot be converted, or its file cannot be read; with the remedy.
    """
    path = folder / logged.file
    if logged.flavour == "lightgbm" and logged.kind.endswith("Booster"):
        return lightgbm_booster(path)
    if logged.flavour == "xgboost":
        return _xgboost(path, logged.kind.endswith("XGBClassifier"))
    return read_object(unpickled(path, logged.form))


def unpickled(path: Path, form: str) -> Any:
    """The object in a file of pickle's or skops' kind; reading a pickle runs its code. Raises ContractError."""
    if path.suffix == ".skops" or form == "skops":
        return read_skops(path)
    try:
        with path.open("rb") as file:
            return pickle.load(file)  # in a process that gave up what it could harm
    except ModuleNotFoundError as missing:
        raise ContractError(
            f"{path.name} needs the package {missing.name}, which is not installed here: install it, or {ELSEWHERE}"
        ) from None
    except (pickle.UnpicklingError, AttributeError, EOFError, ImportError, IndexError, TypeError, ValueError) as fault:
        raise ContractError(f"{path.name} cannot be read by {form or 'pickle'}: {str(fault)[:300]}") from None


def read_skops(path: Path, *, trust_scikit_learn: bool = False) -> Any:
    """The object in a file of skops; nothing is trusted but what can be converted. Raises ContractError.

    Args:
        trust_scikit_learn: whether all of scikit-learn's models are: what skl2onnx converts.
    """
    try:
        from skops.io import get_untrusted_types, load
        from skops.io.exceptions import UntrustedTypesFoundException
    except ModuleNotFoundError:
        raise ContractError("models kept by skops need it: pip install 'headrace[mlflow]'") from None
    found = set(get_untrusted_types(file=path))
    own = {each for each in found if trust_scikit_learn and each.startswith("sklearn.") and not each.startswith(LOOSE)}
    strange = sorted(found - TRUSTED - own)
    if strange:
        raise ContractError(f"{path.name} holds {', '.join(strange)}, which cannot be converted: {ELSEWHERE}")
    try:
        return load(path, trusted=sorted(found))
    except (UntrustedTypesFoundException, ValueError, TypeError, KeyError, AttributeError, ImportError) as fault:
        raise ContractError(f"{path.name} cannot be read by skops: {str(fault)[:300]}") from None


def read_object(model: Any) -> Estimator:
    """An object of scikit-learn's kind. ContractError: it cannot be converted here; with the remedy."""
    kind = f"{type(model).__module__}.{type(model).__qualname__}"
    if kind.startswith("lightgbm.sklearn."):
        return _lightgbm_classifier(model)
    if kind.startswith("xgboost.sklearn."):
        return _xgboost_classifier(model)
    return _scikit(model, kind)


def lightgbm_booster(path: Path, *, categories: bool = False) -> Estimator:
    """A model of LightGBM in its text; `categories`: whether it may split by sets of them. Raises ContractError."""
    lgb = _library("lightgbm")
    try:
        booster = lgb.Booster(model_file=str(path))
    except lgb.basic.LightGBMError as fault:
        raise ContractError(f"{path.name} is no model of LightGBM: {fault}") from None
    return _boosted(booster, (), _levels_of(booster) if categories else {})


def _lightgbm_classifier(model: Any) -> Estimator:
    if not hasattr(model, "classes_"):
        raise ContractError(f"{type(model).__name__} tells no probability of a class: {ELSEWHERE}")
    return _boosted(model.booster_, tuple(np.asarray(model.classes_).tolist()))


def _levels_of(booster: Any) -> dict[int, tuple[str, ...]]:
    """What stands for the numbers of columns that were categories of a DataFrame; nothing where it does not say."""
    told = booster.dump_model()["feature_infos"]
    places = [at for at, name in enumerate(booster.feature_name()) if told.get(name, {}).get("values")]
    kept = booster.pandas_categorical or []
    named = [all(isinstance(each, str | int) and not isinstance(each, bool) for each in levels) for levels in kept]
    if len(kept) != len(places) or not all(named):
        return {}
    return {at: tuple(map(str, levels)) for at, levels in zip(places, kept, strict=True)}


def _boosted(booster: Any, classes: tuple[Any, ...], levels: Mapping[int, tuple[str, ...]] | None = None) -> Estimator:
    from headrace.domain.training.conversion import convert

    levels = levels or {}
    return Estimator(
        # A number for each category that is known, one for others, one for null.
        convert(booster, {at: len(known) + 2 for at, known in levels.items()}),
        lambda rows: np.asarray(booster.predict(rows), np.float64),
        int(booster.num_feature()),
        tuple(booster.feature_name()),
        classes,
        ("lightgbm", version("lightgbm")),
        levels,
    )


def _xgboost(path: Path, classifier: bool) -> Estimator:
    xgb = _library("xgboost")
    model = xgb.XGBClassifier() if classifier else xgb.Booster()
    try:
        model.load_model(path)
    except (xgb.core.XGBoostError, ValueError, TypeError) as fault:
        raise ContractError(f"{path.name} is no model of XGBoost: {str(fault).splitlines()[0][:300]}") from None
    return _xgboost_classifier(model) if classifier else _xgboost_booster(model)


def _xgboost_classifier(model: Any) -> Estimator:
    booster = model.get_booster()
    best = getattr(model, "best_iteration", None) if booster.attr("best_iteration") is not None else None
    # The classifier answers by its trees up to the best round, and so does what is converted.
    return _xgboost_booster(booster if best is None else booster[: best + 1])


def _xgboost_booster(booster: Any) -> Estimator:
    from headrace.domain.training.xgboost_trainer import convert

    xgb = _library("xgboost")
    names = booster.feature_names
    if "c" in (booster.feature_types or ()):
        own = [name for name, kind in zip(names or (), booster.feature_types, strict=False) if kind == "c"]
        raise ContractError(
            f"it splits by XGBoost's own categories{' of ' * bool(own)}{', '.join(own)}, whose texts are not read "
            "here: encode them in front of it (OneHotEncoder), or have headrace train it (model.categories: native)"
        )

    def score(rows: Rows) -> npt.NDArray[np.float64]:
        given = xgb.DMatrix(rows, feature_names=names)
        found = np.asarray(booster.predict(given), np.float64)
        if found.ndim == 2:
            return found
        margins = np.asarray(booster.predict(given, output_margin=True), np.float64)
        if margins.ndim == 2:  # multi:softmax tells the class alone
            chances = np.exp(margins - margins.max(axis=1, keepdims=True))
            found = chances / chances.sum(axis=1, keepdims=True)
        return found

    return Estimator(
        convert(booster), score, int(booster.num_features()), tuple(names or ()), (), ("xgboost", xgb.__version__)
    )


def _scikit(model: Any, kind: str) -> Estimator:
    from sklearn.base import BaseEstimator
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import Pipeline, make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.tree import DecisionTreeClassifier

    from headrace.domain.training import scikit_linear, scikit_trees
    from headrace.domain.training.trainer import answers_of

    if not isinstance(model, BaseEstimator):
        raise ContractError(f"it holds {kind}, no estimator of scikit-learn: {ELSEWHERE}")
    steps = (
        [step for _, step in model.steps if step not in (None, "passthrough")]
        if isinstance(model, Pipeline)
        else [model]
    )
    *before, last = steps
    named = " -> ".join(type(step).__name__ for step in steps)
    if type(last).__module__.startswith(("lightgbm.", "xgboost.")) and not before:
        return read_object(last)
    classes = tuple(np.asarray(getattr(last, "classes_", ())).tolist())
    if len(classes) < 2:
        raise ContractError(f"{named} tells no probability of a class: {ELSEWHERE}")
    if type(last) is LogisticRegression and all(type(step) in (SimpleImputer, StandardScaler) for step in before):
        order = [type(step) for step in before]
        if order not in ([], [SimpleImputer], [StandardScaler], [SimpleImputer, StandardScaler]) or any(
            getattr(step, "add_indicator", False) for step in before
        ):
            raise ContractError(f"{named} cannot be converted in this order: {ELSEWHERE}")
        graph = scikit_linear.convert(make_pipeline(*before, last))
    elif type(last).__name__ in FORESTS and type(last).__module__.startswith("sklearn.") and not before:
        members = getattr(last, "estimators_", [last])
        if not all(isinstance(member, DecisionTreeClassifier) for member in members):
            raise ContractError(f"{named} cannot be converted: {ELSEWHERE}")
        graph = scikit_trees.convert(last)
    else:
        raise ContractError(f"{named} cannot be converted here: {ELSEWHERE}")
    linear = type(last) is LogisticRegression

    def score(rows: Rows) -> npt.NDArray[np.float64]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that rows come without names of columns
            chances = model.predict_proba(rows.astype(np.float64) if linear else rows)
        return np.asarray(answers_of(chances), np.float64)

    return Estimator(
        graph,
        score,
        int(model.n_features_in_),
        tuple(str(name) for name in getattr(model, "feature_names_in_", ())),
        classes,
        ("scikit-learn", version("scikit-learn")),
    )


FORESTS = ("DecisionTreeClassifier", "ExtraTreeClassifier", "ExtraTreesClassifier", "RandomForestClassifier")


def _library(name: str) -> Any:
    import importlib

    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        raise ContractError(f"the model needs {name}: pip install 'headrace[train]'") from None


def check_columns(own: Sequence[str], signature: Sequence[str]) -> None:
    """Raise ContractError where a model and its signature name the same columns in different orders."""
    if own and signature and list(own) != list(signature) and sorted(own) == sorted(signature):
        place = next(at for at, name in enumerate(own) if name != signature[at])
        raise ContractError(
            f"it was fitted on its columns in another order than its signature has: the {place + 1}. is {own[place]} "
            f"in the model and {signature[place]} in the signature; log it with the signature of what it was fitted on"
        )


def check_positive(classes: Sequence[Any], positive: Any) -> None:
    """Raise ContractError where the second class, whose probability is told, may not be the positive one."""
    if not classes:
        return
    told = [str(name) for name in classes]
    if positive is not None:
        if str(positive) == told[1]:
            return
        if str(positive) not in told:
            raise ContractError(f"its classes are {', '.join(told)}, and registry.positive is {positive}: name one")
        raise ContractError(
            f"its classes are {', '.join(told)} and what is converted is the probability of {told[1]}: fit it on "
            f"labels that are 1 for {positive}, or {ELSEWHERE}"
        )
    if told not in (["0", "1"], ["-1", "1"], ["False", "True"], ["0.0", "1.0"], ["-1.0", "1.0"]):
        raise ContractError(
            f"its classes are {', '.join(told)}, and nothing says which is yes: write registry: {{positive: {told[1]}}}"
        )


def trial_rows(graph: bytes, width: int, count: int, seed: int = 0) -> Rows:
    """Rows [count, width] where trees decide: values at thresholds and one step beside them; or around a line's mean.

    The same graph and seed give the same rows.
    """
    import onnx
    from onnx import numpy_helper

    rng = np.random.default_rng(seed)
    matrix = rng.standard_normal((count, width)).astype(np.float32)
    model = onnx.ModelProto.FromString(graph)
    given = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    if {"mean", "scale"} <= set(given):
        with np.errstate(over="ignore"):
            matrix = (matrix * given["scale"] + given["mean"]).astype(np.float32)
    for node in model.graph.node:
        told = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
        if "nodes_featureids" not in told:
            continue
        modes = [mode != b"LEAF" for mode in told["nodes_modes"]]
        features = np.asarray(told["nodes_featureids"])[modes]
        values = np.asarray(told["nodes_values"], np.float32)[modes]
        for column in range(width):
            cuts = np.unique(values[features == column])
            cuts = cuts[np.isfinite(cuts)]
            if len(cuts):
                spots = np.concatenate(
                    [cuts, np.nextafter(cuts, -np.inf), np.nextafter(cuts, np.inf), cuts + 1, cuts - 1]
                )
                matrix[:, column] = rng.choice(spots.astype(np.float32), count)
    return matrix
