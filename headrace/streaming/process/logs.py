"""Structured logs: one JSON object a line, or coloured lines on a terminal."""

from __future__ import annotations

import logging
import sys
from typing import Any, Literal

import structlog


def configure(form: Literal["json", "console"], **context: Any) -> None:
    """Send logs to stderr in the given form; `context` (service, member, pipeline) is on every line."""
    last: Any = structlog.dev.ConsoleRenderer() if form == "console" else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            last,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(**context)


def adopt(*names: str) -> None:
    """Have warnings and errors of libraries that log by the standard library said in our form, and nothing else."""
    for name in names:
        library = logging.getLogger(name)
        library.handlers, library.propagate = [_Adoption(logging.WARNING)], False
        library.setLevel(logging.WARNING)


class _Adoption(logging.Handler):
    """Says again what a library logs."""

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info if record.exc_info and record.exc_info[0] is not None else None
        structlog.get_logger(room=record.name).log(record.levelno, record.getMessage(), exc_info=error)


def logger(name: str) -> Any:
    """A logger that resolves its configuration when first used."""
    return structlog.get_logger(room=name)
