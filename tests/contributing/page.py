"""The files that a page of docs/contributing shows."""

from __future__ import annotations

import re

from tests.sources import ROOT


def files(page: str) -> dict[str, str]:
    """Content by path: each block of code that stands below a line with nothing but a path in backticks."""
    text = (ROOT / "docs/contributing" / f"{page}.md").read_text()
    return dict(re.findall(r"^`([\w./]+)`\n```\w+\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))
