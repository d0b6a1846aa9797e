"""Models as people export them, one by one: how each is made, how it is added, what its library says of the rows.

CatBoost and PyTorch are too large to be installed for tests (a wheel of 97 MB, and a far larger one).
Their graphs are written here by the ONNX helper, operator for operator as `save_model(format="onnx")` of CatBoost
1.2.10 and `torch.onnx.export` write them; the answers that they are held against are NumPy's, of the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import lightgbm as lgb
import numpy as np
import onnx
import pandas as pd
import skl2onnx
import xgboost as xgb
from onnx import TensorProto, helper, numpy_helper
from onnxmltools.convert import convert_lightgbm, convert_xgboost
from onnxmltools.convert.common.data_types import FloatTensorType as ToolsFloat
from skl2onnx.common.data_types import (
    BooleanTensorType,
    DoubleTensorType,
    FloatTensorType,
    Int64TensorType,
    StringTensorType,
)
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler, TargetEncoder

from tests.registry.shop import COLOURS, DISTRICTS, NUMBERS, TEXTS, chances, rows

TRAIN, TEST = rows(1_500), rows(400, seed=7)
MARGIN = chances(TRAIN)
TWO = (MARGIN > 2.0).astype(int)
NAMED = np.where(TWO == 1, "fraud", "legit")
FIVE = np.digitize(MARGIN, [0.5, 1.5, 2.5, 3.5])
COUNTED = ("0", "1", "2", "3", "4")
KINDS = ("awful", "bad", "fair", "good", "very good")
TURNED = ("good", "awful", "very good", "fair", "bad")
"""The same in another order: that of a pipeline, whose answers come in its own."""
TURN = [KINDS.index(name) for name in TURNED]
OF_KINDS = ("--classes", ",".join(KINDS))
NAMED_FIVE = np.array(KINDS, object)[FIVE]
MATRIX, TEST_MATRIX = TRAIN[NUMBERS].to_numpy(np.float32), TEST[NUMBERS].to_numpy(np.float32)
MAPPED = ("--map", "X=amount,weight,items")


@dataclass(frozen=True)
class Export:
    """A model as somebody exports it.

    Attributes:
        make: writes it into a folder; (the file, its library's answers to the test rows).
        words: of the command, beside the file and the pipeline.
        refused: what it is refused with; None: it is added.
        quantity: whether the pipeline's model tells a quantity.
        classes: those of the pipeline's model, where they are several.
    """

    make: Callable[[Path], tuple[Path, np.ndarray]]
    words: Sequence[str] = ()
    refused: str | None = None
    quantity: bool = False
    classes: Sequence[str] = ()


EXPORTS: dict[str, Export] = {}


def export(
    name: str, *words: str, refused: str | None = None, quantity: bool = False, classes: Sequence[str] = ()
) -> Callable[[Any], Any]:
    """Enter a function that makes one."""

    def enter(make: Any) -> Any:
        assert name not in EXPORTS, name
        EXPORTS[name] = Export(make, words, refused, quantity, classes)
        return make

    return enter


def saved(model: onnx.ModelProto, folder: Path) -> Path:
    """The file of a graph."""
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    return folder / "model.onnx"


def types(columns: Sequence[str]) -> list[tuple[str, Any]]:
    """An input of each column."""
    kinds = {"items": Int64TensorType, "member": BooleanTensorType, **dict.fromkeys(TEXTS, StringTensorType)}
    return [(name, kinds.get(name, FloatTensorType)([None, 1])) for name in columns]


def encoded(encoder: Any, *, numbers: Any = None) -> ColumnTransformer:
    """Numbers scaled, texts encoded."""
    return ColumnTransformer(
        [("numbers", numbers or StandardScaler(), ["amount", "weight"]), ("texts", encoder, TEXTS)]
    )


USED = ["amount", "weight", *TEXTS]


@export("scikit-learn, a matrix, ZipMap", *MAPPED)
def _(folder: Path) -> Any:
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(MATRIX, TWO)
    graph = skl2onnx.to_onnx(model, initial_types=[("X", FloatTensorType([None, 3]))])
    return saved(graph, folder), model.predict_proba(TEST_MATRIX)[:, 1]


@export("scikit-learn, a matrix of 64 bits", *MAPPED, "--classes", "fraud,legit", "--positive", "fraud")
def _(folder: Path) -> Any:
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(MATRIX.astype(float), NAMED)
    graph = skl2onnx.to_onnx(model, initial_types=[("X", DoubleTensorType([None, 3]))], options={"zipmap": False})
    return saved(graph, folder), model.predict_proba(TEST_MATRIX.astype(float))[:, 0]


@export("scikit-learn, an input a column, of them integers", "--map", "nb=customer.nb_1d")
def _(folder: Path) -> Any:
    model = RandomForestClassifier(9, max_depth=5, random_state=1)
    columns = ["amount", "items", "nb"]
    named = TRAIN.rename(columns={"customer.nb_1d": "nb"})[columns].astype(np.float32)
    model.fit(named.to_numpy(), TWO)
    kinds = [("amount", FloatTensorType([None, 1])), ("items", Int64TensorType([None, 1]))]
    steps = ColumnTransformer([("all", "passthrough", [0, 1, 2])]).fit(named.to_numpy())
    whole = make_pipeline(steps, model)
    graph = skl2onnx.to_onnx(whole, initial_types=[*kinds, ("nb", Int64TensorType([None, 1]))])
    test = TEST.rename(columns={"customer.nb_1d": "nb"})[columns].to_numpy(np.float32)
    return saved(graph, folder), whole.predict_proba(test)[:, 1]


@export("scikit-learn, texts one-hot, others have no column")
def _(folder: Path) -> Any:
    model = make_pipeline(encoded(OneHotEncoder(handle_unknown="ignore")), LogisticRegression()).fit(TRAIN[USED], TWO)
    graph = skl2onnx.to_onnx(model, initial_types=types(USED))
    return saved(graph, folder), model.predict_proba(TEST[USED])[:, 1]


@export("scikit-learn, texts one-hot, others are refused", "--positive", "legit")
def _(folder: Path) -> Any:
    model = make_pipeline(encoded(OneHotEncoder()), LogisticRegression()).fit(TRAIN[USED], NAMED)
    graph = skl2onnx.to_onnx(model, initial_types=types(USED))
    return saved(graph, folder), model.predict_proba(TEST[USED])[:, 1]


@export("scikit-learn, texts by their order, gradient boosting")
def _(folder: Path) -> Any:
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    model = make_pipeline(encoded(codes, numbers="passthrough"), GradientBoostingClassifier(n_estimators=20))
    model.fit(TRAIN[USED], TWO)
    graph = skl2onnx.to_onnx(model, initial_types=types(USED), options={"zipmap": False})
    return saved(graph, folder), model.predict_proba(TEST[USED])[:, 1]


@export("scikit-learn, texts by their mean label")
def _(folder: Path) -> Any:
    model = make_pipeline(encoded(TargetEncoder(random_state=0)), LogisticRegression()).fit(TRAIN[USED], TWO)
    graph = skl2onnx.to_onnx(model, initial_types=types(USED))
    return saved(graph, folder), model.predict_proba(TEST[USED])[:, 1]


@export("scikit-learn, true and false beside texts")
def _(folder: Path) -> Any:
    columns = ["member", *TEXTS]
    steps = ColumnTransformer(
        [("flag", "passthrough", ["member"]), ("texts", OneHotEncoder(handle_unknown="ignore"), TEXTS)]
    )
    model = make_pipeline(steps, LogisticRegression()).fit(TRAIN[columns], TWO)
    graph = skl2onnx.to_onnx(model, initial_types=types(columns))
    return saved(graph, folder), model.predict_proba(TEST[columns])[:, 1]


@export("scikit-learn, histograms, pickled", "--unpickle", refused="cannot be converted by skl2onnx")
def _(folder: Path) -> Any:
    model = HistGradientBoostingClassifier(max_iter=5).fit(TRAIN[NUMBERS], TWO)
    joblib.dump(model, folder / "model.joblib")
    return folder / "model.joblib", model.predict_proba(TEST[NUMBERS])[:, 1]


@export("scikit-learn, a network", *MAPPED)
def _(folder: Path) -> Any:
    model = make_pipeline(StandardScaler(), MLPClassifier((8,), max_iter=60, random_state=0)).fit(MATRIX, TWO)
    graph = skl2onnx.to_onnx(model, initial_types=[("X", FloatTensorType([None, 3]))])
    return saved(graph, folder), model.predict_proba(TEST_MATRIX)[:, 1]


@export("scikit-learn, a regression", *MAPPED, quantity=True)
def _(folder: Path) -> Any:
    model = make_pipeline(StandardScaler(), Ridge()).fit(MATRIX, MARGIN)
    graph = skl2onnx.to_onnx(model, initial_types=[("X", FloatTensorType([None, 3]))])
    return saved(graph, folder), model.predict(TEST_MATRIX)


@export("scikit-learn, five classes for a pipeline of two", *MAPPED, refused="5 classes .*output: class, classes: ")
@export("scikit-learn, five classes", *MAPPED, classes=COUNTED)
def _(folder: Path) -> Any:
    model = LogisticRegression(max_iter=1_000).fit(MATRIX, FIVE)
    graph = skl2onnx.to_onnx(model, initial_types=[("X", FloatTensorType([None, 3]))])
    return saved(graph, folder), model.predict_proba(TEST_MATRIX)


@export("scikit-learn, five named classes in another order", *MAPPED, classes=TURNED)
def _(folder: Path) -> Any:
    model = make_pipeline(StandardScaler(), MLPClassifier((8,), max_iter=60, random_state=0)).fit(MATRIX, NAMED_FIVE)
    graph = skl2onnx.to_onnx(model, initial_types=[("X", FloatTensorType([None, 3]))], options={"zipmap": False})
    return saved(graph, folder), model.predict_proba(TEST_MATRIX)[:, TURN]


@export(
    "scikit-learn, other classes",
    *MAPPED,
    classes=(*KINDS[:4], "best"),
    refused="it does not know best, and the .*ery good",
)
def _(folder: Path) -> Any:
    model = LogisticRegression(max_iter=1_000).fit(MATRIX, NAMED_FIVE)
    graph = skl2onnx.to_onnx(model, initial_types=[("X", FloatTensorType([None, 3]))])
    return saved(graph, folder), model.predict_proba(TEST_MATRIX)


@export("scikit-learn, five classes and texts, others are refused", classes=TURNED)
def _(folder: Path) -> Any:
    model = make_pipeline(encoded(OneHotEncoder()), LogisticRegression(max_iter=1_000)).fit(TRAIN[USED], NAMED_FIVE)
    graph = skl2onnx.to_onnx(model, initial_types=types(USED))
    return saved(graph, folder), model.predict_proba(TEST[USED])[:, TURN]


@export("scikit-learn, two classes, each with a score", *MAPPED, classes=("legit", "fraud"))
def _(folder: Path) -> Any:
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(MATRIX, NAMED)
    graph = skl2onnx.to_onnx(model, initial_types=[("X", FloatTensorType([None, 3]))])
    return saved(graph, folder), model.predict_proba(TEST_MATRIX)[:, ::-1]


@export("scikit-learn, neighbours", *MAPPED, refused="operator .* is not allowed")
def _(folder: Path) -> Any:
    model = KNeighborsClassifier(5).fit(MATRIX, TWO)
    graph = skl2onnx.to_onnx(model, initial_types=[("X", FloatTensorType([None, 3]))])
    return saved(graph, folder), model.predict_proba(TEST_MATRIX)[:, 1]


@export("scikit-learn, pickled, with texts", "--unpickle")
def _(folder: Path) -> Any:
    model = make_pipeline(encoded(OneHotEncoder(handle_unknown="ignore")), LogisticRegression()).fit(TRAIN[USED], TWO)
    joblib.dump(model, folder / "model.joblib")
    return folder / "model.joblib", model.predict_proba(TEST[USED])[:, 1]


@export("scikit-learn, kept by skops, named classes", "--map", "features=amount,weight,items", "--positive", "fraud")
def _(folder: Path) -> Any:
    from skops.io import dump

    model = RandomForestClassifier(9, max_depth=6, random_state=1).fit(MATRIX, NAMED)
    dump(model, folder / "model.skops")
    return folder / "model.skops", model.predict_proba(TEST_MATRIX)[:, 0]


@export("scikit-learn, a pipeline with texts, kept by skops")
def _(folder: Path) -> Any:
    from skops.io import dump

    steps = encoded(OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), numbers="passthrough")
    model = make_pipeline(steps, RandomForestClassifier(9, max_depth=5, random_state=1)).fit(TRAIN[USED], TWO)
    dump(model, folder / "model.skops")
    return folder / "model.skops", model.predict_proba(TEST[USED])[:, 1]


@export(
    "scikit-learn, five classes, pickled, for a pipeline of two",
    "--unpickle",
    refused=r"5 classes \(0, 1, 2, 3, 4\), and .*classes: \[a, b, c\]",
)
@export("scikit-learn, five classes, pickled", "--unpickle", classes=COUNTED)
def _(folder: Path) -> Any:
    model = RandomForestClassifier(5, max_depth=4, random_state=0).fit(TRAIN[NUMBERS], FIVE)
    joblib.dump(model, folder / "model.joblib")
    return folder / "model.joblib", model.predict_proba(TEST[NUMBERS])


@export("scikit-learn, five classes, with texts, pickled", "--unpickle", classes=TURNED)
def _(folder: Path) -> Any:
    steps = encoded(OneHotEncoder(handle_unknown="ignore"))
    model = make_pipeline(steps, LogisticRegression(max_iter=1_000)).fit(TRAIN[USED], NAMED_FIVE)
    joblib.dump(model, folder / "model.joblib")
    return folder / "model.joblib", model.predict_proba(TEST[USED])[:, TURN]


@export("scikit-learn, a forest of quantities, pickled", "--unpickle", quantity=True)
def _(folder: Path) -> Any:
    columns = ["amount", "weight"]
    model = RandomForestRegressor(9, max_depth=5, random_state=1).fit(TRAIN[columns], MARGIN)
    joblib.dump(model, folder / "model.pkl")
    return folder / "model.pkl", model.predict(TEST[columns])


@export("LightGBM, its text")
def _(folder: Path) -> Any:
    model = lgb.LGBMClassifier(n_estimators=30, verbose=-1, n_jobs=1).fit(TRAIN[NUMBERS], TWO)
    model.booster_.save_model(folder / "model.txt")
    return folder / "model.txt", model.predict_proba(TEST[NUMBERS])[:, 1]


def categorical(table: Any) -> Any:
    """Texts as categories of a DataFrame, which LightGBM and XGBoost split by sets of."""
    kinds = {"colour": pd.CategoricalDtype(COLOURS), "district": pd.CategoricalDtype(DISTRICTS)}
    return table[["amount", *TEXTS]].astype(kinds)


@export("LightGBM, its text, with categories")
def _(folder: Path) -> Any:
    model = lgb.LGBMClassifier(n_estimators=30, verbose=-1, n_jobs=1, min_data_per_group=5)
    model.fit(categorical(TRAIN), TWO).booster_.save_model(folder / "model.txt")
    return folder / "model.txt", model.predict_proba(categorical(TEST))[:, 1]


@export("XGBoost, with categories", refused="own categories of colour, district.*OneHotEncoder")
def _(folder: Path) -> Any:
    model = xgb.XGBClassifier(n_estimators=5, n_jobs=1, enable_categorical=True).fit(categorical(TRAIN), TWO)
    model.save_model(folder / "model.json")
    return folder / "model.json", model.predict_proba(categorical(TEST))[:, 1]


@export("LightGBM, a JSON dump")
def _(folder: Path) -> Any:
    import json

    model = lgb.LGBMClassifier(n_estimators=30, verbose=-1, n_jobs=1).fit(TRAIN[NUMBERS], TWO)
    (folder / "model.json").write_text(json.dumps(model.booster_.dump_model()))
    return folder / "model.json", model.predict_proba(TEST[NUMBERS])[:, 1]


@export("LightGBM, a regression", quantity=True)
def _(folder: Path) -> Any:
    model = lgb.LGBMRegressor(n_estimators=30, verbose=-1, n_jobs=1).fit(TRAIN[NUMBERS], MARGIN)
    model.booster_.save_model(folder / "model.txt")
    return folder / "model.txt", model.predict(TEST[NUMBERS])


@export("LightGBM, five classes for a pipeline of two", refused="5 classes .*output: class, classes: ")
@export(
    "LightGBM, five classes that nobody names",
    classes=KINDS,
    refused="it counts its classes, 0, 1.*--classes awful,bad",
)
@export("LightGBM, five classes", *OF_KINDS, classes=TURNED)
def _(folder: Path) -> Any:
    model = lgb.LGBMClassifier(n_estimators=15, verbose=-1, n_jobs=1).fit(TRAIN[NUMBERS], FIVE)
    model.booster_.save_model(folder / "model.txt")
    return folder / "model.txt", model.predict_proba(TEST[NUMBERS])[:, TURN]


@export("LightGBM, five classes by onnxmltools", "--map", "input=amount,weight,items", *OF_KINDS, classes=TURNED)
def _(folder: Path) -> Any:
    model = lgb.LGBMClassifier(n_estimators=15, verbose=-1, n_jobs=1).fit(MATRIX, FIVE)
    graph = convert_lightgbm(model, initial_types=[("input", ToolsFloat([None, 3]))], target_opset=15)
    return saved(graph, folder), model.predict_proba(TEST_MATRIX)[:, TURN]


@export("LightGBM, two classes, each with a score", "--classes", "no,yes", classes=("yes", "no"))
def _(folder: Path) -> Any:
    model = lgb.LGBMClassifier(n_estimators=30, verbose=-1, n_jobs=1).fit(TRAIN[NUMBERS], TWO)
    model.booster_.save_model(folder / "model.txt")
    return folder / "model.txt", model.predict_proba(TEST[NUMBERS])[:, ::-1]


@export("LightGBM, by onnxmltools", "--map", "input=amount,weight,items")
def _(folder: Path) -> Any:
    model = lgb.LGBMClassifier(n_estimators=30, verbose=-1, n_jobs=1).fit(MATRIX, TWO)
    graph = convert_lightgbm(model, initial_types=[("input", ToolsFloat([None, 3]))], target_opset=15)
    return saved(graph, folder), model.predict_proba(TEST_MATRIX)[:, 1]


@export("XGBoost, JSON")
def _(folder: Path) -> Any:
    model = xgb.XGBClassifier(n_estimators=30, n_jobs=1).fit(TRAIN[NUMBERS], TWO)
    model.save_model(folder / "model.json")
    return folder / "model.json", model.predict_proba(TEST[NUMBERS])[:, 1]


@export("XGBoost, UBJSON, a matrix", "--map", "features=amount,weight,items")
def _(folder: Path) -> Any:
    model = xgb.XGBClassifier(n_estimators=30, n_jobs=1).fit(MATRIX, TWO)
    model.save_model(folder / "model.ubj")
    return folder / "model.ubj", model.predict_proba(TEST_MATRIX)[:, 1]


@export("XGBoost, a regression", quantity=True)
def _(folder: Path) -> Any:
    model = xgb.XGBRegressor(n_estimators=30, n_jobs=1).fit(TRAIN[NUMBERS], MARGIN)
    model.save_model(folder / "model.ubj")
    return folder / "model.ubj", model.predict(TEST[NUMBERS])


@export("XGBoost, five classes for a pipeline of two", refused="5 classes .*output: class, classes: ")
@export("XGBoost, five classes", *OF_KINDS, classes=TURNED)
def _(folder: Path) -> Any:
    model = xgb.XGBClassifier(n_estimators=15, n_jobs=1).fit(TRAIN[NUMBERS], FIVE)
    model.save_model(folder / "model.json")
    return folder / "model.json", model.predict_proba(TEST[NUMBERS])[:, TURN]


@export("XGBoost, five classes, told apart alone (multi:softmax)", classes=COUNTED)
def _(folder: Path) -> Any:
    chosen = {"objective": "multi:softmax", "num_class": 5, "nthread": 1}
    booster = xgb.train(chosen, xgb.DMatrix(TRAIN[NUMBERS], FIVE), 15)
    booster.save_model(folder / "model.ubj")
    margins = booster.predict(xgb.DMatrix(TEST[NUMBERS]), output_margin=True)
    chances = np.exp(margins - margins.max(axis=1, keepdims=True))
    return folder / "model.ubj", chances / chances.sum(axis=1, keepdims=True)


@export("XGBoost, five classes by onnxmltools", "--map", "input=amount,weight,items", *OF_KINDS, classes=TURNED)
def _(folder: Path) -> Any:
    model = xgb.XGBClassifier(n_estimators=15, n_jobs=1).fit(MATRIX, FIVE)
    graph = convert_xgboost(model, initial_types=[("input", ToolsFloat([None, 3]))], target_opset=15)
    return saved(graph, folder), model.predict_proba(TEST_MATRIX)[:, TURN]


@export("XGBoost, by onnxmltools", "--map", "input=amount,weight,items")
def _(folder: Path) -> Any:
    model = xgb.XGBClassifier(n_estimators=30, n_jobs=1).fit(MATRIX, TWO)
    graph = convert_xgboost(model, initial_types=[("input", ToolsFloat([None, 3]))], target_opset=15)
    return saved(graph, folder), model.predict_proba(TEST_MATRIX)[:, 1]


FED = ("--map", "features=amount,weight,items")


def softmax(margins: np.ndarray) -> np.ndarray:
    """Chances of the margins of classes."""
    chances = np.exp(margins - margins.max(axis=1, keepdims=True))
    return np.asarray(chances / chances.sum(axis=1, keepdims=True))


class Oblivious:
    """Trees of CatBoost's kind: one test for each level, the same on both sides; leaves of one value for each class."""

    def __init__(self, count: int, depth: int, outputs: int, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.depth, self.outputs = depth, outputs
        self.features = rng.integers(0, 3, (count, depth))
        borders = [np.quantile(MATRIX[:, at], rng.random(64)).astype(np.float32) for at in range(3)]
        self.borders = np.array([[rng.choice(borders[at]) for at in row] for row in self.features], np.float32)
        self.leaves = rng.normal(0, 0.3, (count, 1 << depth, outputs)).astype(np.float32)

    def raw(self, matrix: np.ndarray) -> np.ndarray:
        """Sums of leaves, [n, outputs]."""
        total = np.zeros((len(matrix), self.outputs))
        for features, borders, leaves in zip(self.features, self.borders, self.leaves, strict=True):
            place = np.zeros(len(matrix), int)
            for feature, border in zip(features, borders, strict=True):
                place = 2 * place + ~(matrix[:, feature] > border)
            total += leaves[place]
        return total

    def nodes(self, what: str) -> dict[str, Any]:
        """Attributes of the operator, by whose names CatBoost writes them; `what`: class or target."""
        inner = (1 << self.depth) - 1
        given: dict[str, list[Any]] = {}
        for tree in range(len(self.features)):
            for node in range(2 * inner + 1):
                level = (node + 1).bit_length() - 1
                leaf = node >= inner
                row = {
                    "nodes_treeids": tree,
                    "nodes_nodeids": node,
                    "nodes_featureids": 0 if leaf else int(self.features[tree, level]),
                    "nodes_values": 0.0 if leaf else float(self.borders[tree, level]),
                    "nodes_modes": "LEAF" if leaf else "BRANCH_GT",
                    "nodes_truenodeids": 0 if leaf else 2 * node + 1,
                    "nodes_falsenodeids": 0 if leaf else 2 * node + 2,
                    "nodes_missing_value_tracks_true": 0,
                    "nodes_hitrates": 1.0,
                }
                for name, value in row.items():
                    given.setdefault(name, []).append(value)
                for output in range(self.outputs) if leaf else ():
                    given.setdefault(f"{what}_treeids", []).append(tree)
                    given.setdefault(f"{what}_nodeids", []).append(node)
                    given.setdefault(f"{what}_ids", []).append(output)
                    given.setdefault(f"{what}_weights", []).append(float(self.leaves[tree, node - inner, output]))
        return given


def catboost_graph(nodes: list[Any], outputs: list[Any]) -> onnx.ModelProto:
    """A model as CatBoost writes it: of ai.onnx.ml alone, rows called N."""
    given = [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", 3])]
    graph = helper.make_graph(nodes, "CatBoostModel", given, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("ai.onnx.ml", 2)], producer_name="CatBoost")
    model.ir_version = 3
    return model


def catboost_classifier(trees: Oblivious, classes: Sequence[Any], post: str) -> onnx.ModelProto:
    """Labels, and maps of probabilities."""
    text = isinstance(classes[0], str)
    labels: dict[str, Any] = {"classlabels_strings" if text else "classlabels_int64s": list(classes)}
    ensemble = helper.make_node(
        "TreeEnsembleClassifier",
        ["features"],
        ["label", "probability_tensor"],
        domain="ai.onnx.ml",
        post_transform=post,
        **labels,
        **trees.nodes("class"),
    )
    maps = helper.make_node("ZipMap", ["probability_tensor"], ["probabilities"], domain="ai.onnx.ml", **labels)
    kind = TensorProto.STRING if text else TensorProto.INT64
    value = helper.make_map_type_proto(kind, helper.make_tensor_type_proto(TensorProto.FLOAT, None))
    outputs = [
        helper.make_tensor_value_info("label", kind, ["N"]),
        helper.make_value_info("probabilities", helper.make_sequence_type_proto(value)),
    ]
    return catboost_graph([ensemble, maps], outputs)


def opposed(count: int) -> Oblivious:
    """Trees of a binary classifier: what speaks for one class speaks against the other."""
    trees = Oblivious(count, 4, 2)
    trees.leaves[:, :, 0] = -trees.leaves[:, :, 1]
    return trees


@export("CatBoost, two classes", "--map", "features=amount,weight,items")
def _(folder: Path) -> Any:
    trees = opposed(40)
    graph = catboost_classifier(trees, [0, 1], "LOGISTIC")
    return saved(graph, folder), 1 / (1 + np.exp(-trees.raw(TEST_MATRIX)[:, 1]))


@export("CatBoost, named classes", "--map", "features=amount,weight,items", "--positive", "fraud")
def _(folder: Path) -> Any:
    trees = opposed(40)
    graph = catboost_classifier(trees, ["fraud", "legit"], "LOGISTIC")
    return saved(graph, folder), 1 / (1 + np.exp(-trees.raw(TEST_MATRIX)[:, 0]))


@export("CatBoost, five classes for a pipeline of two", *FED, refused="5 classes .*output: class, classes: ")
@export("CatBoost, five classes", *FED, classes=COUNTED)
def _(folder: Path) -> Any:
    trees = Oblivious(10, 3, 5)
    return saved(catboost_classifier(trees, [0, 1, 2, 3, 4], "SOFTMAX"), folder), softmax(trees.raw(TEST_MATRIX))


@export("CatBoost, five named classes", *FED, classes=TURNED)
def _(folder: Path) -> Any:
    trees = Oblivious(10, 3, 5)
    return saved(catboost_classifier(trees, KINDS, "SOFTMAX"), folder), softmax(trees.raw(TEST_MATRIX))[:, TURN]


@export(
    "CatBoost, five classes without a softmax", *FED, classes=COUNTED, refused="no probabilities of classes that add up"
)
def _(folder: Path) -> Any:
    trees = Oblivious(10, 3, 5)
    return saved(catboost_classifier(trees, [0, 1, 2, 3, 4], "NONE"), folder), trees.raw(TEST_MATRIX)


@export("CatBoost, a regression", "--map", "features=amount,weight,items", quantity=True)
def _(folder: Path) -> Any:
    trees = Oblivious(40, 4, 1)
    node = helper.make_node(
        "TreeEnsembleRegressor",
        ["features"],
        ["predictions"],
        domain="ai.onnx.ml",
        post_transform="NONE",
        n_targets=1,
        base_values=[0.25],
        **trees.nodes("target"),
    )
    output = helper.make_tensor_value_info("predictions", TensorProto.FLOAT, ["N"])
    return saved(catboost_graph([node], [output]), folder), trees.raw(TEST_MATRIX)[:, 0] + 0.25


@export("CatBoost, its own format", refused=r"save_model\('model.onnx', format='onnx'\)")
def _(folder: Path) -> Any:
    (folder / "model.cbm").write_bytes(b"CBM1" + bytes(60))
    return folder / "model.cbm", np.zeros(len(TEST))


def network(folder: Path, last: str, width: int, shape: Sequence[Any] = ("batch_size", 3)) -> tuple[Path, np.ndarray]:
    """An MLP as torch.onnx.export writes nn.Sequential(Linear, ReLU, Linear, last): Gemm with transposed weights."""
    rng = np.random.default_rng(3)
    first, second = rng.normal(0, 0.03, (8, 3)).astype(np.float32), rng.normal(0, 0.5, (width, 8)).astype(np.float32)
    low, high = rng.normal(0, 0.1, 8).astype(np.float32), rng.normal(0, 0.1, width).astype(np.float32)
    weights = {"0.weight": first, "0.bias": low, "2.weight": second, "2.bias": high}
    nodes = [
        helper.make_node("Gemm", ["features", "0.weight", "0.bias"], ["/0/Gemm_output_0"], transB=1),
        helper.make_node("Relu", ["/0/Gemm_output_0"], ["/1/Relu_output_0"]),
        helper.make_node("Gemm", ["/1/Relu_output_0", "2.weight", "2.bias"], ["/2/Gemm_output_0"], transB=1),
        helper.make_node(last, ["/2/Gemm_output_0"], ["probability"], **({"axis": 1} if last == "Softmax" else {})),
    ]
    graph = helper.make_graph(
        nodes,
        "main_graph",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, list(shape))],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, [shape[0], width])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], producer_name="pytorch")
    model.ir_version, model.producer_version = 8, "2.9.0"
    hidden = np.maximum(TEST_MATRIX.astype(float) @ first.T + low, 0) @ second.T + high
    if last == "Sigmoid":
        return saved(model, folder), 1 / (1 + np.exp(-hidden[:, 0]))
    chances = softmax(hidden)
    return saved(model, folder), chances[:, -1] if width == 2 else chances


@export("PyTorch, a network with a sigmoid", *FED)
def _(folder: Path) -> Any:
    return network(folder, "Sigmoid", 1)


@export("PyTorch, a network with two columns", *FED, "--classes", "no,yes", "--positive", "yes")
def _(folder: Path) -> Any:
    return network(folder, "Softmax", 2)


@export("PyTorch, two columns that nobody names", *FED, refused="2 columns without names.*--classes legit,fraud")
def _(folder: Path) -> Any:
    return network(folder, "Softmax", 2)


@export("PyTorch, five columns for a pipeline of two", *FED, refused="5 classes, and .*output: class, classes: ")
@export(
    "PyTorch, five columns that nobody names",
    *FED,
    classes=KINDS,
    refused="5 columns, one for each class, that nothing",
)
def _(folder: Path) -> Any:
    return network(folder, "Softmax", 5)


@export("PyTorch, five columns", *FED, *OF_KINDS, classes=TURNED)
def _(folder: Path) -> Any:
    path, chances = network(folder, "Softmax", 5)
    return path, chances[:, TURN]


@export("PyTorch, one row at a time", *FED, refused="1 rows only.*dynamic_axes")
def _(folder: Path) -> Any:
    return network(folder, "Sigmoid", 1, (1, 3))
