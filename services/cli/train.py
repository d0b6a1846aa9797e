"""`headrace train`: a model from the features and labels on the topics, stored, and named by a plan."""

from __future__ import annotations

import getpass
import json as codec
import subprocess
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import typer
from rich.console import Console
from rich.table import Table

from services.cli.main import home
from services.cli.options import Bootstrap, FromTime, Json, PipelineName, ToTime, contracts_of, milliseconds
from services.cli.progress import counted
from services.inference.package import ModelPackage
from services.inference.store import ModelStore
from services.kit.channels import Channel
from services.kit.kafka import Connection, Producer
from services.kit.reading import read_topic
from services.training import dataset
from services.training.bootstrap import champion_plan, next_version, train_offline


def train(
    pipeline: PipelineName,
    from_: FromTime = None,
    to: ToTime = None,
    trees: Annotated[int, typer.Option(min=1, help="How many trees.")] = 100,
    seed: Annotated[int, typer.Option(help="The same rows and seed give the same model.")] = 0,
    version: Annotated[str | None, typer.Option(help="Of the model. [default: now, as 20180401-120000]")] = None,
    plan: Annotated[bool, typer.Option(help="Make it the champion; otherwise only store it.")] = True,
    reason: Annotated[str, typer.Option(help="Why, for whoever reads the plan later.")] = "trained by hand",
    bootstrap: Bootstrap = None,
    json: Json = False,
) -> None:
    """Train the pipeline's model on events between two times, judge it on their last quarter, store it, play it.

    Labels join by event id, the newest holds; an event without one is what the pipeline's `labels` say once it has
    matured. The package names the offsets it was made from. Score takes up the plan by itself.
    """
    settings, contracts = contracts_of(pipeline, bootstrap)
    spec, connection = contracts.pipeline, settings.connection
    console = Console(stderr=True, quiet=json)
    with console.status("reading features and labels"):
        features = between(
            read_topic(connection, contracts.channel("features"))[0], milliseconds(from_), milliseconds(to)
        )
        labels, _ = read_topic(connection, contracts.channel("labels"))
    offsets = {f"{spec.name}.{name}": used(rows) for name, rows in (("features", features), ("labels", labels))}
    store = ModelStore(settings.models, home() / "models")
    with counted(f"training on {features.num_rows:,} events", trees, quiet=json) as told:
        package, uri = train_offline(
            spec,
            features,
            labels,
            store,
            version or f"{datetime.now(UTC):%Y%m%d-%H%M%S}",
            trees=trees,
            seed=seed,
            revision=revision(),
            offsets=offsets,
            progress=lambda _: told(1),
        )
    played = publish_plan(connection, contracts.channel("plans"), spec.name, package, uri, reason) if plan else None
    _report(package, uri, played, json)


def between(features: pa.Table, start: int | None, stop: int | None) -> pa.Table:
    """Rows with start <= event time < stop, milliseconds; None leaves an end open."""
    times = dataset.milliseconds(features["event_time"])
    kept = np.ones(len(times), np.bool_)
    kept &= times >= start if start is not None else True
    kept &= times < stop if stop is not None else True
    return features.filter(pa.array(kept))


def used(rows: pa.Table) -> dict[int, tuple[int, int]]:
    """For each partition the half-open range of offsets that the rows of a read topic lie in."""
    partitions, offsets = rows["_partition"].to_numpy(), rows["_offset"].to_numpy()
    return {
        int(p): (int(offsets[partitions == p].min()), int(offsets[partitions == p].max()) + 1)
        for p in np.unique(partitions)
    }


def publish_plan(
    connection: Connection, channel: Channel, pipeline: str, package: ModelPackage, uri: str, reason: str
) -> int:
    """Write the plan that makes a package the only champion, durably; returns its version.

    Two plans made at the same moment may get the same version; the one written first is played.
    """
    known, _ = read_topic(connection, channel)
    version = next_version(known, pipeline)
    fact = champion_plan(
        pipeline, package, uri, version=version, now=time.time(), actor=getpass.getuser(), reason=reason
    )
    producer = Producer(connection)
    producer.send(channel.name, [pipeline], channel.codec.encode(row(fact, channel.codec.reader.arrow)))
    producer.flush()
    return version


def row(fact: Mapping[str, Any], schema: pa.Schema) -> pa.RecordBatch:
    """One fact as the columns of its topic."""
    return pa.RecordBatch.from_pylist([dict(fact)], schema=schema)


def revision() -> str | None:
    """The git revision of the working directory, with `+changes` when it is not clean; None outside of git."""

    def git(*arguments: str) -> str | None:
        try:
            ran = subprocess.run(["git", *arguments], capture_output=True, text=True, timeout=10, check=True)
        except (OSError, subprocess.SubprocessError):
            return None
        return ran.stdout.strip()

    head = git("rev-parse", "HEAD")
    return f"{head}+changes" if head and git("status", "--porcelain", "--untracked-files=no") else head


def _report(package: ModelPackage, uri: str, plan: int | None, json: bool) -> None:
    manifest = package.manifest
    if json:
        told = {"model": manifest.name, "version": manifest.version, "digest": package.digest, "uri": uri}
        trained = manifest.training.model_dump(mode="json")
        typer.echo(codec.dumps({**told, "plan_version": plan, "metrics": manifest.metrics, "training": trained}))
        return
    table = Table(show_header=False, box=None)
    table.add_row("model", f"[bold]{package.title}[/]")
    table.add_row("digest", package.digest)
    table.add_row("stored at", uri)
    table.add_row("trained on", f"{manifest.training.rows:,} events, {manifest.training.positives:,} positive")
    for name, value in manifest.metrics.items():
        table.add_row(f"held out: {name}", f"{value:,.0f}" if name in ("rows", "positives") else f"{value:.4f}")
    table.add_row("plan", f"version {plan}: champion" if plan else "none; it is stored only")
    Console(highlight=False, soft_wrap=True).print(table)
