"""`headrace kpi`: how the rules over figures stand, and what was told of them."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from headrace.cli.options import Bootstrap, Json, PipelineName, contracts_of
from headrace.cli.render.documents import print_json
from headrace.cli.render.kpi import history_lines, standing_lines, standing_table
from headrace.cli.render.models.package import paper
from headrace.domain.pipeline.document import closest
from headrace.domain.pipeline.kpi.section import kpis_example
from headrace.errors import ConfigurationError
from headrace.operations.kpi.rule_report import BREACHED, kpi_history, standings


def kpi(
    pipeline: PipelineName,
    rule: Annotated[str | None, typer.Option("--rule", metavar="NAME", help="This one alone.")] = None,
    history: Annotated[bool, typer.Option("--history", help="All that was told of rules, the oldest first.")] = False,
    bootstrap: Bootstrap = None,
    json: Json = False,
) -> None:
    """Show each rule of the section kpis: its figure now, its condition, its state and who is told.

    Exit code 0 when none is breached, 3 when one is; with --history 0. What is unknown is no breach, and is said.
    """
    settings, contracts = contracts_of(pipeline, bootstrap)
    known = contracts.pipeline.kpis
    if rule is not None and rule not in known and not history:
        raise ConfigurationError(f"there is no rule {rule}: {closest(rule, known)}")
    if not known and not history:
        raise ConfigurationError(
            f"the pipeline file has no section kpis: add {kpis_example(contracts.pipeline.model.output)}"
        )
    out = paper(soft_wrap=True)
    if history:
        told = kpi_history(settings, contracts, rule)
        if json:
            print_json(told)
        else:
            for line in history_lines(told):
                out.print(line)
        return
    found = [each for each in standings(settings, contracts, int(time.time() * 1000)) if rule in (None, each.rule)]
    if json:
        print_json(found)
    else:
        out.print(standing_table(found))
        for line in standing_lines(found):
            out.print(line)
    raise typer.Exit(3 if any(each.state == BREACHED for each in found) else 0)
