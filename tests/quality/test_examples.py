"""The examples in the docstrings say what the code does."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import numpy as np
import pytest

from services import quality

MODULES = [module.name for module in pkgutil.iter_modules(quality.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    """Every example gives the answer that stands below it."""
    module = importlib.import_module(f"services.quality.{name}")
    failed, _ = doctest.testmod(module, extraglobs={"np": np})
    assert failed == 0
