"""Whether a pipeline's file is the one that may be started here, and the one that was."""

from __future__ import annotations

from pathlib import Path

from headrace.domain.pipeline.check import load
from headrace.domain.pipeline.spec import Pipeline
from headrace.domain.pipeline.wiring import Contracts
from headrace.domain.pipeline.workspace import Workspace
from headrace.domain.revisions.former import pipeline_of
from headrace.domain.revisions.revision import (
    ANSWERING,
    BUILDING,
    SWITCHING,
    Revisions,
    definition_of,
    differing,
    digest_of,
)
from headrace.errors import ConfigurationError
from headrace.operations.revision.steps import RevisionSteps
from headrace.streaming.kafka.connection import Connection

STARTED = "started.yaml"
"""The file in a pipeline's folder of logs that holds its file as it was when services were started."""


def note_started(path: Path, logs: Path) -> None:
    """Keep the pipeline's file as services were started with it."""
    logs.mkdir(parents=True, exist_ok=True)
    (logs / STARTED).write_text(path.read_text("utf-8"), "utf-8")


def check_unchanged(path: Path, logs: Path) -> None:
    """Refuse a file that says something else than the one with which services here were started: nobody reads it.

    Raises:
        ConfigurationError: it does; names what changed, where features depend on it, and the remedy.
    """
    if not (logs / STARTED).exists():
        return  # Started by a version that kept none.
    text, now = (logs / STARTED).read_text("utf-8"), load(path)
    then = pipeline_of(text, path.name, Workspace.of(path))
    if then == now:
        return
    name, begin = now.name, f"{path} says something else than when its services were started, and they do not follow"
    if paths := differing(definition_of(then), definition_of(now)):
        raise ConfigurationError(
            f"{begin}. Features depend on what changed ({', '.join(paths)}): write revision: {then.revision + 1} into "
            f"it and see headrace revise {name}; or begin anew, without what was answered: headrace down --forget"
        )
    raise ConfigurationError(f"{begin}: headrace down, then headrace up {name}")


def check_answering(connection: Connection, contracts: Contracts) -> None:
    """Refuse a file of a revision that does not answer: services would be up, and no event answered.

    Raises:
        ContractError: nobody announced it, it was abandoned, or it is not what was announced.
        ConfigurationError: another revision answers.
    """
    refuse_silent(RevisionSteps(connection, contracts).known(), contracts.pipeline)


def refuse_silent(known: Revisions, pipeline: Pipeline) -> None:
    """See `check_answering`. `known`: what the topic of revisions says."""
    name, number = pipeline.name, pipeline.revision
    known.succession(number, digest_of(pipeline))
    mine = known.newest.get(number)
    if mine is not None and mine.state in (BUILDING, SWITCHING):
        raise ConfigurationError(
            f"revision {number} of {name} is {mine.state}, and revision {mine.follows} answers: start that one's "
            "services with its file, and beside them `headrace run enrich` with this file; this one comes up after "
            "`headrace revise --switch`"
        )
    last = known.newest.get(known.answering)
    if last is not None and last.state == ANSWERING and last.number != number:
        raise ConfigurationError(
            f"revision {last.number} of {name} answers, and the file is revision {number}: take the file of that one, "
            f"or go back to this by a revision: headrace revise {name} --back NEW_FILE"
        )
