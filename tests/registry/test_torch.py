"""Modules of PyTorch, by PyTorch itself where it is installed: it is too large for every run of the tests."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headrace.domain.registry.model_files.torch_modules import read_module
from headrace.errors import ContractError
from tests.registry.exports import FED, TEST, TEST_MATRIX
from tests.registry.shop import written
from tests.registry.test_files import add, stored_scores

HERE = importlib.util.find_spec("torch") is not None
needed = pytest.mark.skipif(not HERE, reason="PyTorch is not installed: pip install torch")


@pytest.mark.skipif(HERE, reason="PyTorch is installed")
def test_without_pytorch_it_is_said_how_to_go_on(tmp_path: Path) -> None:
    """To install it, or to export the module where it was made."""
    with pytest.raises(ContractError, match=r"model.pt is a file of PyTorch.*pip install torch.*torch\.onnx\.export"):
        read_module(tmp_path / "model.pt", "torchscript", 3)


def network(*last: Any, width: int = 3) -> Any:
    """A small network of random weights; it is not trained, for nothing depends on that."""
    import torch

    torch.manual_seed(3)
    first = torch.nn.Linear(3, 8)
    first.weight.data *= torch.tensor([0.02, 1.0, 0.3])  # as wide as amounts, weights and items are
    return torch.nn.Sequential(first, torch.nn.ReLU(), torch.nn.Linear(8, width), *last).eval()


def saved(module: Any, path: Path, how: str) -> Path:
    """A module in a file, in one of PyTorch's ways."""
    import torch

    if how == "script":
        torch.jit.script(module).save(str(path))
    elif how == "trace":
        torch.jit.trace(module, torch.zeros(1, 3)).save(str(path))
    else:
        torch.save(module if how == "pickle" else module.state_dict(), str(path))
    return path


@needed
@pytest.mark.parametrize("how", ["script", "trace", "pickle"])
@pytest.mark.parametrize("columns", [1, 2])
def test_a_module_answers_here_as_in_pytorch(how: str, columns: int, tmp_path: Path) -> None:
    """Within 1e-5, by the command, in each way that PyTorch saves one; a pickle where it is trusted."""
    import torch

    module = network(torch.nn.Sigmoid() if columns == 1 else torch.nn.Softmax(dim=1), width=columns)
    path, pipeline = saved(module, tmp_path / "model.pt", how), written(tmp_path)
    words = () if columns == 1 else ("--classes", "no,yes", "--positive", "yes")
    if how == "pickle":
        refused = add(tmp_path, path, "-p", pipeline, *FED, *words)
        assert "say --unpickle where you trust that" in str(refused.exception)
        words = (*words, "--unpickle")
    ran = add(tmp_path, path, "-p", pipeline, *FED, *words, "--json")
    assert ran.exit_code == 0, ran.output
    told = json.loads(ran.output)
    assert [proof["against"] for proof in told["read"]["proofs"]] == ["PyTorch"]
    with torch.no_grad():
        wanted = module(torch.from_numpy(TEST_MATRIX.astype(np.float32))).numpy()[:, -1]
    assert np.std(wanted) > 0.01  # else anything would do
    assert np.abs(stored_scores(tmp_path, told["model"], TEST, pipeline) - wanted).max() <= 1e-5


@needed
@pytest.mark.parametrize(
    ("last", "how", "words", "told"),
    [
        ("Sigmoid", "weights", ("--unpickle",), r"holds a OrderedDict, such as a module's weights.*torch\.jit\.script"),
        ("Identity", "script", (), "scores from .* which are no probabilities"),
        ("Sigmoid", "script", ("--map", "features=amount"), "does not answer rows of 1 number"),
    ],
)
def test_what_is_no_module_for_the_pipeline_is_refused(
    last: str, how: str, words: tuple[str, ...], told: str, tmp_path: Path
) -> None:
    """Weights alone, scores that are no probabilities, and too few features."""
    import torch

    path = saved(network(getattr(torch.nn, last)(), width=1), tmp_path / "model.pt", how)
    fed = () if "--map" in words else FED
    ran = add(tmp_path, path, "-p", written(tmp_path), *fed, *words, "--json")
    assert ran.exit_code == 3, ran.output
    assert re.search(told, json.loads(ran.output)["refused"]), ran.output
