"""What models in files are refused for, and what becomes of rows that a library would refuse."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import onnx
import pandas as pd
import pytest
import skl2onnx
from onnx import TensorProto, helper
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from headrace.domain.registry.model_files.columns import FileColumns, Mapped, match
from headrace.domain.registry.model_files.kind import kind_of
from headrace.errors import ConfigurationError, ContractError
from tests.models import graphs
from tests.registry.exports import EXPORTS, MATRIX, TEST, TWO, categorical, encoded, network, saved, types
from tests.registry.shop import TEXTS, written
from tests.registry.test_files import add, stored_scores

pytestmark = pytest.mark.slow

KNOWN: dict[str, Any] = {"amount": "number", "items": "integer", "member": "boolean", "colour": "text"}
USED = ["amount", "weight", *TEXTS]


def mapped(names: dict[str, str] | None = None, order: tuple[str, ...] = (), **usual: str) -> Mapped:
    """What a person says, of a pipeline with an input of each kind."""
    return Mapped(names or {}, order, ("amount", "items"), KNOWN, usual)


@pytest.mark.parametrize(
    ("inputs", "said", "told"),
    [
        (
            [FileColumns("X", "float32", 2)],
            mapped(),
            r"X has 2 columns without names.*--map X=amount,items, or .*'X=\*'",
        ),
        ([FileColumns("X", "float32", 3)], mapped({"X": "*"}), "X has 3 columns, and 2 features are listed"),
        ([FileColumns("X", "float32", 2)], mapped({"Y": "amount"}), "Y is mapped and no input of the model"),
        ([FileColumns("X", "float32", 2)], mapped({"X": "amount,amuont"}), "amuont is no input.*did you mean amount"),
        ([FileColumns("X", "float32", 2)], mapped({"X": "amount,amount"}), "amount feeds several columns"),
        ([FileColumns("X", "integer", 1)], mapped({"X": "amount"}), "takes integers, and amount may have a fraction"),
        (
            [FileColumns("X", "boolean", 1)],
            mapped({"X": "amount"}),
            "takes true and false, and amount may have a fract",
        ),
        ([FileColumns("X", "text", 1)], mapped({"X": "amount"}), "takes texts, and amount is a number"),
        (
            [FileColumns("X", "float32", 1)],
            mapped({"X": "colour"}),
            "takes numbers, and colour is a text.*OneHotEncoder",
        ),
        ([FileColumns("f", "float32", 2, ("a", "items"))], mapped(), "a is no input of the pipeline's model"),
        ([FileColumns("f", "float32", 1, ("b",))], mapped({"a": "amount"}), "b is no input.*a is mapped and no input"),
    ],
)
def test_columns_that_do_not_fit_are_told_with_the_option(inputs: list[FileColumns], said: Mapped, told: str) -> None:
    """All of them at once."""
    with pytest.raises(ContractError, match=f"(?s){told}"):
        match(inputs, said)


def test_columns_are_fed_by_name_by_map_and_by_the_pipelines_order() -> None:
    """What the pipeline file maps holds where the model has such a column, and does not disturb where it has none."""
    inputs = [FileColumns("amount", "float32"), FileColumns("n", "integer")]
    found = match(inputs, mapped({"n": "items"}, elsewhere="colour"))
    assert [(one.feature, one.how) for several in found for one in several] == [("amount", "name"), ("items", "map")]
    (by_file,) = match([FileColumns("f", "float32", 1, ("eur",))], mapped(eur="amount"))
    assert by_file[0].feature == "amount"
    matrix = [FileColumns("X", "float32", 2)]
    assert [one.feature for one in match(matrix, mapped({"X": "*"}))[0]] == ["amount", "items"]
    assert {one.how for one in match(matrix, mapped(order=("items", "amount")))[0]} == {"order"}


def zipped(name: str) -> bytes:
    """An archive with one file."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr(name, "x")
    return held.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("model.pt2", zipped("model/archive_format"), r"exported program of PyTorch.*torch\.jit\.script"),
        ("model.zip", zipped("readme"), "is an archive and no model that is understood"),
        ("model.cbm", b"CBM1....", "CatBoost in its own format.*format='onnx'"),
        ("model.json", b'{"features_info": {}, "oblivious_trees": []}', "CatBoost in its own format"),
        ("model.json", b'{"a": 1}', "is JSON and no model"),
        ("model.bin", b"binf....", "gave up.*save_model"),
        ("model.txt", b"hello", "no model that is understood: name an ONNX file"),
        ("model.onnx", b"", "is empty"),
    ],
)
def test_files_that_are_no_model_are_told_with_the_way_to_one(
    tmp_path: Path, name: str, content: bytes, told: str
) -> None:
    """From their bytes; nothing of them is run."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ContractError, match=told):
        kind_of(tmp_path / name)


def test_a_pickle_is_read_only_when_asked_for(tmp_path: Path) -> None:
    """Whatever it is called; nothing runs before."""
    mark = tmp_path / "mark"

    class Bomb:
        def __reduce__(self) -> Any:
            return exec, (f"open({str(mark)!r}, 'w')",)

    path = tmp_path / "model.onnx"
    path.write_bytes(pickle.dumps(Bomb()))
    ran = add(tmp_path, path, "-p", written(tmp_path))
    assert isinstance(ran.exception, ConfigurationError)
    assert "say --unpickle where you trust that" in str(ran.exception)
    ran = add(tmp_path, path, "-p", written(tmp_path), "--unpickle")
    assert ran.exit_code == 3
    assert not mark.exists()
    assert not (tmp_path / "models").exists()


def test_what_a_library_refuses_has_no_answer_and_its_neighbours_have(tmp_path: Path) -> None:
    """Unknown categories and null, of an encoder that knows no others; the same rows are left out of the comparison."""
    pipeline = written(tmp_path)
    model = make_pipeline(encoded(OneHotEncoder()), LogisticRegression()).fit(TEST[USED], TWO[: len(TEST)])
    path = saved(skl2onnx.to_onnx(model, initial_types=types(USED)), tmp_path)
    table = TEST.copy()
    table.loc[3, "colour"], table.loc[5, "district"] = "violet", None
    table.to_parquet(tmp_path / "sample.parquet")
    ran = add(tmp_path, "shop@7", path, "-p", pipeline, "--sample", tmp_path / "sample.parquet", "--json")
    assert ran.exit_code == 0, (ran.output, ran.exception)
    told = json.loads(ran.output)
    (proof,) = told["read"]["proofs"]
    assert (proof["rows"], proof["unanswered"]) == (len(TEST) - 2, 2)
    assert told["model"] == "shop@7"
    scores = stored_scores(tmp_path, "shop@7", table, pipeline)
    assert np.flatnonzero(np.isnan(scores)).tolist() == [3, 5]
    wanted = model.predict_proba(TEST[USED])[:, 1]
    others = np.delete(np.arange(len(TEST)), [3, 5])
    assert np.abs(scores - wanted)[others].max() < 1e-5


def test_an_encoder_that_knows_a_way_out_answers_for_what_it_does_not_know(tmp_path: Path) -> None:
    """As its library does, null as well."""
    pipeline = written(tmp_path)
    path, _ = EXPORTS["scikit-learn, texts one-hot, others have no column"].make(tmp_path)
    table = TEST.copy()
    table.loc[3, "colour"], table.loc[5, "district"] = "violet", None
    ran = add(tmp_path, "shop@1", path, "-p", pipeline)
    assert ran.exit_code == 0, ran.output
    scores = stored_scores(tmp_path, "shop@1", table, pipeline)
    assert np.isfinite(scores).all()
    session = onnx.load(path)
    assert [each.type.tensor_type.elem_type for each in session.graph.input][2:] == [TensorProto.STRING] * 2
    assert (scores != stored_scores(tmp_path, "shop@1", TEST, pipeline))[[3, 5]].all()


def test_the_same_file_and_words_are_the_same_package(tmp_path: Path) -> None:
    """Others are another version."""
    pipeline = written(tmp_path)
    path, _ = network(tmp_path, "Sigmoid", 1)

    def said(*words: str) -> Any:
        ran = add(tmp_path, path, "-p", pipeline, "--json", *words)
        assert ran.exit_code == 0, ran.output
        return json.loads(ran.output)

    one = said("--map", "features=amount,weight,items")
    assert said("--map", "features=amount,weight,items") == one
    assert said("--map", "features=weight,amount,items")["model"] != one["model"]


def classifier() -> onnx.ModelProto:
    """A logistic regression over a matrix."""
    model = LogisticRegression().fit(MATRIX, TWO)
    return skl2onnx.to_onnx(model, initial_types=[("X", FloatTensorType([None, 3]))])


def of_texts() -> onnx.ModelProto:
    """A graph that does with a text what no encoder does."""
    nodes = [
        helper.make_node("StringNormalizer", ["colour"], ["lower"], case_change_action="LOWER"),
        helper.make_node("LabelEncoder", ["lower"], ["probability"], domain="ai.onnx.ml", keys_strings=["red"]),
    ]
    return onnx.load_model_from_string(graphs.serialise(nodes, [graphs.vector("colour", 1, TensorProto.STRING)]))


WORDS = ("--map", "X=amount,weight,items")


@pytest.mark.parametrize(
    ("made", "words", "told"),
    [
        (classifier, (*WORDS, "--positive", "3"), r"its classes are 0, 1, and none is 3"),
        (classifier, (*WORDS, "--classes", "b,a", "--positive", "a"), "--classes says b, a, and its graph 0, 1"),
        (classifier, (*WORDS, "--output", "score"), "no output score; it has .*label"),
        (classifier, (), r"--map X=amount,weight,items,member,colour.*--map 'X=\*'"),
        (of_texts, (), "StringNormalizer of texts, which cannot be served: encode texts by OneHotEncoder"),
    ],
)
def test_doubt_is_refused_with_what_to_say(tmp_path: Path, made: Any, words: tuple[str, ...], told: str) -> None:
    """And nothing is stored."""
    ran = add(tmp_path, saved(made(), tmp_path), "-p", written(tmp_path), *words, "--json")
    assert ran.exit_code == 3, (ran.output, ran.exception)
    with pytest.raises(ContractError, match=told):
        raise ContractError(json.loads(ran.output)["refused"])
    assert not (tmp_path / "models").exists()


def test_a_classifier_is_no_quantity_and_a_regression_no_probability(tmp_path: Path) -> None:
    """Both with the two ways out."""
    path, _ = EXPORTS["LightGBM, its text"].make(tmp_path)
    ran = add(tmp_path, path, "-p", written(tmp_path, quantity=True))
    assert (ran.exit_code, "add a regression" in ran.output) == (3, True)
    path, _ = EXPORTS["LightGBM, a regression"].make(tmp_path)
    ran = add(tmp_path, path, "-p", written(tmp_path))
    assert (ran.exit_code, "add a classifier, or say output: value" in ran.output) == (3, True)


def test_a_sample_is_what_was_written_or_is_refused_with_its_row(tmp_path: Path) -> None:
    """Columns that lack, cells that are no numbers, answers that differ."""
    pipeline = written(tmp_path)
    path, wanted = network(tmp_path, "Sigmoid", 1)
    sample = tmp_path / "sample.csv"

    def said(table: pd.DataFrame, *words: str) -> Any:
        table.to_csv(sample, index=False)
        return add(tmp_path, path, "-p", pipeline, "--map", "features=amount,weight,items", "--sample", sample, *words)

    ran = said(TEST.drop(columns="weight"))
    assert (ran.exit_code, "the sample has no weight" in ran.output) == (3, True)
    wrong = TEST.astype({"amount": object})
    wrong.loc[4, "amount"] = "lots"
    ran = said(wrong)
    assert isinstance(ran.exception, ConfigurationError)
    assert "row 5, column amount: 'lots'" in str(ran.exception)
    ran = said(TEST.assign(score=wanted + 0.3 * (np.arange(len(TEST)) == 6)), "--expected", "score")
    assert (ran.exit_code, "(row 7:" in ran.output) == (3, True)
    ran = add(tmp_path, path, "-p", pipeline, "--expected", "score")
    assert "is a column of the sample: name it by --sample FILE" in str(ran.exception)


def test_a_dump_says_that_it_could_not_be_compared(tmp_path: Path) -> None:
    """And an ONNX file what it was held against."""
    pipeline = written(tmp_path)
    path, _ = EXPORTS["LightGBM, a JSON dump"].make(tmp_path)
    ran = add(tmp_path, path, "-p", pipeline)
    assert "could not be held against its library: LightGBM reads no dump" in ran.output
    path, _ = network(tmp_path, "Sigmoid", 1)
    ran = add(tmp_path, path, "-p", pipeline, "--map", "features=amount,weight,items")
    assert "kind: ONNX of pytorch 2.9.0; opset ai.onnx 17" in ran.output
    assert "input amount (float32), by --map" in ran.output
    assert "score: output probability, one column" in ran.output
    assert "by 0 at most on 2,000 made-up rows" in ran.output
    assert "does not hold the library that made it" in ran.output


def test_a_wide_input_of_texts_is_fed_column_by_column(tmp_path: Path) -> None:
    """By the features that are listed for it."""
    pipeline = written(tmp_path)
    model = make_pipeline(OneHotEncoder(handle_unknown="ignore"), LogisticRegression())
    model.fit(TEST[TEXTS].to_numpy(object), TWO[: len(TEST)])
    path = saved(skl2onnx.to_onnx(model, initial_types=[("texts", StringTensorType([None, 2]))]), tmp_path)
    ran = add(tmp_path, "shop@2", path, "-p", pipeline, "--map", "texts=colour,district")
    assert ran.exit_code == 0, ran.output
    wanted = model.predict_proba(TEST[TEXTS].to_numpy(object))[:, 1]
    assert np.abs(stored_scores(tmp_path, "shop@2", TEST, pipeline) - wanted).max() < 1e-5


def test_missing_numbers_go_the_librarys_way(tmp_path: Path) -> None:
    """Of a model whose library takes them."""
    pipeline = written(tmp_path)
    holes = TEST[["amount", "weight"]].where(np.random.default_rng(0).random((len(TEST), 2)) > 0.2)
    model = lgb.LGBMClassifier(n_estimators=9, verbose=-1, n_jobs=1).fit(holes, TWO[: len(TEST)])
    model.booster_.save_model(tmp_path / "model.txt")
    sample = TEST.assign(**holes, score=model.predict_proba(holes)[:, 1])
    sample.to_parquet(tmp_path / "sample.parquet")
    words = ("--sample", tmp_path / "sample.parquet", "--expected", "score", "--json")
    ran = add(tmp_path, tmp_path / "model.txt", "-p", pipeline, *words)
    assert ran.exit_code == 0, ran.output
    assert max(one["worst"] for one in json.loads(ran.output)["read"]["proofs"]) < 1e-5


def test_categories_that_lightgbm_does_not_know_go_its_way(tmp_path: Path) -> None:
    """Null as well: on made-up rows with some of each, and on rows that it answered itself."""
    pipeline = written(tmp_path)
    path, _ = EXPORTS["LightGBM, its text, with categories"].make(tmp_path)
    table = TEST.copy()
    table.loc[:50, "colour"], table.loc[30:90, "district"] = "violet", None
    wanted = lgb.Booster(model_file=path).predict(categorical(table))
    ran = add(tmp_path, "shop@3", path, "-p", pipeline, "--json")
    assert ran.exit_code == 0, ran.output
    (proof,) = json.loads(ran.output)["read"]["proofs"]
    assert proof["against"] == "lightgbm"
    assert proof["worst"] < 1e-5
    assert np.abs(stored_scores(tmp_path, "shop@3", table, pipeline) - wanted).max() < 1e-5
