"""Arguments and options that several commands share, and what they mean together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from headrace.domain.pipeline import units
from headrace.domain.pipeline.check import load
from headrace.domain.pipeline.document import closest
from headrace.domain.pipeline.spec import Pipeline
from headrace.domain.pipeline.wiring import Contracts, read_contracts
from headrace.domain.pipeline.workspace import resolve
from headrace.errors import ConfigurationError
from headrace.streaming.kafka.bindings import Channel
from headrace.streaming.process.settings import Settings, read_settings

PipelineName = Annotated[
    str, typer.Argument(metavar="PIPELINE", help="A pipeline file, or the name of one in pipelines/.")
]
Bootstrap = Annotated[
    str | None,
    typer.Option(
        envvar="HEADRACE_BOOTSTRAP", help="Kafka, host:port. [default: the broker that runs here, or 127.0.0.1:9092]"
    ),
]
Store = Annotated[
    str, typer.Option(envvar="HEADRACE_MODELS", help="The model store: a directory, or an fsspec url (s3://, gs://).")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
FromTime = Annotated[
    str | None, typer.Option("--from", metavar="TIME", help="ISO 8601 (UTC unless it says otherwise), or milliseconds.")
]
Value = TypeVar("Value")
ToTime = Annotated[str | None, typer.Option("--to", metavar="TIME", help="Up to, not including, this time.")]


def pipeline_of(name: str) -> Pipeline:
    """The pipeline that a command line means; ConfigurationError when there is none or it has mistakes."""
    return load(resolve(name, Path.cwd()))


def contracts_of(pipeline: str, bootstrap: str | None) -> tuple[Settings, Contracts]:
    """Settings from options and HEADRACE_* variables, and the contracts that they name.

    Raises:
        ConfigurationError: a setting or the pipeline file is wrong.
        ContractError: a schema cannot be used.
    """
    settings = read_settings(Settings, pipeline=pipeline, bootstrap=bootstrap)
    return settings, read_contracts(settings)


def channel_of(contracts: Contracts, topic: str) -> Channel:
    """A topic by its logical name, or by its name on the broker.

    Raises:
        ConfigurationError: the pipeline has no such topic; says which it has.
    """
    known = contracts.topics
    logical = next((each for each, name in known.items() if name == topic), topic)
    if logical not in known:
        raise ConfigurationError(f"{contracts.pipeline.name} has no topic {topic}: {closest(logical, known)}")
    return contracts.channel(logical)


def milliseconds(text: str | None) -> int | None:
    """A time on the command line as milliseconds since the epoch.

    >>> milliseconds("2018-04-01"), milliseconds("2018-04-01T02:00+02:00"), milliseconds("1522540800000")
    (1522540800000, 1522540800000, 1522540800000)

    Raises:
        ConfigurationError: it is no time.
    """
    if text is None:
        return None
    if text.isdecimal() and len(text) > 8:
        return int(text)
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(f"{text} is no time: write 2018-04-01, 2018-04-01T12:30 or milliseconds") from None
    return round((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1000)


def seconds(text: str) -> float:
    """A duration on the command line, such as 5s.

    Raises:
        ConfigurationError: it is none.
    """
    try:
        return units.milliseconds(text) / 1000
    except ValueError as error:
        raise ConfigurationError(f"{text} is no duration: {error}") from None


def one_of(option: str, value: Value | None, off: str, none: bool, nothing: Value) -> Value | None:
    """What two options that exclude each other say together, the second one that there is to be none.

    >>> one_of("canary", None, "no-canary", True, "")
    ''

    Raises:
        ConfigurationError: both are given.
    """
    if none and value is not None:
        raise ConfigurationError(f"--{option} and --{off} exclude each other: write one of them")
    return nothing if none else value


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """What goes wrong with a file inside names it: what writes it says only that the disk is full."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise
