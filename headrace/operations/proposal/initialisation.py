"""A new pipeline's files, written from what the rows of a stream show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from headrace.domain.pipeline.document import Node, Problems
from headrace.domain.pipeline.form import legal_name
from headrace.domain.pipeline.workspace import resolve
from headrace.errors import ConfigurationError
from headrace.operations.proposal.pipeline_file import GUESS, pipeline_text
from headrace.operations.proposal.proposal import Proposal, propose
from headrace.operations.proposal.sample import StreamSample
from headrace.operations.proposal.schema_file import examples, schema_text


@dataclass(frozen=True, slots=True)
class OpenLine:
    """A line of a pipeline file that says something that the rows do not show."""

    file: str
    line: int
    text: str


@dataclass(frozen=True, slots=True)
class InitialisedPipeline:
    """What was written.

    Attributes:
        pipeline: its name.
        file: the pipeline file.
        written: all files, the pipeline file first.
        replaced: those of them that were there before.
        rows: how many were looked at.
        found: role to what fills it, and why.
        open: lines to look at.
        labels: whether labels were found.
        undated: whether rows have no time, so that nothing can be published yet.
    """

    pipeline: str
    file: str
    written: Sequence[str]
    replaced: Sequence[str]
    rows: int
    found: Mapping[str, str]
    open: Sequence[OpenLine]
    labels: bool
    undated: bool


def initialise(
    name: str, sample: StreamSample, directory: Path, command: str, *, replace: bool = False
) -> InitialisedPipeline:
    """Write the pipeline file, the schema of its events and examples into a directory.

    Args:
        name: of the pipeline.
        sample: rows to make it from.
        directory: takes `pipelines/` and `schemas/`, or `feeds/` for a topic.
        command: what asked for it, for the file's first line.
        replace: whether files that are there already may be written anew.

    Raises:
        ConfigurationError: the name is not legal, or a file is there already; nothing was written.
    """
    problems = Problems()
    if not legal_name(Node("", 1, 1), name, problems):
        raise ConfigurationError(f"{problems.found[0].message}: {problems.found[0].remedy}")
    proposal = propose(name, sample)
    main = directory / "pipelines" / f"{name}.yaml"
    texts = {main: pipeline_text(proposal, command)}
    if sample.topic is not None:  # what its producer writes is described, and held to nothing
        texts[directory / "feeds" / f"{proposal.schema}{sample.topic.ending}"] = sample.topic.schema
    else:
        texts[directory / "schemas" / f"{proposal.schema}.avsc"] = schema_text(proposal)
        texts |= {directory / "schemas" / "examples" / path: text for path, text in examples(proposal).items()}
    there = [path for path in texts if path.exists() or path.is_symlink()]
    if there and not replace:
        more = f" and {len(there) - 1} more of its files" if len(there) > 1 else ""
        raise ConfigurationError(
            f"{there[0]} is there already{more}, and nothing was written: take another name, or --replace them"
        )
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return InitialisedPipeline(
        pipeline=name,
        file=str(main),
        written=[str(path) for path in texts],
        replaced=[str(path) for path in there],
        rows=sample.rows,
        found=_found(proposal),
        open=open_lines(str(main), texts[main]),
        labels=proposal.label is not None,
        undated=proposal.roles.time.profile is None,
    )


def listed_guesses(pipeline: str) -> list[OpenLine]:
    """The guesses that still stand in a pipeline's file; ConfigurationError where there is no such file."""
    path = resolve(pipeline, Path.cwd())
    here = Path.cwd()
    return open_lines(str(path.relative_to(here) if path.is_relative_to(here) else path), path.read_text("utf-8"))


def open_lines(file: str, text: str) -> list[OpenLine]:
    """The lines of a pipeline file whose comment begins with `guess:`, with all of what it says."""
    found: list[OpenLine] = []
    lines = text.splitlines()
    for number, line in enumerate(lines, start=1):
        said = line.strip().removeprefix("#").strip()
        if not line.strip().startswith("#") or not said.startswith(GUESS):
            continue
        for after in lines[number:]:
            rest = after.strip()
            if not rest.startswith("#   "):
                break
            said += f" {rest.removeprefix('#').strip()}"
        found.append(OpenLine(file, number, said.removeprefix(GUESS).strip()))
    return found


def _found(proposal: Proposal) -> dict[str, str]:
    """Each role, and what fills it."""
    roles = proposal.roles
    label = proposal.label
    return {
        "id": f"{proposal.id}: {roles.id.evidence}",
        "time": f"{proposal.time}: {roles.time.evidence}",
        "key": f"{proposal.key}: {roles.key.evidence}",
        "label": f"{label.name}: {roles.label.evidence}" if label is not None else roles.label.evidence,
        **{f"left out: {column}": why for column, why in roles.left_out.items()},
    }
