"""What a model of MLflow says of itself, and which features feed it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from headrace.domain.pipeline.registry.spec import ModelRegistry
from headrace.domain.registry.column_fit import fit_columns
from headrace.domain.registry.logged_model import ModelSignature, SignatureColumn, read_logged
from headrace.domain.registry.model_source import read_source
from headrace.errors import ConfigurationError, ContractError

INPUTS = ["amount", "customer.nb_tx_7d", "customer.avg_amount_7d"]


def signature(*columns: str, kind: str = "double") -> ModelSignature:
    """Of columns with these names."""
    return ModelSignature(tuple(SignatureColumn(name, kind) for name in columns))


def mlmodel(folder: Path, flavours: dict[str, Any], **more: Any) -> Path:
    """A directory with such a file."""
    (folder / "MLmodel").write_text(yaml.safe_dump({"flavors": flavours, **more}))
    (folder / "model.lgb").write_text("")
    return folder


def test_columns_are_fed_by_name_in_the_models_order() -> None:
    """Inputs that the model does not read are told."""
    found = fit_columns(signature(INPUTS[2], "amount"), INPUTS, ModelRegistry())
    assert found.features == (INPUTS[2], "amount")
    assert found.unused == (INPUTS[1],)


def test_names_that_differ_are_what_the_pipeline_file_says() -> None:
    """Those that it does not mention are called as features are."""
    rules = ModelRegistry(names={"amount_eur": "amount"})
    assert fit_columns(signature("amount_eur", INPUTS[1]), INPUTS, rules).features == ("amount", INPUTS[1])


@pytest.mark.parametrize(
    ("found", "rules", "told"),
    [
        (None, ModelRegistry(), "without a signature.*infer_signature.*registry: {inputs"),
        (signature("customer__nb_tx_7d"), ModelRegistry(), "did you mean customer.nb_tx_7d?"),
        (signature("colour", "size"), ModelRegistry(), "colour is no input.*size is no input"),
        (signature("amount", kind="string"), ModelRegistry(), "amount is a string, and inputs are numbers"),
        (signature("amount"), ModelRegistry(names={"x": "amount"}), "names x, no column of the model"),
        (signature("a", "amount"), ModelRegistry(names={"a": "amount"}), "amount feeds several columns"),
        (ModelSignature((), 3, "float64"), ModelRegistry(), "3 columns without names.*list the features"),
        (ModelSignature((), 3, "float64"), ModelRegistry(order=("amount",)), "takes 3 columns.*lists 1"),
        (signature("amount"), ModelRegistry(order=("amount",)), "have names.*is a list"),
    ],
)
def test_what_does_not_fit_is_told_with_the_remedy(found: ModelSignature, rules: ModelRegistry, told: str) -> None:
    """All of it at once."""
    with pytest.raises(ContractError, match=told):
        fit_columns(found, INPUTS, rules)


def test_columns_without_names_follow_the_list() -> None:
    """It is noted, for nothing can check it."""
    found = fit_columns(ModelSignature((), 2, "float64"), INPUTS, ModelRegistry(order=("amount", INPUTS[1])))
    assert found.features == ("amount", INPUTS[1])
    assert "no names" in found.notes[0]


def test_a_file_of_mlflow_is_read_as_data(tmp_path: Path) -> None:
    """The flavour that needs the least is read first; a signature is its JSON."""
    inputs = json.dumps([{"type": "double", "name": "amount", "required": True}, {"type": "long", "name": "n"}])
    flavours = {"sklearn": {"pickled_model": "m.pkl"}, "lightgbm": {"data": "model.lgb", "lgb_version": "4.7.0"}}
    found = read_logged(mlmodel(tmp_path, flavours, signature={"inputs": inputs}, run_id="r1"))
    assert (found.flavour, found.file, found.library, found.run) == ("lightgbm", "model.lgb", "4.7.0", "r1")
    assert found.signature == ModelSignature((SignatureColumn("amount", "double"), SignatureColumn("n", "long")))
    tensor = json.dumps([{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 4]}}])
    found = read_logged(mlmodel(tmp_path, flavours, signature={"inputs": tensor}))
    assert found.signature == ModelSignature((), 4, "float32")


@pytest.mark.parametrize(
    ("flavours", "more", "told"),
    [
        ({"spark": {}}, {}, "flavours are spark; understood are onnx, lightgbm"),
        ({"lightgbm": {"data": "../../etc/passwd"}}, {}, "names no file of flavour lightgbm"),
        ({"lightgbm": {"data": "/etc/passwd"}}, {}, "names no file of flavour lightgbm"),
        ({"lightgbm": {"data": "gone.lgb"}}, {}, "gone.lgb, which is not there"),
        ({"lightgbm": {"data": "model.lgb"}}, {"signature": {"inputs": "{"}}, "is no JSON"),
        ({"lightgbm": {"data": "model.lgb"}}, {"signature": {"inputs": "[1]"}}, "is no list of columns"),
    ],
)
def test_files_that_cannot_be_used_are_refused(tmp_path: Path, flavours: Any, more: Any, told: str) -> None:
    """Paths that lead out of the directory, too."""
    with pytest.raises(ContractError, match=told):
        read_logged(mlmodel(tmp_path, flavours, **more))
    with pytest.raises(ContractError, match="MLmodel is missing"):
        read_logged(tmp_path / "none")


def test_a_source_is_written_as_mlflow_has_it() -> None:
    """What is none says which ways there are."""
    assert str(read_source("models:/fraud@challenger")) == "models:/fraud@challenger"
    for text in ("fraud@challenger", "models:/fraud", "models:/fraud@", "models:/fraud/latest"):
        with pytest.raises(ConfigurationError, match="write models:/NAME@ALIAS"):
            read_source(text)
