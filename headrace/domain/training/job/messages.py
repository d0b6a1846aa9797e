"""The lines that a training's process writes, and what they say to whoever started it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, TextIO

from pydantic import TypeAdapter, ValidationError

from headrace.domain.training.job.order import (
    FailureKind,
    TrainingFailure,
    TrainingOrder,
    TrainingProgress,
    TrainingResult,
)
from headrace.errors import ConfigurationError, ContractError, Transient

Message = TrainingProgress | TrainingOrder | TrainingResult | TrainingFailure
NAMES: dict[type[Message], str] = {
    TrainingProgress: "progress",
    TrainingOrder: "order",
    TrainingResult: "result",
    TrainingFailure: "failure",
}
_ADAPTERS: Mapping[Any, TypeAdapter[Any]] = {kind: TypeAdapter(kind) for kind in NAMES}
_LINE: TypeAdapter[dict[str, dict[str, Any]]] = TypeAdapter(dict[str, dict[str, Any]])
OFTEN_S = 0.2
"""Seconds between two lines on the same stage."""
NO_MEMORY = (
    "bad_alloc",
    "bad allocation",
    "out of memory",
    "cannot allocate",
    "alloc:",
    "malloc",
    "thread creation failed",
)
"""What libraries say when they were given no memory, in lower case."""
MORE_MEMORY = "give it more (limits.memory; retrain.memory_mb), a shorter window, or fewer trees"


class Writer:
    """Writes messages, not more of a stage than somebody could read."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._stage: tuple[str, str] | None = None
        self._at = 0.0

    def __call__(self, message: TrainingProgress | TrainingOrder) -> None:
        """Write a line, unless one of the same stage was only just written."""
        if isinstance(message, TrainingProgress):
            stage, now = (message.stage, message.detail), time.monotonic()
            if stage == self._stage and now < self._at + OFTEN_S:
                return
            self._stage, self._at = stage, now
        self._write(message)

    def end(self, failure: TrainingFailure) -> None:
        """Write the last line, of what went wrong."""
        self._write(failure)

    def say(self, name: str, said: str) -> None:
        """Write a line that says something, JSON, under a name."""
        self._out.write(f'{{"{name}":{said}}}\n')
        self._out.flush()

    def _write(self, message: Message) -> None:
        kind = type(message)
        self.say(NAMES[kind], _ADAPTERS[kind].dump_json(message).decode())


def said_in(line: bytes) -> tuple[str, dict[str, Any]] | None:
    """What a line says: its name, one of `NAMES`, and what; None where it is no line of a job's.

    >>> said_in(b'{"progress": {"stage": "fit"}}'), said_in(b"a library speaks"), said_in(b'{"loss": {}}')
    (('progress', {'stage': 'fit'}), None, None)
    """
    try:
        ((name, said),) = _LINE.validate_json(line).items()
    except (ValidationError, ValueError):
        return None
    return (name, said) if name in NAMES.values() else None


def failure_in(said: Mapping[str, Any]) -> TrainingFailure:
    """What a line of a failure says; one that is not as agreed is a defect of who wrote it."""
    try:
        found: TrainingFailure = _ADAPTERS[TrainingFailure].validate_python(said)
    except ValidationError:
        return TrainingFailure(kind="crashed", reason=f"it failed, and said why otherwise than agreed: {dict(said)}")
    return found


def failure_of(error: BaseException) -> TrainingFailure:
    """What an error means to whoever ordered the training."""
    said = str(error)
    if isinstance(error, MemoryError) or without_memory(said):
        why = f" ({said})" if said and isinstance(error, MemoryError) else ""
        return TrainingFailure(kind="memory", reason=f"it needs more memory than it may take{why}: {MORE_MEMORY}")
    kinds: tuple[tuple[type[BaseException], FailureKind], ...] = (
        (ConfigurationError, "refused"),
        (ContractError, "contract"),
        (Transient, "unready"),
    )
    kind = next((named for of, named in kinds if isinstance(error, of)), None)
    if kind is None:
        return TrainingFailure(kind="crashed", reason=f"{type(error).__name__}: {said}; its log has the place")
    return TrainingFailure(kind=kind, reason=said)


def without_memory(said: str) -> bool:
    """Whether a library's words mean that it was given no memory.

    >>> said = ("trainer lightgbm: std::bad_alloc", "rd.h:141: rd_calloc: Assertion `p' failed.", "unknown parameter")
    >>> [without_memory(words) for words in said]
    [True, True, False]
    """
    lower = said.lower()
    return any(words in lower for words in NO_MEMORY)
