"""A tree like the product's, in which a test may add files and entries."""

from __future__ import annotations

from pathlib import Path

from tests.sources import ROOT, ROOTS


class Tree:
    """The product at another place: links, but for what is added or changed.

    Args:
        directory: takes it.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        for root in ROOTS:
            self._open(directory / root)
        (directory / "pyproject.toml").symlink_to(ROOT / "pyproject.toml")

    def add(self, path: str, text: str) -> None:
        """A new file."""
        where = self.directory / path
        self._open(where.parent)
        assert not where.exists(), f"{path} is there already"
        where.write_text(text)

    def enter(self, path: str, after: str, entry: str) -> None:
        """Write an entry into a list, behind what it begins with."""
        where = self.directory / path
        self._open(where.parent)
        text = where.read_text()
        assert text.count(after) == 1, f"{path} does not say once: {after}"
        where.unlink()  # The link alone.
        where.write_text(text.replace(after, after + entry))

    def _open(self, folder: Path) -> None:
        """Make a folder one of this tree's own: links to what is in the product's."""
        if folder == self.directory:
            folder.mkdir(exist_ok=True)
            return
        self._open(folder.parent)
        if folder.is_symlink():
            folder.unlink()
        elif folder.exists():
            return
        folder.mkdir()
        there = ROOT / folder.relative_to(self.directory)
        for each in there.iterdir() if there.exists() else ():
            (folder / each.name).symlink_to(each)
