"""`headrace docs`: one page of a pipeline, and its topics for tools that read AsyncAPI."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from json import dumps
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from headrace.cli.options import Bootstrap, Json, PipelineName, contracts_of
from headrace.cli.render.catalogue.page import html, markdown
from headrace.cli.render.documents import print_json
from headrace.errors import ConfigurationError
from headrace.operations.catalogue.asyncapi import asyncapi as asyncapi_of
from headrace.operations.catalogue.pipeline_page import PipelinePage, pipeline_page

FORMS: Mapping[str, Callable[[PipelinePage], str]] = {".md": markdown, ".html": html}
"""By the ending of the file."""


@dataclass(frozen=True, slots=True)
class WrittenDocs:
    """What was written; empty for nothing. `unknown`: what the page could not tell, a sentence each."""

    page: str
    asyncapi: str
    unknown: list[str]


def docs(
    pipeline: PipelineName,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", dir_okay=False, help="Write the page: FILE.md or FILE.html. [default: print it]"),
    ] = None,
    asyncapi: Annotated[
        Path | None,
        typer.Option("--asyncapi", metavar="FILE.json", dir_okay=False, help="Write the topics as AsyncAPI 3.0."),
    ] = None,
    bootstrap: Bootstrap = None,
    json: Json = False,
) -> None:
    """Write one page of a pipeline: events, features, labels, models, segments, rules and topics.

    The page is Markdown, or one HTML file that needs no other. With --asyncapi alone no page is made, and no broker is
    asked; the document names the broker where one is given. What does not answer is told on the page. Exit code 1 when
    something is not known.
    """
    write = _form(out)
    settings, contracts = contracts_of(pipeline, bootstrap)
    page = pipeline_page(settings, contracts) if out is not None or asyncapi is None else None
    if out is not None and page is not None:
        _write(out, write(page))
    if asyncapi is not None:
        told = asyncapi_of(settings, contracts, broker="bootstrap" in settings.model_fields_set)
        _write(asyncapi, dumps(told, indent=2, ensure_ascii=False) + "\n")
    unknown = [] if page is None else list(page.unknown)
    written = WrittenDocs(str(out or ""), str(asyncapi or ""), unknown)
    if json:
        print_json(written if page is None or out is not None else page)
    elif page is not None and out is None:
        typer.echo(markdown(page))
    else:
        console = Console(highlight=False, soft_wrap=True)
        for name in filter(None, (written.page, written.asyncapi)):
            console.print(f"written: {escape(name)}")
        for line in unknown:
            console.print(f"[yellow]{escape(line)}[/]")
    raise typer.Exit(1 if unknown else 0)


def _form(out: Path | None) -> Callable[[PipelinePage], str]:
    if out is None:
        return markdown
    if out.suffix not in FORMS:
        raise ConfigurationError(f"--out {out}: write a name that ends in {' or '.join(FORMS)}")
    return FORMS[out.suffix]


def _write(path: Path, text: str) -> None:
    """The file appears whole or not at all."""
    draft = path.with_name(f".{path.name}.draft")
    try:
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        error.filename, error.filename2 = str(path), None
        raise
    finally:
        draft.unlink(missing_ok=True)
