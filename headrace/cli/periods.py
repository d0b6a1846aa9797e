"""Spans of event time on a command line."""

from __future__ import annotations

from typing import Annotated

import typer

from headrace.cli.options import milliseconds
from headrace.domain.pipeline import units
from headrace.errors import ConfigurationError
from headrace.operations.time_spans import FOREVER, SpanRequest, TimeSpan

Window = Annotated[
    str | None,
    typer.Option(
        "--window", metavar="FROM..TO", help="Event times, TO not included; either may be left out. 1d: the newest day."
    ),
]
Last = Annotated[str | None, typer.Option("--last", metavar="DURATION", help="The newest event times: 7d, 12h.")]


def asked(window: str | None, last: str | None) -> SpanRequest | None:
    """What `--window` and `--last` say together; None when neither is given.

    >>> asked("1970-01-02..1970-01-03", None)
    SpanRequest(span=TimeSpan(start=86400000, stop=172800000), length=None, aligned=False)

    Raises:
        ConfigurationError: both are given, or one is no span; says what to write.
    """
    if window is not None and last is not None:
        raise ConfigurationError("--window and --last exclude each other: write one of them")
    if last is not None:
        return SpanRequest(length=_length("--last", last))
    if window is None:
        return None
    if ".." not in window:
        return SpanRequest(length=_length("--window", window), aligned=True)
    start, stop = (milliseconds(end.strip() or None) for end in window.split("..", 1))
    span = TimeSpan(-FOREVER if start is None else start, FOREVER if stop is None else stop)
    if span.start >= span.stop:
        raise ConfigurationError(f"--window {window} is empty: FROM must be before TO, which is not included")
    return SpanRequest(span)


def _length(option: str, text: str) -> int:
    try:
        length = units.milliseconds(text)
    except ValueError as error:
        remedy = f"{option} {text}: {error}"
        raise ConfigurationError(f"{remedy}, or FROM..TO" if option == "--window" else remedy) from None
    if length == 0:
        raise ConfigurationError(f"{option} {text} is empty: write a longer one, such as 7d")
    return length
