"""The `headrace` command: one table of subcommands, each loaded when it is called."""

from __future__ import annotations

import errno
import importlib
import os
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from headrace.operations.local.home import home

# Names, modules and summaries stand here so that `headrace --help` need not import what the commands import.
COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("local.demo:demo", "Show the loop at work on this machine: drift, retraining, release, roll-back."),
    "up": ("local.up:up", "Start a broker, stores and a pipeline's services in the background."),
    "down": ("local.up:down", "Drain and stop what `up` started."),
    "status": ("local.up:status", "Say what runs here: broker, stores and services."),
    "broker": ("local.broker:app", "The embedded broker and online store, without services."),
    "run": ("local.run:run", "Run services of a pipeline until they are stopped."),
    "init": ("pipeline.init:init", "Propose a pipeline from a file of events, with the evidence for each line."),
    "check": ("pipeline.check:check", "Check a pipeline file: all its mistakes at once."),
    "features": (
        "pipeline.features:app",
        "The features of a pipeline: which there are, who reads them, how they lie.",
    ),
    "docs": ("pipeline.docs:docs", "Write one page of a pipeline, and its topics as an AsyncAPI document."),
    "topics": ("pipeline.topics:app", "The topics of a pipeline: what a broker lacks of them."),
    "schemas": ("pipeline.schemas:app", "The Avro schemas of a pipeline and their ids."),
    "generate": ("pipeline.generate:generate", "Make up events of a pipeline, the same for the same seed."),
    "publish": ("pipeline.publish:publish", "Write a file of events or labels to their topic."),
    "train": ("models.train:train", "Train a model from the features and labels on the topics."),
    "models": (
        "models.models:app",
        "The packages of the model store, and what people decide on them.",
    ),
    "plan": ("models.plan:app", "What scores what in a pipeline: show and set."),
    "predictions": ("pipeline.predictions:predictions", "Show predictions, the last ones or as they come."),
    "why": ("models.why:why", "All that is known of one event or prediction."),
    "scorecard": (
        "models.scorecard:scorecard",
        "Figures of each model and arm: operational, quality, estimates, gaps.",
    ),
    "drift": ("models.drift:drift", "What is watched for drift, the evidence for changes, and incidents."),
    "kpi": ("models.kpi:kpi", "How the rules over figures stand: ok, breached since when, or unknown because."),
    "retrain": ("models.retrain:retrain", "Ask for a training, and see why others were started or not."),
    "duel": ("models.duel:duel", "Compare two models on the same events, and say which is better."),
    "replay": ("models.replay:replay", "Score events of the past by a model, as it would have scored them then."),
    "live": ("models.live:live", "What was live at a time, who decided so, and why."),
    "lineage": ("models.lineage:lineage", "Tell trainings and plans as OpenLineage events, to a file or an endpoint."),
    "ledger": ("models.ledger:app", "Every decision, refusals too, chained by hash: show and verify."),
    "notify": ("pipeline.notify:app", "Who is told of events: send a test through each channel."),
    "export": ("pipeline.export:export", "Write a topic's records to a Parquet file."),
    "watermark": (
        "pipeline.watermark:watermark",
        "How far event time has come in each partition, and by which record.",
    ),
    "revise": ("pipeline.revise:revise", "Turn a running pipeline into another, without a gap."),
    "repartition": (
        "pipeline.repartition:repartition",
        "Move a pipeline's state to where keys belong after topics grew.",
    ),
    "lag": ("pipeline.lag:lag", "How far each consumer group of a pipeline is behind."),
}
"""Command to (module and attribute below headrace.cli, what it does)."""


PLACES = frozenset(
    {
        errno.ENOENT,
        errno.ENOTDIR,
        errno.EISDIR,
        errno.EACCES,
        errno.EPERM,
        errno.EEXIST,
        errno.ENAMETOOLONG,
        errno.ELOOP,
        errno.EROFS,
        errno.EINVAL,
        errno.ENXIO,
    }
)
"""Errors of a place that somebody named: another name mends them."""


class Commands(TyperGroup):
    """The subcommands; an error of ours ends the process with a message and an exit code, anything else is a defect."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The commands, in the order in which a person meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A stand-in that knows the summary alone: enough for --help and completion."""
        return TyperCommand(cmd_name, help=COMMANDS[cmd_name][1]) if cmd_name in COMMANDS else None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The real command; it finds the parts that run here in the environment."""
        name, _, rest = super().resolve_command(ctx, args)
        if name not in COMMANDS:
            return name, None, rest
        if not {"--help", "-h"} & set(rest):
            use_running_parts(home())
        return name, load(name), rest

    def invoke(self, ctx: Any) -> Any:
        """Run the command; exit code 2 when what a person wrote is wrong, 1 for other errors, 130 on Ctrl-C."""
        from headrace.errors import ConfigurationError, ContractError, HeadraceError

        try:
            return super().invoke(ctx)
        except HeadraceError as error:
            Console(stderr=True, soft_wrap=True).print(str(error), style="red", markup=False, highlight=False)
            raise typer.Exit(2 if isinstance(error, ConfigurationError | ContractError) else 1) from None
        except BrokenPipeError:
            raise  # Whoever read our output has left: click ends quietly.
        except OSError as error:
            # What this machine refuses: a place that a person named, or its own state, such as a full disk.
            where = " to ".join(str(name) for name in (error.filename, error.filename2) if name is not None)
            told = f"{where or 'this machine'}: {error.strerror or error}"
            Console(stderr=True, soft_wrap=True).print(told, style="red", markup=False, highlight=False)
            raise typer.Exit(2 if error.errno in PLACES else 1) from None


def load(name: str) -> Any:
    """A command with all that it imports."""
    module, _, attribute = COMMANDS[name][0].partition(":")
    found = getattr(importlib.import_module(f"headrace.cli.{module}"), attribute)
    if not isinstance(found, typer.Typer):
        single = typer.Typer(add_completion=False)
        single.command(name)(found)
        found = single
    command = get_command(found)
    command.name = name
    return command


def use_running_parts(directory: Path) -> None:
    """What the environment does not say of addresses, the parts that run in `directory` say."""
    if not directory.is_dir():
        return
    from headrace.devparts import home as running

    variables = {"kafka": "HEADRACE_BOOTSTRAP", "redis": "HEADRACE_REDIS", "registry": "HEADRACE_REGISTRY"}
    for part in running.status(directory):
        if part.running:
            os.environ.setdefault(variables[part.name], part.address)


def application() -> Any:
    """The command line, ready to be called."""
    app = typer.Typer(cls=Commands, no_args_is_help=True, rich_markup_mode="rich", pretty_exceptions_enable=False)

    @app.callback()
    def headrace() -> None:
        """Scores events that arrive on Kafka, exactly once."""

    return get_command(app)


def main() -> None:
    """The `headrace` program."""
    application()(prog_name="headrace")


if __name__ == "__main__":
    main()
