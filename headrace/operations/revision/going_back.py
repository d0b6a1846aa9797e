"""The pipeline file of the revision before, made the next revision: the way back is the way there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from headrace.domain.pipeline.check import load
from headrace.domain.pipeline.workspace import Workspace
from headrace.domain.revisions.former import pipeline_of
from headrace.domain.revisions.revision import Revisions
from headrace.errors import ConfigurationError
from headrace.operations.revision.changes import changed_views

_COUNT = re.compile(r"^revision:.*$", re.MULTILINE)
_NAME = re.compile(r"^pipeline:.*$", re.MULTILINE)


def counted(text: str, number: int) -> str:
    """A pipeline file as the revision of this number; all else in it stays as it is.

    >>> print(counted("pipeline: bikes", 3))
    pipeline: bikes
    revision: 3
    >>> counted("revision: 2  # wider windows", 4)
    'revision: 4'
    """
    line = f"revision: {number}"
    if _COUNT.search(text):
        return _COUNT.sub(line, text, count=1)
    return _NAME.sub(lambda name: f"{name[0]}\n{line}", text, count=1)


def view_counted(text: str, view: str, number: int) -> str:
    r"""A pipeline file whose view says since which revision it is as it is; all else in it stays as it is.

    >>> print(view_counted("views: {shop: {key: shop}}", "shop", 3))
    views: {shop: {revision: 3, key: shop}}
    >>> print(view_counted("views:\n  shop:\n    key: shop\n    revision: 2", "shop", 3))
    views:
      shop:
        key: shop
        revision: 3
    """
    mapping = dict(_entries(dict(_entries(yaml.compose(text, yaml.SafeLoader)))["views"]))[view]
    said = dict(_entries(mapping)).get("revision")
    if said is not None:
        return f"{text[: said.start_mark.index]}{number}{text[said.end_mark.index :]}"
    first = mapping.value[0][0].start_mark
    behind = ", " if mapping.flow_style else "\n" + " " * first.column
    return f"{text[: first.index]}revision: {number}{behind}{text[first.index :]}"


def _entries(node: Any) -> Iterator[tuple[str, Any]]:
    return ((key.value, value) for key, value in node.value)


def write_former(known: Revisions, name: str, path: Path) -> int:
    """Write the file that ran before the one that answers now, as the next revision; returns its number.

    Args:
        known: what the topic of revisions says.
        name: of the pipeline.
        path: of the file, which must not be there yet, in a folder `pipelines`.

    Raises:
        ConfigurationError: there is nothing to go back to, the file is there, or it cannot be written so.
    """
    mine = known.newest.get(known.answering)
    if mine is None or not mine.former:
        why = "nobody told what ran before it" if mine else "it is the first, or nobody announced it"
        raise ConfigurationError(
            f"revision {known.answering} of {name} answers, and {why}: take the former file from your repository, and "
            f"write revision: {max((known.answering, *known.newest)) + 1} into it"
        )
    number, workspace = max(known.newest) + 1, Workspace.of(path)
    text = counted(mine.former, number)
    now, then = (pipeline_of(each, path.name, workspace) for each in (mine.definition, text))
    for view in changed_views(now, then):
        text = view_counted(text, view.name, number)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise ConfigurationError(f"{path} is there already: name a file that is not") from None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}") from None
    try:
        load(path, workspace)
    except ConfigurationError:
        path.unlink()
        raise
    return number
