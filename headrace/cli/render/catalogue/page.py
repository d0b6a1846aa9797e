"""A page of a pipeline as Markdown, and as one HTML file that needs no other."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from html import escape

from headrace.operations.catalogue.pipeline_page import PageTable, PipelinePage

STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:90rem;padding:0 1rem;color:#222}"
    "table{border-collapse:collapse;display:block;overflow-x:auto}th,td{border:1px solid #ccc;padding:.3rem .6rem;"
    "text-align:left;vertical-align:top}th{background:#f3f3f3}code{font-size:.9em}.unknown{color:#a00}"
)
_MARKS = re.compile(r"([\\`*_{}\[\]<>#|])")


def markdown(page: PipelinePage) -> str:
    """GitHub's Markdown."""
    return "\n".join(_markdown(page))


def html(page: PipelinePage) -> str:
    """A whole document, without scripts and without anything from elsewhere."""
    return "\n".join(_html(page))


def _markdown(page: PipelinePage) -> Iterator[str]:
    yield f"# {_plain(page.pipeline)}\n"
    yield f"Revision {page.revision}. Made by `headrace docs`: do not edit it, change what it tells of.\n"
    yield from (f"> {_plain(each)}\n" for each in page.unknown)
    for section in page.sections:
        yield f"## {section.title}\n"
        if section.sentences:
            yield " ".join(map(_plain, section.sentences)) + "\n"
        if section.table is not None and section.table.rows:
            yield from _markdown_table(section.table)


def _markdown_table(table: PageTable) -> Iterator[str]:
    yield _line(table.columns)
    yield _line(["---"] * len(table.columns))
    for row in table.rows:
        yield _line([_plain(cell) for cell in row])
    yield ""


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _plain(text: str) -> str:
    """A text that Markdown shows as it is, in one line."""
    return _MARKS.sub(r"\\\1", " ".join(text.split()))


def _html(page: PipelinePage) -> Iterator[str]:
    title = escape(page.pipeline)
    yield '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">'
    yield f'<meta name="viewport" content="width=device-width">\n<title>{title}</title>\n<style>{STYLE}</style>'
    yield f"</head>\n<body>\n<h1>{title}</h1>"
    yield f"<p>Revision {page.revision}. Made by <code>headrace docs</code>.</p>"
    yield from (f'<p class="unknown">{escape(each)}</p>' for each in page.unknown)
    for section in page.sections:
        name = escape(section.title.lower().replace(" ", "-"))
        yield f'<h2 id="{name}">{escape(section.title)}</h2>'
        if section.sentences:
            yield f"<p>{escape(' '.join(section.sentences))}</p>"
        if section.table is not None and section.table.rows:
            heads = "".join(f"<th>{escape(each)}</th>" for each in section.table.columns)
            yield f"<table>\n<thead><tr>{heads}</tr></thead>\n<tbody>"
            for row in section.table.rows:
                yield f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>"
            yield "</tbody>\n</table>"
    yield "</body>\n</html>\n"
