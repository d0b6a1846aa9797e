"""The command line in an empty directory."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.terminal import Terminal


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    """The command line in an empty directory."""
    return Terminal(tmp_path, {"HEADRACE_HOME": str(tmp_path / "home")})
