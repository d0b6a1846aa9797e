"""Models of libraries in a file: what each takes, the graph that is made of it, and its own answers."""

from __future__ import annotations

import json
import pickle
import warnings
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from headrace.domain.models.package import Class
from headrace.domain.models.positive_class import MANY, told
from headrace.domain.registry import estimators
from headrace.domain.registry.estimators import Estimator
from headrace.domain.registry.logged_model import LoggedModel
from headrace.domain.registry.model_files.answers import FileAnswer, counted, of_several, positive_of, score_output
from headrace.domain.registry.model_files.columns import ColumnKind, FileColumns
from headrace.domain.registry.model_files.kind import Kind
from headrace.domain.registry.model_files.library_model import Asked, LibraryModel, Scores
from headrace.domain.registry.model_files.rows import TriedRows
from headrace.domain.training.classes.two_classes import with_both
from headrace.domain.training.graphs import CLASSES, OUTPUT, QUANTITY
from headrace.errors import ContractError

REGRESSORS = ("DecisionTreeRegressor", "ExtraTreeRegressor", "ExtraTreesRegressor", "RandomForestRegressor")
NO_SKL2ONNX = (
    "needs skl2onnx to be converted: pip install 'headrace[models]', or convert it where it was made "
    "(skl2onnx.to_onnx(model, X, options={'zipmap': False})) and add the ONNX file"
)


def read_library_model(path: Path, kind: Kind, asked: Asked) -> LibraryModel:
    """The model in a file that is no ONNX.

    Raises:
        ContractError: it cannot be read, converted or is none for the pipeline; with the remedy.
    """
    if kind == "lightgbm":
        found = estimators.lightgbm_booster(path, categories=True)
        return _plain(found, "a model of LightGBM", asked)
    if kind == "lightgbm-json":
        return _dumped(path, asked)
    if kind == "xgboost":
        found = estimators.read_estimator(path.parent, LoggedModel("xgboost", path.name, "", "", "", None))
        return _plain(found, "a model of XGBoost", asked)
    return _object(path, kind, asked)


def _dumped(path: Path, asked: Asked) -> LibraryModel:
    """What `Booster.dump_model` told: enough for a graph, and nothing that LightGBM reads again."""
    from headrace.domain.training.conversion import convert_dump

    try:
        dump = json.loads(path.read_bytes())
        width, names = int(dump["max_feature_idx"]) + 1, tuple(map(str, dump["feature_names"]))
        graph, library = convert_dump(dump), ("lightgbm", str(dump.get("version", "")))
    except (ValueError, KeyError, TypeError, IndexError) as fault:
        raise ContractError(
            f"{path.name} is no dump of LightGBM ({fault!r}): add what save_model('model.txt') writes"
        ) from None
    made = _plain(Estimator(graph, _nobody, width, names, (), library), "a JSON dump of LightGBM", asked)
    return replace(
        made, score=None, unproven="LightGBM reads no dump; what save_model('model.txt') writes can be compared"
    )


def _nobody(rows: Any) -> Scores:
    raise NotImplementedError("a dump answers nothing")


def _plain(found: Estimator, what: str, asked: Asked) -> LibraryModel:
    """A model whose graph our own converters make: one tensor in, one column out, or one for each class."""
    output, positive, quantity = _output_of(found.graph), asked.positive, asked.quantity
    if quantity and output != QUANTITY:
        raise ContractError(
            "it tells the probability of a class, and the pipeline's model a quantity (output: value): add a regression"
        )
    if output == CLASSES and not asked.several:
        known = found.classes or tuple(range(_columns_of(found.graph)))
        raise ContractError(f"it has {len(known)} classes ({told(known)}), and {MANY}")
    if not quantity and output == QUANTITY:
        raise ContractError(
            "it tells a quantity, and the pipeline's model a probability: add a classifier, or say output: value in "
            "the pipeline file's model"
        )
    if asked.several:
        return _of_several(found, what, output, asked)
    graph, flipped = found.graph, False
    answer = FileAnswer()
    if found.classes:
        chosen = positive_of(found.classes, positive)
        flipped = str(chosen) == str(found.classes[0])
        answer = FileAnswer(tuple(found.classes), chosen)
        graph = _complement(graph) if flipped else graph
    elif positive is not None and str(positive) not in ("1", "True", "true"):
        raise ContractError(
            f"its file does not name its classes, and its score is that of 1: leave --positive {positive} out"
        )

    def score(rows: TriedRows) -> Scores:
        scores = found.score(rows.numbered(found.levels).astype(np.float32))
        return 1 - scores if flipped else scores

    given = FileColumns("features", "float32", found.width, names_of(found.columns), tuple(found.levels))
    return LibraryModel(
        what, (given,), answer, found.library, lambda kinds: (graph, output), score, levels=found.levels
    )


def _of_several(found: Estimator, what: str, output: str, asked: Asked) -> LibraryModel:
    """A model of several classes; of two it may tell the second one's probability alone."""
    graph, two = found.graph, output != CLASSES
    count = 2 if two else _columns_of(graph)
    own = found.classes or tuple(range(count))
    names = own if asked.classes is None or not counted(own) else tuple(asked.classes)
    if len(names) != count:
        raise ContractError(f"--classes names {len(names)}, and it has {count}: name each in its order")
    answer = of_several(names, asked.several, asked.positive)

    def score(rows: TriedRows) -> Scores:
        scores = found.score(rows.numbered(found.levels).astype(np.float32))
        return np.column_stack([1 - scores, scores]) if two else scores

    if two:
        graph = with_both(graph)
    given = FileColumns("features", "float32", found.width, names_of(found.columns), tuple(found.levels))
    return LibraryModel(
        what,
        (given,),
        answer,
        found.library,
        lambda kinds: (graph, CLASSES),
        score,
        per_class=True,
        levels=found.levels,
    )


def _columns_of(graph: bytes) -> int:
    """Columns of a graph's answer."""
    return int(onnx.ModelProto.FromString(graph).graph.output[0].type.tensor_type.shape.dim[1].dim_value)


def names_of(columns: Sequence[str]) -> tuple[str, ...]:
    """Names of columns; none where a library only counted them."""
    counted = all(name == f"Column_{at}" for at, name in enumerate(columns))
    return () if counted else tuple(columns)


def _output_of(graph: bytes) -> str:
    return str(onnx.ModelProto.FromString(graph).graph.output[0].name)


def _complement(graph: bytes) -> bytes:
    """A graph that answers the probability of the other class."""
    model = onnx.ModelProto.FromString(graph)
    for node in model.graph.node:
        for place, name in enumerate(node.output):
            if name == OUTPUT:
                node.output[place] = "other"
    model.graph.initializer.append(numpy_helper.from_array(np.array(1, np.float32), "whole"))
    model.graph.node.append(helper.make_node("Sub", ["whole", "other"], [OUTPUT]))
    return bytes(model.SerializeToString(deterministic=True))


def _object(path: Path, kind: Kind, asked: Asked) -> LibraryModel:
    """An object of scikit-learn's kind."""
    model, quantity = _loaded(path, kind), asked.quantity
    name = type(model).__name__
    steps = [step for _, step in model.steps] if hasattr(model, "steps") else [model]
    what = " -> ".join(type(step).__name__ for step in steps)
    classes = _classes(model)
    if len(classes) > 2 and not quantity and not asked.several:
        raise ContractError(f"it is a {name} of {len(classes)} classes ({told(classes)}), and {MANY}")
    if classes and quantity:
        raise ContractError(
            f"it is a {name}, which tells classes, and the pipeline's model tells a quantity: add a regression"
        )
    if not classes and not quantity and hasattr(model, "predict"):
        raise ContractError(
            f"it is a {name}, which tells no probability of a class, and the pipeline's model asks for one: add a "
            "classifier with predict_proba, or say output: value in the pipeline file's model"
        )
    own = _own(model, classes)
    if own is not None:
        return replace(_plain(own, what, asked), what=what)
    return _exported(model, steps, what, classes, asked)


def _classes(model: Any) -> tuple[Class, ...]:
    found = getattr(model, "classes_", None)
    if found is None or not hasattr(model, "predict_proba"):
        return ()
    return tuple(
        each if isinstance(each, str) else int(each) if float(each).is_integer() else str(each)
        for each in np.asarray(found).tolist()
    )


def _own(model: Any, classes: Sequence[Class]) -> Estimator | None:
    """What our own converters understand of it; they keep every 32-bit number on its side of a threshold."""
    module = type(model).__module__
    if module.startswith(("lightgbm.", "xgboost.")):
        return estimators.read_object(model)
    if not classes:
        return _forest_of_quantities(model) if module.startswith("sklearn.") else None
    try:
        return estimators.read_object(model)
    except ContractError:
        return None  # skl2onnx knows more kinds


def _forest_of_quantities(model: Any) -> Estimator | None:
    """A tree, or a mean of trees, that tells quantities; None where it is neither."""
    from headrace.domain.training import scikit_trees

    if type(model).__name__ not in REGRESSORS or getattr(model, "n_outputs_", 1) != 1:
        return None
    return Estimator(
        scikit_trees.convert(model, quantities=True),
        lambda rows: np.asarray(model.predict(rows), np.float64),
        int(model.n_features_in_),
        tuple(str(name) for name in getattr(model, "feature_names_in_", ())),
        (),
        ("scikit-learn", version("scikit-learn")),
    )


def _exported(model: Any, steps: Sequence[Any], what: str, classes: Sequence[Class], asked: Asked) -> LibraryModel:
    """Whatever skl2onnx converts."""
    try:
        import skl2onnx
        from skl2onnx.common.data_types import FloatTensorType, StringTensorType
        from skl2onnx.common.exceptions import MissingConverter, MissingShapeCalculator
    except ModuleNotFoundError:
        raise ContractError(f"{what} {NO_SKL2ONNX}") from None
    names = tuple(str(name) for name in getattr(model, "feature_names_in_", ()))
    width = int(getattr(model, "n_features_in_", 0)) or None
    quantity, answer = asked.quantity, FileAnswer()
    if asked.several:
        named = asked.classes if asked.classes is not None and counted(classes) else classes
        answer = of_several(tuple(named), asked.several, asked.positive)
    elif not quantity:
        answer = FileAnswer(tuple(classes), positive_of(classes, asked.positive))

    def graph(kinds: Sequence[ColumnKind]) -> tuple[bytes, str]:
        kind_of = {"text": StringTensorType}
        apart = len(inputs) > 1
        columns = zip(names, kinds, strict=True) if apart else [("features", kinds[0])]
        count = 1 if apart else len(kinds)
        types = [(name, kind_of.get(kind, FloatTensorType)([None, count])) for name, kind in columns]
        options = None if quantity else {"zipmap": False}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                made = skl2onnx.to_onnx(model, initial_types=types, options=options)
        except (
            MissingConverter,
            MissingShapeCalculator,
            NotImplementedError,
            RuntimeError,
            ValueError,
            TypeError,
            NameError,
        ) as fault:
            said = " ".join(str(fault).split())[:300]
            raise ContractError(f"{what} cannot be converted by skl2onnx {skl2onnx.__version__}: {said}") from None
        _keep_missing(made.graph, steps[-1])
        return made.SerializeToString(), score_output(made.graph, None)

    def score(rows: TriedRows) -> Scores:
        given = _frame(names, rows) if names else rows.numbers
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if quantity:
                return np.asarray(model.predict(given), np.float64).reshape(-1)
            chances = np.asarray(model.predict_proba(given), np.float64)
            if asked.several:
                return chances
            return chances[:, list(map(str, classes)).index(str(answer.positive))]

    # Columns that are told apart by name are inputs of their own; whatever takes them as they come takes a matrix.
    by_name = any(type(step).__name__ == "ColumnTransformer" for step in steps) and bool(names)
    inputs = (
        tuple(FileColumns(name, "float32") for name in names)
        if by_name
        else (FileColumns("features", "float32", width, names),)
    )
    return LibraryModel(
        what, inputs, answer, ("scikit-learn", version("scikit-learn")), graph, score, per_class=not quantity
    )


def _keep_missing(graph: onnx.GraphProto, model: Any) -> None:
    """Send missing values where scikit-learn's trees do; skl2onnx sends all of them to the right."""
    trees = [each.tree_ for each in np.ravel(getattr(model, "estimators_", [model])) if hasattr(each, "tree_")]
    for node in graph.node:
        found = {each.name: each for each in node.attribute}
        if not node.op_type.startswith("TreeEnsemble") or "nodes_missing_value_tracks_true" not in found:
            continue
        of, at = (list(found[name].ints) for name in ("nodes_treeids", "nodes_nodeids"))
        if len(set(of)) == len(trees) and all(a < trees[t].node_count for t, a in zip(of, at, strict=True)):
            left = [int(trees[t].missing_go_to_left[a]) for t, a in zip(of, at, strict=True)]
            found["nodes_missing_value_tracks_true"].ints[:] = left


def _frame(names: Sequence[str], rows: TriedRows) -> Any:
    try:
        import pandas as pd
    except ModuleNotFoundError:
        raise ContractError(
            "it was fitted on columns with names, and asking it takes pandas: pip install pandas"
        ) from None
    values = [
        each if isinstance(each, np.ndarray) else np.array(each.to_pylist(), dtype=object) for each in rows.values
    ]
    return pd.DataFrame(dict(zip(names, values, strict=True)))


def _loaded(path: Path, kind: Kind) -> Any:
    if kind == "skops":
        return estimators.read_skops(path, trust_scikit_learn=True)
    if path.suffix == ".joblib":
        return _joblib(path)
    try:
        return estimators.unpickled(path, "pickle")
    except ContractError:
        return _joblib(path)


def _joblib(path: Path) -> Any:
    try:
        import joblib
    except ModuleNotFoundError:
        raise ContractError(f"{path.name} needs joblib to be read: pip install 'headrace[train]'") from None
    try:
        return joblib.load(path)
    except ModuleNotFoundError as missing:
        raise ContractError(
            f"{path.name} needs the package {missing.name}, which is not installed here: install it, or convert the "
            "model to ONNX where it was made"
        ) from None
    except (
        pickle.UnpicklingError,
        AttributeError,
        EOFError,
        ImportError,
        IndexError,
        KeyError,
        TypeError,
        ValueError,
    ) as fault:
        raise ContractError(f"{path.name} cannot be read by joblib or pickle: {str(fault)[:300]}") from None
