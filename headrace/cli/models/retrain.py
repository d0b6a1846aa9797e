"""`headrace retrain`: ask for a training, and see what every trigger was answered."""

from __future__ import annotations

import getpass
import time
from typing import Annotated

import typer

from headrace.cli.options import Bootstrap, Json, PipelineName, contracts_of, seconds
from headrace.cli.render.documents import print_json
from headrace.cli.render.models.package import paper
from headrace.cli.render.models.retrain import answer_line, stage_line, story_lines
from headrace.domain.control.retrain import RetrainProgress
from headrace.errors import ConfigurationError
from headrace.operations.retrain.request import ask
from headrace.operations.retrain.trigger_history import trigger_stories

CODES = {"started": 0, "finished": 0, "ignored": 3, "failed": 1}


def retrain(
    pipeline: PipelineName,
    reason: Annotated[str | None, typer.Option("--reason", metavar="TEXT", help="Why it is to be trained.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the training, too.")] = False,
    within: Annotated[str, typer.Option(metavar="DURATION", help="How long to wait for the answer.")] = "30s",
    history: Annotated[bool, typer.Option("--history", help="All that asked for one, and the answers.")] = False,
    bootstrap: Bootstrap = None,
    json: Json = False,
) -> None:
    """Ask for a training, and say what the service `retrain` answers: it is started, or ignored by which rule.

    A person is stopped by a training that is active and by a budget that is used up alone. Exit code 0 when it was
    started (with --wait: ended with a package), 3 when it was ignored, 1 when it failed or nobody answers.
    """
    settings, contracts = contracts_of(pipeline, bootstrap)
    out = paper(soft_wrap=True)
    if history:
        if reason is not None or wait:
            raise ConfigurationError("--history only shows: leave --reason and --wait out")
        stories = trigger_stories(settings, contracts)
        if json:
            print_json(stories)
        else:
            for line in story_lines(contracts.pipeline.name, stories):
                out.print(line)
        return
    if not reason:
        raise ConfigurationError("say why: --reason 'a new tariff since Monday'; or --history")

    def told(stage: RetrainProgress) -> None:
        if not json:
            out.print(stage_line(stage))

    now, patience = int(time.time() * 1000), seconds(within)
    answer = ask(settings, contracts, getpass.getuser(), reason, now, patience, told if wait else None)
    if json:
        print_json(answer)
    else:
        out.print(answer_line(contracts.pipeline.name, answer))
    raise typer.Exit(CODES[answer.outcome])
