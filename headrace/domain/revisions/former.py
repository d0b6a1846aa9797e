"""Pipelines as the files of revisions have them, and whom the first one's labels are told to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from headrace.domain.pipeline.check import load
from headrace.domain.pipeline.spec import EXCHANGE, Pipeline, View
from headrace.domain.pipeline.workspace import Workspace
from headrace.domain.revisions.revision import BUILDING, SWITCHING, Revisions


def pipeline_of(text: str, name: str, workspace: Workspace) -> Pipeline:
    """A pipeline as a text has it, that a file of this name had, with the schemas of a workspace."""
    with TemporaryDirectory() as folder:
        former = Path(folder) / name
        former.write_text(text, "utf-8")
        return load(former, workspace)


@dataclass(frozen=True, slots=True)
class ExchangeViews:
    """Views whose labels meet on the exchange of the first revision; those of later ones have one each.

    Attributes:
        kept: names of all that there ever were: of these it is kept whom an event belongs to.
        told: those that are told their labels.
    """

    kept: Sequence[str]
    told: Sequence[View]


def exchange_views(pipeline: Pipeline, known: Revisions, workspace: Workspace) -> ExchangeViews:
    """Those of a pipeline. As long as the revision before it answers, its views are told as well.

    `known`: what the topic of revisions says.
    """
    own = [view for view in pipeline.label_views if view.exchange == EXCHANGE]
    names = [view.name for view in own]
    if not known.newest:
        return ExchangeViews(names, own)
    first = known.newest[min(known.newest)].former
    if first:
        there = pipeline_of(first, f"{pipeline.name}.yaml", workspace).label_views
        names = [view.name for view in there if view.exchange == EXCHANGE]
    mine = known.newest.get(pipeline.revision)
    if mine is not None and mine.state in (BUILDING, SWITCHING) and mine.former:
        former = pipeline_of(mine.former, f"{pipeline.name}.yaml", workspace).label_views
        told = {view.name for view in own}
        own += [view for view in former if view.exchange == EXCHANGE and view.name not in told]
    return ExchangeViews(names, own)
