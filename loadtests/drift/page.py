"""docs/drift.md."""

from loadtests.drift.figures import Figures


def page(found: Figures) -> str:
    """Its text."""
    return ""
