"""The product's own modules, for tests that sweep them."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ROOTS = ("headrace", "services")
"""Import roots: the library, and the services."""


def sources() -> list[Path]:
    """Every module of the product, in order."""
    return sorted(path for root in ROOTS for path in (ROOT / root).rglob("*.py"))


def name_of(path: Path) -> str:
    """The dotted name under which a module is imported."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)
