"""The examples in the docstrings say what the code does."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import numpy as np
import pytest

from tests.sources import name_of, sources

WITH_EXAMPLES = [path for path in sources() if ">>> " in path.read_text()]


def test_examples_are_found() -> None:
    """The sweep finds what it is to hold."""
    assert len(WITH_EXAMPLES) > 50


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=name_of)
def test_examples_hold(path: Path) -> None:
    """Every example gives the answer that stands below it."""
    module = importlib.import_module(name_of(path))
    failed, tried = doctest.testmod(module, extraglobs={"np": np})
    assert tried
    assert not failed
