"""A pipeline file as a person names it: its mistakes, and what a good one chooses to leave out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from headrace.domain.pipeline.check import Problem, check, load
from headrace.domain.pipeline.spec import Pipeline
from headrace.domain.pipeline.truth import told
from headrace.domain.pipeline.units import duration
from headrace.domain.pipeline.workspace import resolve
from headrace.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class CheckedPipeline:
    """What was found.

    Attributes:
        file: its path.
        ok: whether there is no mistake.
        problems: all mistakes at once; that there is no such file is one, too.
        choices: what it chooses to be left out of windows or figures, or counted otherwise; nothing of a wrong file.
    """

    file: str
    ok: bool
    problems: Sequence[Problem]
    choices: Sequence[str]


def check_pipeline(pipeline: str) -> CheckedPipeline:
    """Check a pipeline file, by its path or by the name of one in pipelines/."""
    try:
        path = resolve(pipeline, Path.cwd())
    except ConfigurationError as error:
        return CheckedPipeline(str(Path(pipeline)), False, [Problem(1, 1, "", str(error), "name a pipeline file")], [])
    problems = check(path)
    return CheckedPipeline(str(path), not problems, problems, [] if problems else _choices(load(path)))


def _choices(pipeline: Pipeline) -> list[str]:
    """What a pipeline file chooses to be left out of windows or figures, or counted otherwise."""
    events, labels, found = pipeline.events, pipeline.labels, []
    lateness = duration(events.allowed_lateness)
    if events.late == "score":
        found.append(
            f"late: score: an event more than {lateness} late is answered from what windows hold at its time, and "
            "folded into none: it counts neither for itself nor for others"
        )
    if events.repeats == "keep":
        found.append("repeats: keep: an event that is published twice counts twice, but for views that fold labels")
    if labels is not None and labels.unlabelled_is is not None:
        found.append(
            f"unlabelled_is: an event without a label counts as {told(labels.unlabelled_is, labels)} from "
            f"{duration(labels.matures_after)} after it on"
        )
    return found + _undecided(pipeline)


def _undecided(pipeline: Pipeline) -> list[str]:
    """What of releases a pipeline file leaves to people, since nothing could tell a machine."""
    release, labels = pipeline.release, pipeline.labels
    if release is None:
        return (
            []
            if pipeline.retrain is None
            else ["retrain without release: a model that is trained anew is registered, and nobody lets it in"]
        )
    if labels is None:
        return ["release without labels: there is no evidence on models, so people decide on each step"]
    if pipeline.model.output == "value" and release.bound is None:
        return ["release without bound: of values there is no evidence without one, so people decide on each step"]
    if labels.unlabelled_is is None and not labels.matures_after:
        return [
            "labels without matures_after and unlabelled_is: each event is final at once, without its label, so there "
            "is no evidence for release and people decide on each step"
        ]
    return []
